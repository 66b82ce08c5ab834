"""What a browser gets of a herd: values that become JSON as they are. Pure.

A `State` is everything, a `Change` what became different since a state that the browser has; a
field that is not there has its default, or has not changed. Times are seconds since the epoch.
"""

from collections.abc import Iterable, Mapping

import msgspec

from kubeherd.faults import Fault, Nodes
from kubeherd.herd.herd import Herd
from kubeherd.herd.model import (
    Cell,
    Health,
    News,
    Part,
    ProcessSeen,
    Revision,
    Rollout,
    Taint,
    Tile,
)

NEWS = 300
"""So many lines of news are in a `State`."""


class TileView(msgspec.Struct, omit_defaults=True):
    """A `Tile` whose pods are a list."""

    name: str
    health: Health = Health.GONE
    zone: str = ""
    cordoned: bool = False
    taints: tuple[Taint, ...] = ()
    labels: dict[str, str] = {}
    beat: float = 0.0
    pods: list[Cell] = []
    """Oldest first."""
    faults: tuple[str, ...] = ()
    process: str = ""


class RolloutView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A `Rollout`, and what follows from it."""

    key: str
    kind: str
    namespace: str
    name: str
    desired: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    unavailable: int = 0
    budget: int = 0
    surge: int = 0
    revisions: tuple[Revision, ...] = ()
    strategy: str = ""
    paused: bool = False
    observed: bool = True
    done: bool = False
    owners: tuple[str, ...] = ()
    """Who owns its pods, as `Cell.owner`."""
    holds_up: tuple[str, ...] = ()


class FaultView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fault in force."""

    id: str
    kind: str
    text: str
    nodes: tuple[str, ...] = ()
    since: float = 0.0
    undoable: bool = True


class State(msgspec.Struct, kw_only=True):
    """A whole herd at one moment."""

    sequence: int
    at: float
    began: float
    speed: float
    revision: int
    note: str
    """Why the cluster does not answer; "" while it does."""
    nodes: list[TileView]
    unbound: list[Cell]
    rollouts: list[RolloutView]
    faults: list[FaultView]
    processes: list[ProcessSeen]
    leaders: dict[str, str]
    news: list[News]
    """Newest last."""


class Change(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became different since `since`."""

    since: int
    sequence: int
    at: float
    revision: int
    note: str
    nodes: list[TileView] = []
    gone: list[str] = []
    """Nodes that are no more."""
    beats: dict[str, float] = {}
    """Nodes of which only a heartbeat was heard, and when."""
    unbound: list[Cell] | None = None
    rollouts: list[RolloutView] = []
    rollouts_gone: list[str] = []
    faults: list[FaultView] | None = None
    processes: list[ProcessSeen] | None = None
    leaders: dict[str, str] | None = None
    news: list[News] = []


def tile(of: Tile) -> TileView:
    """A node and its pods."""
    return TileView(
        of.name,
        of.health,
        of.zone,
        of.cordoned,
        of.taints,
        of.labels,
        of.beat,
        list(of.pods.values()),
        of.faults,
        of.process,
    )


def rollout(of: Rollout, herd: Herd) -> RolloutView:
    """A workload, with what holds it up in this herd."""
    return RolloutView(
        key=of.key,
        kind=of.kind,
        namespace=of.namespace,
        name=of.name,
        desired=of.desired,
        updated=of.updated,
        ready=of.ready,
        available=of.available,
        unavailable=of.unavailable,
        budget=of.budget,
        surge=of.surge,
        revisions=of.revisions,
        strategy=of.strategy,
        paused=of.paused,
        observed=of.observed,
        done=of.done,
        owners=tuple(sorted(of.owners)),
        holds_up=tuple(herd.holds_up(of)),
    )


def fault(of: Fault) -> FaultView:
    """A fault, in words, too."""
    nodes = of.target.names if isinstance(of.target, Nodes) else ()
    return FaultView(of.id, of.kind.value, str(of), nodes, of.at, of.undoable)


def rollouts(herd: Herd) -> list[RolloutView]:
    """All workloads."""
    return [rollout(one, herd) for one in herd.rollouts.values()]


def state(
    herd: Herd, *, at: float, note: str = "", views: Iterable[RolloutView] | None = None
) -> State:
    """The whole herd; `views`: its rollouts, if somebody has made them."""
    return State(
        sequence=herd.sequence,
        at=at,
        began=herd.began.at,
        speed=herd.began.speed,
        revision=herd.revision,
        note=note,
        nodes=[tile(one) for one in herd.nodes.values()],
        unbound=list(herd.unbound.values()),
        rollouts=list(rollouts(herd) if views is None else views),
        faults=[fault(one) for one in herd.faults.values()],
        processes=list(herd.processes.values()),
        leaders=dict(herd.leaders),
        news=list(herd.news)[-NEWS:],
    )


class Known(msgspec.Struct, frozen=True):
    """What a browser has seen of a herd."""

    sequence: int
    told: int
    """Of the news."""


def known(herd: Herd) -> Known:
    """What one knows who has seen all of it."""
    return Known(herd.sequence, herd.told)


def change(
    herd: Herd,
    since: Known,
    views: Mapping[str, tuple[RolloutView, int]],
    *,
    at: float,
    note: str,
) -> Change | None:
    """What became different; None if that cannot be told any more.

    `views` are the rollouts, each with the change of the herd at which its view changed last.
    """
    before = since.sequence
    news = herd.told - since.told
    if _forgotten(herd, before) or news > NEWS:
        return None
    nodes = herd.nodes.values()
    return Change(
        since=before,
        sequence=herd.sequence,
        at=at,
        revision=herd.revision,
        note=note,
        nodes=[tile(one) for one in nodes if one.changed > before],
        gone=[name for at, name in herd.gone if at > before and name not in herd.nodes],
        beats={one.name: one.beat for one in nodes if one.beaten > before >= one.changed},
        unbound=list(herd.unbound.values()) if herd.changed[Part.UNBOUND] > before else None,
        rollouts=[view for view, at in views.values() if at > before],
        rollouts_gone=[
            key for at, key in herd.rollouts_gone if at > before and key not in herd.rollouts
        ],
        faults=_changed_faults(herd, before),
        processes=list(herd.processes.values()) if herd.changed[Part.PROCESSES] > before else None,
        leaders=dict(herd.leaders) if herd.changed[Part.LEADERS] > before else None,
        news=list(herd.news)[-news:] if news else [],
    )


def _changed_faults(herd: Herd, before: int) -> list[FaultView] | None:
    if herd.changed[Part.FAULTS] <= before:
        return None
    return [fault(one) for one in herd.faults.values()]


def _forgotten(herd: Herd, before: int) -> bool:
    """Whether more has gone since than is remembered."""
    full = (one for one in (herd.gone, herd.rollouts_gone) if len(one) == one.maxlen)
    return any(one[0][0] > before for one in full)
