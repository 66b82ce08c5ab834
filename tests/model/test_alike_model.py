"""Creates of objects that are alike against the general way of a create: whatever is sent, whatever
happens in between, the same answer, the same stored bytes, the same revision."""

import asyncio
import copy
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import Enum, auto
from typing import Any

import msgspec
import pytest
from apicluster import (
    ADMIN,
    BOB,
    MANAGER,
    MERGE,
    Cluster,
    StillClock,
    answered,
    api_cluster,
    kept,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.private import fence
from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse, User
from kubeherd.cluster.apiserver.handlers.alikecreates import MAX_AGENT, MAX_USER
from kubeherd.cluster.apiserver.write.short.alike import bodies, wires
from kubeherd.cluster.apiserver.write.short.alike.creates import AlikeCreates

JSON = "application/json"
MSGPACK = "application/msgpack"
TOKEN = ("authentication.kubernetes.io/credential-id", (f"JTI={'0' * 36}",))
"""What is known of who shows an account's token."""
CONTROLLER = msgspec.structs.replace(
    authenticated(
        "system:serviceaccount:kube-system:daemon-set-controller",
        ["system:serviceaccounts", "system:serviceaccounts:kube-system"],
    ),
    extra=(TOKEN,),
)
FLEET = authenticated("fleet-1", ["kubeherd:fleet-agents"])
USERS = {"fleet": FLEET, "admin": ADMIN, "manager": MANAGER, "controller": CONTROLLER, "bob": BOB}
TERM = "default/leader/me/0"


def _pod(number: int) -> dict[str, Any]:
    terms = [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [f"n{number}"]}]}
    ]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"p{number}", "generateName": "p", "labels": {"app": "p1", "n1": "x"}},
        "spec": {
            "containers": [{"name": "n1", "image": "p1", "resources": {}, "env": []}],
            "affinity": {"nodeAffinity": required},
        },
    }


def _event(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"e.{number}", "namespace": "default"},
        "eventTime": None,
        "reason": "Made",
        "message": f"Created pod: p{number}",
        "involvedObject": {
            "kind": "Pod",
            "namespace": "default",
            "name": f"p{number % 3}",
            "uid": f"u{number}",
        },
        "firstTimestamp": f"2026-01-01T00:00:{number % 60:02}Z",
        "lastTimestamp": f"2026-01-01T00:00:{number % 60:02}Z",
        "count": 1,
    }


def _event_v1(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"v.{number}", "namespace": "default"},
        "eventTime": f"2026-01-01T00:00:00.{number:06}Z",
        "reportingController": "a-scheduler",
        "reportingInstance": "a-scheduler-1",
        "action": "Binding",
        "reason": "Scheduled",
        "type": "Normal",
        "regarding": {
            "kind": "Pod",
            "name": f"p{number}",
            "namespace": "default",
            "resourceVersion": f"{number}",
        },
        "note": f"p{number} to n{number}",
    }


