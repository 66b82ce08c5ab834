"""How fast NoExecute taints may spread: zone states, rates and one queue per zone (spec 5).

Pure. The rule behind it: when most of a zone looks dead it is likelier that the network is, so
evictions slow down or stop; when everything looks dead they stop altogether.
"""

from collections.abc import Mapping, Sequence
from enum import Enum

import msgspec

from kubeherd.cluster.api.objects import Node
from kubeherd.controller.nodes.health import Status

EVICTION_RATE = 0.1
SECONDARY_EVICTION_RATE = 0.01
LARGE_CLUSTER_SIZE_THRESHOLD = 50
UNHEALTHY_ZONE_THRESHOLD = 0.55
EXCLUDE_LABEL = "node.kubernetes.io/exclude-disruption"
TAINT_PASS_PERIOD_S = 0.1


class ZoneState(Enum):
    """How much of a zone is not ready; INITIAL before the first pass."""

    INITIAL = "Initial"
    NORMAL = "Normal"
    PARTIAL_DISRUPTION = "PartialDisruption"
    FULL_DISRUPTION = "FullDisruption"


def zone_key(labels: Mapping[str, str]) -> str:
    """``<region>:<NUL>:<zone>``, beta labels first; empty when the node names neither."""
    region = labels.get(
        "failure-domain.beta.kubernetes.io/region", labels.get("topology.kubernetes.io/region", "")
    )
    zone = labels.get(
        "failure-domain.beta.kubernetes.io/zone", labels.get("topology.kubernetes.io/zone", "")
    )
    return f"{region}:\x00:{zone}" if region or zone else ""


def is_counted(node: Node) -> bool:
    """Whether a node counts for the state of its zone."""
    return EXCLUDE_LABEL not in node.metadata.labels


def zone_state(ready: Sequence[str | None]) -> ZoneState:
    """The state of a zone whose counted nodes have these Ready statuses."""
    healthy = ready.count(Status.TRUE)
    unhealthy = len(ready) - healthy
    if healthy == 0 and unhealthy > 0:
        return ZoneState.FULL_DISRUPTION
    if unhealthy > 2 and unhealthy / len(ready) >= UNHEALTHY_ZONE_THRESHOLD:
        return ZoneState.PARTIAL_DISRUPTION
    return ZoneState.NORMAL


def rate_for(state: ZoneState, size: int) -> float:
    """Nodes per second that may get a NoExecute taint in a zone of ``size`` counted nodes."""
    if state is ZoneState.PARTIAL_DISRUPTION:
        return SECONDARY_EVICTION_RATE if size > LARGE_CLUSTER_SIZE_THRESHOLD else 0.0
    return EVICTION_RATE


class TokenBucket(msgspec.Struct):
    """A token bucket of burst 1; a rate of 0 never accepts."""

    rate: float
    filled_s: float = 0.0
    """When the one token is (or was) there, in nominal monotonic seconds."""

    def ready_at_s(self) -> float | None:
        """When the next token can be taken; None if never at this rate."""
        return self.filled_s if self.rate > 0 else None

    def try_take(self, now_s: float) -> bool:
        """Take the token; False if it is not there yet."""
        if self.rate <= 0 or now_s < self.filled_s:
            return False
        self.filled_s = now_s + 1 / self.rate
        return True

    def swap(self, rate: float, now_s: float) -> None:
        """Change the rate; an empty (or stopped) bucket stays empty for one interval."""
        if rate == self.rate:
            return
        had_token = self.rate > 0 and now_s >= self.filled_s
        self.rate = rate
        if rate > 0:
            self.filled_s = now_s if had_token else now_s + 1 / rate


class ZoneQueue(msgspec.Struct):
    """Nodes of one zone that wait for their NoExecute taint, oldest first."""

    bucket: TokenBucket
    waiting: dict[str, None] = msgspec.field(default_factory=dict)

    def next_due(self, now_s: float) -> str | None:
        """Take the next node whose turn it is, spending the zone's token."""
        if self.waiting and self.bucket.try_take(now_s):
            name = next(iter(self.waiting))
            del self.waiting[name]
            return name
        return None


class Disruption(msgspec.Struct, frozen=True):
    """What a pass changes: new zone states and rates, and the two switches of full disruption."""

    states: Mapping[str, ZoneState]
    rates: Mapping[str, float]
    """Only for the zones whose rate must be set."""
    clear_all: bool = False
    """Everything just went dark: take the NoExecute taints off all nodes."""
    reset_probes: bool = False
    """Something is alive again: every node gets a new grace period."""


def disruption(
    before: Mapping[str, ZoneState], ready_by_zone: Mapping[str, Sequence[str | None]]
) -> Disruption:
    """The zone states after a pass, and what follows from the change (spec 5)."""
    states = {zone: zone_state(ready) for zone, ready in ready_by_zone.items()}
    old = {zone: before.get(zone, ZoneState.INITIAL) for zone in states}
    all_dark = all(state is ZoneState.FULL_DISRUPTION for state in states.values())
    all_were_dark = all(state is ZoneState.FULL_DISRUPTION for state in old.values())
    if all_dark and all_were_dark:
        return Disruption(states, {})
    if all_dark:
        return Disruption(states, dict.fromkeys(states, 0.0), clear_all=True)
    return Disruption(
        states,
        {
            zone: rate_for(state, len(ready_by_zone[zone]))
            for zone, state in states.items()
            if all_were_dark or state is not old[zone]
        },
        reset_probes=all_were_dark,
    )
