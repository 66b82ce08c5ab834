"""Which owners an event wakes: upstream's TestUpdatePods, TestPodControllerLookup and so on."""

from collections.abc import Iterable, Mapping

import msgspec
import pytest
from daemonset_world import NS
from replicaset_world import controlled_by, pod, replicaset

from kubeherd.cluster.api.labels import EVERYTHING, Selector, from_selector
from kubeherd.cluster.api.objects import OwnerReference, Pod
from kubeherd.controller.workload.apps import ReplicaSet
from kubeherd.controller.workload.wakeups import Wakeups, key_of

ONE = replicaset(name="one", uid="1", labels={"foo": "bar"})
TWO = replicaset(name="two", uid="2", labels={"bar": "foo"})
BY_ONE = controlled_by("1", "one")
BY_TWO = controlled_by("2", "two")


class Cached:
    """The ReplicaSets of a world."""

    def get(self, namespace: str, name: str) -> ReplicaSet | None:
        return {(NS, "one"): ONE, (NS, "two"): TWO}.get((namespace, name))

    def in_namespace(self, namespace: str) -> Iterable[ReplicaSet]:
        return [ONE, TWO] if namespace == NS else []


def selector_of(found: ReplicaSet) -> Selector:
    return from_selector(found.spec.selector)


WAKEUPS: Wakeups[ReplicaSet] = Wakeups("ReplicaSet", Cached(), selector_of)


def version(
    number: int,
    labels: Mapping[str, str],
    owner: OwnerReference | None,
    *,
    deleting: bool = False,
    namespace: str = NS,
) -> Pod:
    return pod(
        "p",
        labels=dict(labels),
        owner=owner,
        resource_version=str(number),
        deleting=deleting,
        namespace=namespace,
    )


FOO, BAR = {"foo": "bar"}, {"bar": "foo"}
BOTH = {**FOO, **BAR}


@pytest.mark.parametrize(
    ("old", "new", "woken"),
    [
        # added
        (None, version(1, FOO, BY_ONE), ["one"]),
        (None, version(1, FOO, None), ["one"]),
        (None, version(1, BOTH, None), ["one", "two"]),
        (None, version(1, {}, None), []),
        (None, version(1, FOO, None, namespace="other"), []),
        (None, version(1, FOO, BY_ONE, deleting=True), ["one"]),
        (None, version(1, FOO, None, deleting=True), []),
        # deleted
        (version(1, FOO, BY_ONE), None, ["one"]),
        (version(1, FOO, None), None, []),
        # updated: owned, orphaned by its owner, orphaned by one and matching another
        (version(1, FOO, BY_ONE), version(2, BAR, BY_ONE), ["one"]),
        (version(1, BAR, BY_TWO), version(2, BAR, None), ["two"]),
        (version(1, BAR, BY_ONE), version(2, BAR, None), ["one", "two"]),
        (version(1, FOO, BY_TWO), version(2, BAR, BY_TWO), ["two"]),
        (version(1, FOO, BY_ONE), version(2, FOO, BY_TWO), ["one", "two"]),
        # updated: an orphan
        (version(1, FOO, None), version(2, FOO, None), []),
        (version(1, {}, None), version(2, BAR, None), ["two"]),
        # the same version, as a resync sends it
        (version(1, FOO, BY_ONE), version(1, FOO, BY_ONE), []),
        # being deleted
        (version(1, FOO, BY_ONE), version(2, FOO, BY_ONE, deleting=True), ["one"]),
        (version(1, {}, None), version(2, FOO, None, deleting=True), []),
        # references that mean nobody: another kind, another life of the owner
        (None, version(1, FOO, controlled_by("1", "one", "ReplicationController")), []),
        (None, version(1, FOO, controlled_by("9", "one")), []),
        (None, version(1, FOO, controlled_by("9", "gone")), []),
    ],
)
def test_who_is_woken(old: Pod | None, new: Pod | None, woken: list[str]) -> None:
    assert sorted(name for _, name in map(key_of, WAKEUPS.changed(old, new))) == woken


def test_a_workload_that_selects_everything_adopts_nothing() -> None:
    greedy: Wakeups[ReplicaSet] = Wakeups("ReplicaSet", Cached(), lambda _: EVERYTHING)
    assert greedy.changed(None, version(1, FOO, None)) == []


def test_the_group_of_a_reference_is_not_compared() -> None:
    foreign = msgspec.structs.replace(BY_ONE, api_version="x.io/v1")
    assert WAKEUPS.owner(version(1, FOO, foreign)) is ONE