def _config_map(number: int) -> dict[str, Any]:
    data = {"metadata.name": f"{number % 2}", "c1": "c1"}
    meta = {"name": f"c{number}"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


KINDS: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "pods": ("/api/v1/namespaces/default/pods", _pod),
    "events": ("/api/v1/namespaces/default/events", _event),
    "events.v1": ("/apis/events.k8s.io/v1/namespaces/default/events", _event_v1),
    "configmaps": ("/api/v1/namespaces/default/configmaps", _config_map),
}
STORED = ("pods", "events", "configmaps")
TEXTS = ["", 'a "quoted" \\ text', "zwölf\n\u2028", "\x7f", "x" * 1025, "\ud800", 5, None]
TIMES = [
    "2026-01-01T00:00:00.5Z", "0001-01-01T00:00:00Z", "2026-02-30T00:00:00Z", None, "",
    "2026-01-01T00:00:00+01:00", "0001-01-01T00:00:00.000000Z", "2026-01-01T00:00:60Z",
]  # fmt: skip
NAMES = ["", "UPPER", "a/b", "-", ".", "x" * 64, "x" * 254, "p1", "ä", None, 7, "a.b.c"]
ODD: dict[str, list[Any]] = {
    "name": NAMES,
    "node": NAMES,
    "text": TEXTS,
    "time": TIMES,
    "label": ["a", "-"],
    "namespace": ["kube-system", "default", ""],
    "unknown": [1],
    "repeated": [1],
    "spaced": [1],
    "broken": [1],
    "query": ["dryRun=All", "fieldManager=m", "fieldValidation=Strict", "pretty=true"],
    "accept": [
        "application/yaml", "text/html", "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", MSGPACK,
    ],
    "media": ["application/json; charset=utf-8", "text/x", "application/yaml"],
    "agent": ["curl/8", "other/1"],
    "fence": [TERM, "default/leader/other/0", "nonsense"],
    "again": [1],
}  # fmt: skip
ODDITIES = [(part, value) for part, values in ODD.items() for value in values]
LIMITS = {"default": {"cpu": "1"}, "type": "Container"}
RBAC = "rbac.authorization.k8s.io"
QUOTA = {"hard": {"pods": "0"}}
HAPPENINGS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "account goes": ("DELETE", "/api/v1/namespaces/default/serviceaccounts/default", None),
    "account comes": (
        "POST",
        "/api/v1/namespaces/default/serviceaccounts",
        {"metadata": {"name": "default"}, "automountServiceAccountToken": False},
    ),
    "limits": (
        "POST",
        "/api/v1/namespaces/default/limitranges",
        {"metadata": {"name": "l"}, "spec": {"limits": [LIMITS]}},
    ),
    "no limits": ("DELETE", "/api/v1/namespaces/default/limitranges/l", None),
    "class": (
        "POST",
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        {"metadata": {"name": "high"}, "value": 7, "globalDefault": True},
    ),
    "no class": ("DELETE", "/apis/scheduling.k8s.io/v1/priorityclasses/high", None),
    "restricted": (
        "PATCH",
        "/api/v1/namespaces/default",
        {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
    ),
    "warned": (
        "PATCH",
        "/api/v1/namespaces/default",
        {"metadata": {"labels": {
            "pod-security.kubernetes.io/enforce": None,
            "pod-security.kubernetes.io/warn": "restricted",
        }}},
    ),
    "privileged": ("PATCH", "/api/v1/namespaces/default", {"metadata": {"labels": None}}),
    "quota": (
        "POST",
        "/api/v1/namespaces/default/resourcequotas",
        {"metadata": {"name": "q"}, "spec": QUOTA},
    ),
    "no quota": ("DELETE", "/api/v1/namespaces/default/resourcequotas/q", None),
    "roles": (
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "metadata": {"name": "bob"},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "bob"}],
        },
    ),
    "no roles": ("DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/bob", None),
}  # fmt: skip
STEPS = st.one_of(
    st.fixed_dictionaries({
        "kind": st.sampled_from(sorted(KINDS)),
        "user": st.sampled_from(sorted(USERS)),
        "media": st.sampled_from([JSON, MSGPACK]),
        "accept": st.sampled_from(["", MSGPACK]),
        "passes_s": st.sampled_from([0, 1]),
        "count": st.sampled_from([1, 4]),
        "odd": st.one_of(st.just(None), st.sampled_from(ODDITIES)),
    }),
    st.fixed_dictionaries({"happens": st.sampled_from(sorted(HAPPENINGS))}),
)  # fmt: skip


class Way(Enum):
    """How requests come to the short way."""

    HANDLED = auto()
    BEGUN = auto()


class _General(AlikeCreates):
    """Knows no short way."""

    def is_worth_a_look(self, *_: object) -> bool:
        return False


async def _request(
    cluster: Cluster, way: Way, path: str, body: bytes, user: str, **headers: str
) -> ApiResponse:
    path, _, query = path.partition("?")
    asked = dict(part.split("=", 1) for part in query.split("&") if part)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    request = ApiRequest("POST", path, asked, sent, body, USERS[user])
    return await answered(cluster, request, begins=way is Way.BEGUN)


def _put(tree: Any, value: Any, *path: Any) -> None:
    for name in path[:-1]:
        tree = tree[name] if isinstance(name, int) else tree.setdefault(name, {})
    tree[path[-1]] = value


_NODE = (
    "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution",
    "nodeSelectorTerms", 0, "matchFields", 0, "values",
)  # fmt: skip


