"""A placement that is kept says what one says that is made anew, whatever happened (hypothesis).

Nodes and pods come, change and go, the DaemonSet and its revisions change, the clock moves either
way; at any moment the plan on the kept placement must be the one on a new one. What a plan should
be is tested elsewhere: here both are computed by the same rules.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from daemonset_world import (
    ON_DELETE,
    UID,
    World,
    daemonset,
    node,
    owner,
    placement,
    pod,
    replaced,
    revision,
    rolling,
    taint,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api.helpers.scheduling import target_node_name
from kubeherd.cluster.api.objects import DaemonSet, Node, OwnerReference, Pod
from kubeherd.cluster.client.cache import Cache
from kubeherd.controller.daemonset.model import HASH_LABEL
from kubeherd.controller.daemonset.placement import Placement
from kubeherd.controller.daemonset.placements import NOTED_LIMIT, Placements
from kubeherd.controller.daemonset.template import Template
from kubeherd.controller.daemonset.wakeups import node_matters
from kubeherd.controller.workload.pods import podindex

replace = msgspec.structs.replace

NODES = [f"n{i}" for i in range(4)]
PODS = [f"p{i}" for i in range(9)]
PARTITION = {"kubeherd.io/rollout-partition": "1"}
SELECTOR = {"kubeherd.io/rollout-selector": "zone=a"}
GENERATION = {"deprecated.daemonset.template.generation": "7"}
STRATEGIES = [
    ON_DELETE,
    rolling(1),
    rolling("50%"),
    rolling("100%"),
    rolling(0, 1),
    rolling(0, "50%"),
]


class Kept:
    """A world in caches, with the placements that its events keep up to date."""

    def __init__(self) -> None:
        self.world = World(daemonset(), [], time_s=100.0)
        self.daemonsets: Cache[DaemonSet] = Cache()
        self.pods: Cache[Pod] = Cache()
        self.nodes: Cache[Node] = Cache()
        podindex.add_index(self.pods)
        self.placements = Placements(self.daemonsets, self.pods, self.nodes)
        self.template = Template(self.world.ds)
        self.changed(self.world.ds)

    def changed(self, ds: DaemonSet) -> None:
        if ds.metadata.generation != self.world.ds.metadata.generation:
            self.template = Template(ds)
        self.world.ds = ds
        self.daemonsets.put(("ns", "ds"), ds)

    def put_pod(self, name: str, new: Pod | None) -> None:
        key = ("ns", name)
        old = self.pods.remove(key) if new is None else self.pods.put(key, new)
        self.placements.pod_changed(old, new)

    def put_node(self, name: str, new: Node | None) -> None:
        key = ("", name)
        old = self.nodes.remove(key) if new is None else self.nodes.put(key, new)
        if (new is None and old is not None) or node_matters(old, new):
            self.placements.node_changed(name)

    def current(self) -> Placement:
        return self.placements.current(self.world.ds, self.template)

    def check(self) -> None:
        """The plan on what was kept is the one on what is made anew."""
        self.world.nodes = list(self.nodes.values())
        anew = placement(self.world.ds, self.nodes.values(), self.pods.values())
        expected, found = self.world.plan_on(anew), self.world.plan_on(self.current())
        assert found == expected


Event = Callable[[Kept], None]


def _node_event(name: str, new: Node | None) -> Event:
    return lambda kept: kept.put_node(name, new)


def _pod_event(name: str, new: Pod | None) -> Event:
    return lambda kept: kept.put_pod(name, new)


@st.composite
def node_events(draw: st.DrawFn) -> Event:
    name = draw(st.sampled_from(NODES))
    if draw(st.integers(0, 4)) == 0:
        return _node_event(name, None)
    taints = draw(st.sampled_from([[], [], [taint("x")], [taint("x", "NoExecute")]]))
    labels = draw(st.sampled_from([{}, {"zone": "a"}]))
    return _node_event(name, node(name, labels=labels, taints=taints))


@st.composite
def pod_events(draw: st.DrawFn) -> Event:
    name = draw(st.sampled_from(PODS))
    if draw(st.integers(0, 4)) == 0:
        return _pod_event(name, None)
    made = pod(
        name,
        draw(st.sampled_from([*NODES, "gone"])),
        hash_=draw(st.sampled_from(["h1", "h1", "h2", ""])),
        phase=draw(st.sampled_from(["Running", "Running", "Running", "Failed", "Succeeded"])),
        ready=draw(st.sampled_from([True, True, False])),
        ready_at_s=draw(st.sampled_from([0.0, 95.0, 120.0])),
        created_s=draw(st.integers(0, 2)),
        bound=draw(st.sampled_from([True, True, False])),
        deleting=draw(st.sampled_from([False, False, False, True])),
        owned_by=draw(st.sampled_from([owner(), owner(), owner(), None, owner("someone")])),
        labels=draw(st.sampled_from([None, None, None, {"app": "b"}])),
    )
    return _pod_event(name, made)


@st.composite
def pod_moves(draw: st.DrawFn) -> Event:
    """The next thing in the life of a pod, which leaves most of it as it was."""
    name = draw(st.sampled_from([*PODS, *PODS[: len(NODES)]]))
    change = draw(st.sampled_from(list(_LATER)))

    def move(kept: Kept) -> None:
        old = kept.pods.get("ns", name)
        if old is not None:
            kept.put_pod(name, _LATER[change](old))

    return move


def _bound(old: Pod) -> Pod:
    return replace(old, spec=replace(old.spec, node_name=target_node_name(old)))


def _with_status(old: Pod, **status: Any) -> Pod:
    return replace(old, status=replace(old.status, **status))


def _deleting(old: Pod) -> Pod:
    moment = old.metadata.creation_timestamp
    return replace(old, metadata=replace(old.metadata, deletion_timestamp=moment))


def _labelled(old: Pod, hash_: str) -> Pod:
    labels = {**old.metadata.labels, HASH_LABEL: hash_}
    return replace(old, metadata=replace(old.metadata, labels=labels))


def _owned(old: Pod, *by: OwnerReference) -> Pod:
    return replace(old, metadata=replace(old.metadata, owner_references=by))


_READY = pod("ready", "", ready=True).status.conditions
_LATER: dict[str, Callable[[Pod], Pod]] = {
    "bound": _bound,
    "ready": lambda old: _with_status(old, conditions=_READY),
    "not ready": lambda old: _with_status(old, conditions=[]),
    "another hash": lambda old: _labelled(old, "h3"),
    "an owner": lambda old: _owned(old, owner()),
    "another owner": lambda old: _owned(old, owner("someone")),
    "no owner": _owned,
    "failed": lambda old: _with_status(old, phase="Failed"),
    "deleting": _deleting,
}


@st.composite
def daemonset_events(draw: st.DrawFn) -> Event:
    spec = {
        "update_strategy": draw(st.sampled_from(STRATEGIES)),
        "min_ready_seconds": draw(st.sampled_from([0, 10, 30])),
        "revision_history_limit": draw(st.sampled_from([None, 0])),
    }
    image = draw(st.sampled_from(["", "img:1", "img:2"]))
    annotations = draw(st.sampled_from([{}, {}, PARTITION, SELECTOR, GENERATION]))

    def change(kept: Kept) -> None:
        ds = replaced(kept.world.ds, image=image, **spec)
        metadata = replace(ds.metadata, annotations=annotations)
        kept.changed(replace(ds, metadata=metadata))

    return change


@st.composite
def revision_events(draw: st.DrawFn) -> Event:
    """Which template has the hash h1, and which others there are."""
    images = draw(st.lists(st.sampled_from(["img:1", "img:2", "img:3"]), max_size=3))

    def change(kept: Kept) -> None:
        kept.world.revisions = [
            revision(kept.world.ds, number, image=image, name=f"r{number}", hash_=f"h{number}")
            for number, image in enumerate(images, 1)
        ]

    return change


def _moved(by_s: float) -> Event:
    def move(kept: Kept) -> None:
        kept.world.time_s += by_s

    return move


events = st.one_of(
    node_events(),
    pod_events(),
    pod_events(),
    pod_events(),
    pod_moves(),
    pod_moves(),
    daemonset_events(),
    revision_events(),
    st.sampled_from([1.0, 6.0, 25.0, -20.0]).map(_moved),
    st.just(Kept.check),
    st.just(Kept.check),
)


@given(st.lists(events, max_size=60))
@settings(deadline=None)
def test_what_is_kept_says_what_is_made_anew(happened: list[Event]) -> None:
    kept = Kept()
    for event in happened:
        event(kept)
    kept.check()


@st.composite
def rollouts(draw: st.DrawFn) -> Iterator[Event]:
    """All nodes there, most pods as a rollout makes them: one of a node, or an old and a new one,
    which then go their ways."""
    life: list[Event] = [draw(revision_events()), draw(daemonset_events())]
    life += [_node_event(name, node(name)) for name in NODES]
    for index, name in enumerate(NODES * draw(st.sampled_from([1, 1, 2]))):
        ready, bound = draw(st.booleans()), draw(st.booleans())
        hash_ = draw(st.sampled_from(["h1", "h2"]))
        made = pod(f"p{index}", name, hash_=hash_, ready=ready, ready_at_s=95.0, bound=bound)
        life.append(_pod_event(f"p{index}", made))
    later = st.one_of(pod_moves(), pod_moves(), st.just(Kept.check), events)
    return iter([*life, Kept.check, *draw(st.lists(later, max_size=40)), Kept.check])


@given(rollouts())
@settings(deadline=None)
def test_a_rollout_that_is_kept_goes_on_as_one_that_is_seen_anew(life: Iterator[Event]) -> None:
    kept = Kept()
    for event in life:
        event(kept)


def test_what_nobody_looks_at_is_made_anew() -> None:
    kept = Kept()
    first = kept.current()
    for index in range(NOTED_LIMIT + 1):
        kept.put_pod(f"p{index}", pod(f"p{index}", "n1"))
    assert kept.current() is not first
    kept.check()


def test_a_daemonset_that_is_gone_keeps_nothing() -> None:
    kept = Kept()
    first = kept.current()
    assert kept.current() is first
    kept.daemonsets.remove(("ns", "ds"))
    kept.placements.forget(kept.world.ds)
    assert kept.current() is not kept.current()
    kept.daemonsets.put(("ns", "ds"), daemonset(uid=f"{UID}-2"))
    assert kept.current() is not kept.current()
