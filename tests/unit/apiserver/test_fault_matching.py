"""Which faults strike a request: pure."""

import pytest

from kubeherd.cluster.apiserver.faults import matching, rewriting
from kubeherd.cluster.apiserver.faults.active import Faults
from kubeherd.cluster.apiserver.faults.matching import Asked, Who
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults import Clients, Component, Fault, Nodes, Target
from kubeherd.faults.effects import ApiDelay, ApiError, Partition, SlowNetwork, StaleList

MANAGER = "system:kube-controller-manager"
SECOND = Who(MANAGER, "kubeherd/1 controller-manager-2")
SPARED = Who("kubernetes-admin", "kubeherd-chaos/1")


@pytest.mark.parametrize(
    ("target", "who", "hurt"),
    [
        (Nodes(("a", "b")), Who("system:node:b"), True),
        (Nodes(("a", "b")), Who("system:node:c"), False),
        (Nodes(("a",)), Who("a"), False),
        (Component("controller-manager"), Who(MANAGER, "kubeherd/1"), True),
        (Component("controller-manager"), SECOND, False),
        (Component("controller-manager-2"), SECOND, True),
        (
            Component("controller-manager-2"),
            Who(MANAGER, "x controller-manager-22"),
            False,
        ),
        (Component("controller-manager-2"), Who(MANAGER, "kubeherd/1"), False),
        (
            Component("controller-manager"),
            Who("system:serviceaccount:kube-system:job-controller", "controller-manager"),
            True,
        ),
        (
            Component("controller-manager"),
            Who("system:serviceaccount:kube-system:coredns", "coredns"),
            False,
        ),
        (Component("scheduler"), Who("system:kube-scheduler"), True),
        (Component("controller-manager"), Who("system:kube-scheduler", "controller-manager"), True),
        (Component("controller-manager-2"), Who("system:kube-scheduler", "kubectl"), False),
        (Component("scheduler"), Who(MANAGER), False),
        (Component("command"), Who("kubeherd:command"), True),
        (Component("apiserver"), Who("anybody"), True),
        (Component("apiserver"), SPARED, False),
        (Clients(), Who("anybody"), True),
        (Clients(), SPARED, False),
        (Clients(user="kubernetes-admin"), SPARED, False),
        (Clients(user="kubernetes-admin"), Who("kubernetes-admin", "kubectl/v1.36"), True),
        (Clients(user_agent="kubeherd-chaos*"), SPARED, True),
        (Clients(user="*:operator", user_agent="kopf*"), Who("a:operator", "kopf/1"), True),
        (Clients(user="*:operator", user_agent="kopf*"), Who("a:operator", "other"), False),
        (Clients(certificate="ab" * 32), Who("x", "y", "ab" * 32), True),
        (Clients(certificate="ab" * 32), Who("x", "y"), False),
    ],
)
def test_whom_a_target_means(target: Target, who: Who, hurt: bool) -> None:
    assert matching.hurts(target)(who) is hurt


@pytest.mark.parametrize(
    ("verbs", "resources", "asked", "hit"),
    [
        ((), (), Asked("get"), True),
        (("get",), (), Asked("get", "pods"), True),
        (("get",), (), Asked("list", "pods"), False),
        ((), ("pods",), Asked("get", "pods"), True),
        ((), ("pods",), Asked("patch", "pods/status"), False),
        ((), ("pods/status",), Asked("patch", "pods/status"), True),
        ((), ("pods/*",), Asked("patch", "pods/status"), True),
        ((), ("daemonsets.apps",), Asked("get", "daemonsets.apps"), True),
        ((), ("daemonsets",), Asked("get", "daemonsets.apps"), True),
        ((), ("daemonsets.extensions",), Asked("get", "daemonsets.apps"), False),
        ((), ("*",), Asked("patch", "pods/status"), True),
        ((), ("*",), Asked("get"), False),
    ],
)
def test_which_requests_an_effect_hits(
    verbs: tuple[str, ...], resources: tuple[str, ...], asked: Asked, hit: bool
) -> None:
    effect = ApiError(code=500, verbs=verbs, resources=resources)
    assert matching.strikes(effect, asked, lambda: 1.0) is hit