def _tree(step: dict[str, Any], number: int) -> dict[str, Any]:
    """What a client sends in a step."""
    kind = step["kind"]
    tree = copy.deepcopy(KINDS[kind][1](number))
    if "name" in step:
        _put(tree, step["name"], "metadata", "name")
    if "node" in step and kind == "pods":
        _put(tree, [step["node"]] if step["node"] != "" else ["n1", "n2"], *_NODE)
    if "text" in step:
        place = {"events": ("message",), "events.v1": ("note",)}.get(kind)
        _put(tree, step["text"], *(place or ("metadata", "annotations", "a")))
        if kind == "events":
            _put(tree, step["text"], "involvedObject", "resourceVersion")
    if "time" in step:
        _put(tree, step["time"], "eventTime" if kind == "events.v1" else "lastTimestamp")
    if "label" in step:
        _put(tree, step["label"], "metadata", "labels", "l")
    if "namespace" in step:
        _put(tree, step["namespace"], "metadata", "namespace")
    if "unknown" in step:
        tree["unknown"] = 1
    return tree


def _body(step: dict[str, Any], number: int) -> bytes:
    tree = _tree(step, number)
    if step["media"] == MSGPACK and step.get("text") != "\ud800":
        return msgspec.msgpack.encode(tree)
    body = json.dumps(tree, separators=(", ", ": ") if "spaced" in step else (",", ":"))
    if "repeated" in step:
        body = body.replace('"metadata"', '"metadata":{"name":"x"},"metadata"')
    return body.encode()[: -1 if "broken" in step else None]


async def _create(cluster: Cluster, way: Way, step: dict[str, Any], body: bytes) -> ApiResponse:
    path = KINDS[step["kind"]][0]
    term = {fence.KEY: step["fence"]} if "fence" in step else {}
    return await _request(
        cluster, way, f"{path}?{step.get('query', '')}", body, step["user"],
        content_type=step["media"], accept=step["accept"],
        user_agent=step.get("agent", "made/1"), **term,
    )  # fmt: skip


async def _same(steps: list[dict[str, Any]], way: Way) -> int:
    """Take the steps in two clusters; how many objects were made the short way."""
    clock = StillClock()
    clock.moment = StillClock.moment
    number = 0
    async with api_cluster(clock=clock) as short, api_cluster(clock=clock) as general:
        general.api.services.alike.__class__ = _General
        creates = _Counting.over(short)
        lease = {"metadata": {"name": "leader"}, "spec": {"holderIdentity": "me"}}
        for cluster in (short, general):
            await cluster.post("/apis/coordination.k8s.io/v1/namespaces/default/leases", lease)
            await cluster.post(*HAPPENINGS["account comes"][1:])
        clock.moment += timedelta(minutes=1)  # nobody waits any more for an account that is gone
        for step in steps:
            if "happens" in step:
                method, path, sent = HAPPENINGS[step["happens"]]
                media = MERGE if method == "PATCH" else JSON
                gone, too = [
                    await cluster.call(method, path, sent, content_type=media)
                    for cluster in (short, general)
                ]
                assert gone == too
                continue
            clock.moment += timedelta(seconds=step["passes_s"])
            step |= dict([step["odd"]] if step["odd"] is not None else [])
            for _ in range(step["count"]):
                number += 0 if "again" in step else 1
                body = _body(step, number)
                one, other = [
                    await _create(cluster, way, step, body) for cluster in (short, general)
                ]
                assert one == other
            assert kept(short, *STORED) == kept(general, *STORED)
        return creates.made


class _Counting(AlikeCreates):
    """Counts what is made the short way."""

    made: int

    @classmethod
    def over(cls, cluster: Cluster) -> "_Counting":
        creates = cluster.api.services.alike
        creates.__class__ = cls
        assert isinstance(creates, cls)
        creates.made = 0
        return creates

    def stage(self, *args: Any) -> Any:
        staged = super().stage(*args)
        self.made += staged is not None
        return staged


@settings(max_examples=20, deadline=None)
@given(steps=st.lists(STEPS, min_size=10, max_size=40), way=st.sampled_from(Way))
def test_what_is_alike_is_made_as_any_other(steps: list[dict[str, Any]], way: Way) -> None:
    asyncio.run(_same(steps, way))


def test_whatever_is_odd_about_one_and_whatever_happens() -> None:
    for kind in sorted(KINDS):
        for user, media, way in (("admin", JSON, Way.HANDLED), ("controller", MSGPACK, Way.BEGUN)):
            if kind == "configmaps" and user == "controller":
                continue  # it may not
            plain = {"kind": kind, "user": user, "media": media, "accept": "", "passes_s": 1}
            plain |= {"count": 6, "odd": None}
            steps: list[dict[str, Any]] = [plain.copy()]
            for odd in ODDITIES:
                steps += [{**plain, "count": 2, "odd": odd}, {**plain, "count": 2}]
            for happens in HAPPENINGS:
                steps += [{"happens": happens}, {**plain, "count": 4}]
            made = asyncio.run(_same(steps, way))
            assert made > len(ODDITIES), (kind, user, media)


