"""RollingUpdate: which old pods to replace now (spec section 8).

Invariants: of the available old pods no more are deleted than maxUnavailable leaves room for; with
surge no more nodes have a second pod than maxSurge, but for nodes whose old pod does not work
anyway. `Gate` lets the rollout controls (`rollout.py`) narrow what is chosen, never widen it.
"""

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Final

import msgspec

from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.daemonset.model import BURST_REPLICAS
from kubeherd.controller.daemonset.placement import Placement
from kubeherd.controller.daemonset.site import Candidate

OLD_AVAILABLE: Final = (
    Candidate.AVAILABLE,
    Candidate.UNWANTED_AVAILABLE,
    Candidate.NO_NODE_AVAILABLE,
)
OLD_UNAVAILABLE: Final = (
    Candidate.UNAVAILABLE,
    Candidate.UNWANTED_UNAVAILABLE,
    Candidate.NO_NODE_UNAVAILABLE,
)


class StrategyError(Exception):
    """The rolling step could not be computed; the sync fails with this text."""


class Gate(msgspec.Struct, frozen=True):
    """What rollout controls leave open: at most `limit` nodes (None: any) out of those allowed."""

    limit: int | None = None
    allows: Callable[[str], bool] | None = None
    """Whether the node of this name is one of them; None: all are."""


OPEN = Gate()


class Step(msgspec.Struct):
    """One rolling step, at most a burst of each: node names to create pods on (surge), pods to
    delete."""

    creates: list[str] = msgspec.field(default_factory=list)
    deletes: list[Pod] = msgspec.field(default_factory=list)


def without_surge(placement: Placement, max_unavailable: int, gate: Gate = OPEN) -> Step:
    """Section 8.3: all unavailable old pods, and available ones as far as the budget goes."""
    room = max(0, max_unavailable - unavailable(placement))
    replace = _allowed(placement, gate, *OLD_UNAVAILABLE)
    candidates = _allowed(placement, gate, *OLD_AVAILABLE)
    names = islice(chain(replace, islice(candidates, room)), _most(gate))
    return Step(deletes=_old_pods(placement, names))


def unavailable(placement: Placement) -> int:
    """How many nodes use maxUnavailable up."""
    return placement.how_many(lambda rolling: rolling.unavailable)


def with_surge(placement: Placement, max_surge: int, desired: int, gate: Gate = OPEN) -> Step:
    """Section 8.4: a second pod on some nodes; the old one goes when the new one is available."""
    for name in placement.candidates(Candidate.NO_NODE_AVAILABLE, Candidate.NO_NODE_UNAVAILABLE):
        raise StrategyError(f'couldn\'t get node for nodeName "{name}": node "{name}" not found')
    surging = placement.how_many(lambda rolling: rolling.surging)
    serving = placement.how_many(lambda rolling: rolling.serving)
    spare = max(0, serving - desired)
    ending = placement.candidates(Candidate.REPLACED, Candidate.UNWANTED_UNAVAILABLE)
    unwanted = islice(placement.candidates(Candidate.UNWANTED_AVAILABLE), spare)
    room = max(0, max_surge - surging)
    candidates = _allowed(placement, gate, Candidate.AVAILABLE)
    creates = chain(_allowed(placement, gate, Candidate.UNAVAILABLE), islice(candidates, room))
    return Step(
        creates=list(islice(creates, _most(gate))),
        deletes=_old_pods(placement, islice(chain(ending, unwanted), BURST_REPLICAS)),
    )


def _most(gate: Gate) -> int:
    return BURST_REPLICAS if gate.limit is None else min(gate.limit, BURST_REPLICAS)


def _allowed(placement: Placement, gate: Gate, *which: Candidate) -> Iterator[str]:
    names = placement.candidates(*which)
    return names if gate.allows is None else filter(gate.allows, names)


def _old_pods(placement: Placement, names: Iterator[str]) -> list[Pod]:
    found = (placement.node_pods(name).old for name in names)
    return [pod for pod in found if pod is not None]