def test_chance_decides_only_about_those_that_could_be_hit() -> None:
    drawn: list[float] = [0.29, 0.31]
    effect = ApiError(code=500, verbs=("get",), probability=0.3)
    assert not matching.strikes(effect, Asked("list"), drawn.pop)
    assert not matching.strikes(effect, Asked("get"), drawn.pop)
    assert matching.strikes(effect, Asked("get"), drawn.pop)
    faults = [
        Fault(id="one", target=Clients(), effect=effect),
        Fault(id="slow", target=Clients(), effect=ApiDelay(latency_s=1)),
        Fault(id="two", target=Clients(), effect=ApiError(code=503)),
        Fault(id="cut", target=Clients(), effect=Partition()),
    ]
    hits = matching.struck(faults, Asked("get"), lambda _fault: 0.5)
    wanted: dict[type, list[str]] = {ApiDelay: ["slow"], ApiError: ["two"]}
    assert {kind: [f.id for f in found] for kind, found in hits.items()} == wanted


def test_whom_a_fault_strikes_does_not_depend_on_other_faults() -> None:
    """Else a failure would not come back when one of its faults is left out."""

    def struck(*others: Fault) -> list[bool]:
        faults = Faults(LoopClock(), Rng(1))
        some = Fault(id="some", target=Clients(), effect=ApiError(code=500, probability=0.3))
        faults.replace([*others, some])
        found = []
        for _ in range(200):
            hits = faults.struck(faults.of(SECOND), Asked("get"))
            found.append(some in hits.get(ApiError, []))
        return found

    alone = struck()
    assert 30 < sum(alone) < 90
    assert (
        struck(Fault(id="x", target=Clients(), effect=ApiDelay(latency_s=1, probability=0.5)))
        == alone
    )
    assert (
        struck(
            Fault(id="y", target=Clients(), effect=ApiError(code=409, probability=0.5)),
            Fault(id="z", target=Clients(), effect=SlowNetwork(latency_s=1)),
        )
        == alone
    )


@pytest.mark.parametrize(
    ("query", "all_", "revision"),
    [
        ({"resourceVersion": "0"}, False, "90"),
        ({"resourceVersion": "0", "limit": "5"}, False, "90"),
        ({"resourceVersion": "95", "resourceVersionMatch": "NotOlderThan"}, False, "95"),
        ({"resourceVersion": "40"}, False, "90"),
        ({"resourceVersion": "40", "limit": "5"}, False, None),
        ({"resourceVersion": "100"}, False, None),
        ({"resourceVersion": "50", "resourceVersionMatch": "Exact"}, True, None),
        ({"continue": "x"}, True, None),
        ({}, False, None),
        ({}, True, "90"),
        ({"limit": "5"}, True, "90"),
        ({"resourceVersion": "nonsense"}, True, None),
    ],
)
def test_a_list_goes_back_as_a_lagging_cache_would(
    query: dict[str, str], all_: bool, revision: str | None
) -> None:
    found = rewriting.stale(query, StaleList(revisions=10, all=all_), newest=100, compacted=3)
    if revision is None:
        assert found is None
        return
    assert found is not None
    assert (found["resourceVersion"], found["resourceVersionMatch"]) == (revision, "Exact")
    assert found.get("limit") == (
        None if query.get("resourceVersion") == "0" else query.get("limit")
    )


def test_what_is_compacted_cannot_be_shown() -> None:
    found = rewriting.stale({"resourceVersion": "0"}, StaleList(revisions=50), 100, 80)
    assert found is not None
    assert found["resourceVersion"] == "80"


def test_a_repeated_watch_has_no_bookmarks_and_a_poll_is_repeated_once() -> None:
    query = {"watch": "1", "resourceVersion": "7", "allowWatchBookmarks": "true"}
    assert rewriting.resumed_after(query) == 7
    assert rewriting.resumed_after({**query, "sendInitialEvents": "true"}) == 0
    assert rewriting.repeated(query, 5) == {"watch": "1", "resourceVersion": "5"}
    repeats = rewriting.Repeats()
    told = [repeats.is_new(("a",), revision) for revision in (7, 7, 8, 8)]
    assert (told, repeats.is_new(("b",), 8)) == ([True, False, True, False], True)