def test_events_of_kubelets_are_alike_and_their_pods_are_not() -> None:
    plain = {"user": "fleet", "media": MSGPACK, "accept": "", "passes_s": 1, "count": 6}
    for kind in ("events", "events.v1", "pods"):
        made = asyncio.run(_same([{**plain, "kind": kind, "odd": None}], Way.BEGUN))
        assert bool(made) is (kind != "pods")


async def test_what_is_alike_begins() -> None:
    async with api_cluster() as cluster:
        for kind, (path, make) in KINDS.items():
            begun = []
            for number in range(4):
                body = json.dumps(make(number)).encode()
                request = ApiRequest("POST", path, {}, {"content-type": JSON}, body, ADMIN)
                begun.append(cluster.api.begin(request))
                if begun[-1] is None:
                    await cluster.api.handle(request)
            assert begun[-1] is not None, kind


async def _began(cluster: Cluster, body: bytes, agent: str, user: User = ADMIN) -> bool:
    path = KINDS["configmaps"][0]
    headers = {"content-type": JSON, "user-agent": agent}
    request = ApiRequest("POST", path, {}, headers, body, user)
    begun = cluster.api.begin(request)
    if begun is None:
        await cluster.api.handle(request)
    return begun is not None


async def test_what_a_stranger_may_make_long_is_not_kept() -> None:
    async with api_cluster() as cluster:
        for first, length, begins in ((10, MAX_AGENT, True), (20, MAX_AGENT + 1, False)):
            agent = "a" * length
            bodies = [json.dumps(_config_map(first + number)).encode() for number in range(8)]
            began = [await _began(cluster, body, agent) for body in bodies]
            assert any(began) is begins


def _with(groups: Sequence[str], extra: Sequence[tuple[str, tuple[str, ...]]]) -> User:
    return User(ADMIN.name, (*ADMIN.groups, *groups), ADMIN.uid, tuple(extra))


KNOWN = {
    "an account by its token": (_with([], [TOKEN]), True),
    "many groups": (_with(["g" * 32] * (MAX_USER // 32), []), False),
    "a long fact": (_with([], [("k", ("v" * MAX_USER,))]), False),
    "many empty groups": (_with([""] * MAX_USER, []), False),
    "many facts": (_with([], [(f"k{'x' * 16}{n}", ()) for n in range(MAX_USER // 16)]), False),
}


@pytest.mark.parametrize("who", KNOWN)
async def test_the_way_is_short_for_users_of_whom_no_more_is_known_than_of_accounts(
    who: str,
) -> None:
    user, begins = KNOWN[who]
    async with api_cluster() as cluster:
        bodies = [json.dumps(_config_map(number)).encode() for number in range(8)]
        began = [await _began(cluster, body, "a", user) for body in bodies]
        assert any(began) is begins


async def test_a_body_that_is_too_large_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    async with api_cluster() as cluster:
        compared: list[int] = []
        strings = bodies.Pattern.strings

        def noted(pattern: bodies.Pattern, body: bytes) -> list[bytes] | None:
            compared.append(len(body))
            return strings(pattern, body)

        monkeypatch.setattr(bodies.Pattern, "strings", noted)
        for number in range(8):
            await _began(cluster, json.dumps(_config_map(number)).encode(), "a")
        assert compared
        compared.clear()
        large = _config_map(9)
        large["metadata"]["name"] = "x" * bodies.MAX_BYTES
        assert not await _began(cluster, json.dumps(large).encode(), "a")
        assert not compared


def test_a_name_that_stands_everywhere_is_not_looked_for_everywhere() -> None:
    decoded: list[bytes] = []

    def decode(body: bytes) -> Any:
        decoded.append(body)
        return json.loads(body)

    wire = wires.Wire(wires.JSON.token, wires.JSON.read, decode)
    data = {str(number): "a" for number in range(1000)}
    for first, found in (({}, True), (data, False)):
        body = json.dumps({"labels": first, "message": "a", "metadata": {"name": "a"}}).encode()
        made = bodies.marked(wire, body, kinds.EVENTS, lambda slot: b"mark-" + slot.name.encode())
        assert (made is not None) is found
    assert len(decoded) < 100
