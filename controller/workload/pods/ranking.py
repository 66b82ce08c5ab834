"""Which pods of a workload are deleted first (pkg/controller/controller_utils.go). Pure.

Source: spec replicaset-controller 5. Invariant: a pod that serves nobody (without a node, not
running, not ready) goes before one that does, whatever else is said of them.
"""

import math
from collections import Counter
from collections.abc import Iterable
from functools import cmp_to_key

import msgspec

from kubeherd.cluster.api.helpers.podutil import AgeOf, is_active, ready_condition
from kubeherd.cluster.api.objects import Condition, Pod
from kubeherd.cluster.api.timestamps import parse_time

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}
_NO_TIME = math.inf
"""A time that is not set counts as later than all others."""
_NANOSECONDS = 1e9
_MIN_COST, _MAX_COST = -(2**31), 2**31 - 1


_Moment = tuple[float, int]
"""Seconds of the epoch, and the whole binary logarithm of the age."""


class _Facts(msgspec.Struct, frozen=True, gc=False):
    """What the order of a pod hangs on.

    `first`: what decides before times do; the lower one goes first, as with `restarts`.
    """

    pod: Pod
    first: tuple[int, ...]
    ready_since: _Moment
    restarts: tuple[int, int]
    created: _Moment
    uid: str


def deletion_order(pods: Iterable[Pod]) -> list[Pod]:
    """The pods, those to be deleted first in front (upstream's ActivePods).

    Times count exactly here, and neither costs nor nodes do.
    """
    return sorted(pods, key=_exact_key)


def ranked_deletion_order(pods: Iterable[Pod], related: Iterable[Pod], age_s: AgeOf) -> list[Pod]:
    """The pods, those to be deleted first in front (upstream's ActivePodsWithRanks).

    Of two pods that both serve, that with the lower deletion cost goes first, then that with more
    active pods of `related` on its node. Ages count by their magnitude only: who is among the
    younger half goes by chance (the UID), not always the newest.
    """
    on_node = Counter(pod.spec.node_name for pod in related if is_active(pod))
    facts = [_facts(pod, on_node[pod.spec.node_name], age_s) for pod in pods]
    facts.sort(key=cmp_to_key(_compare))
    return [each.pod for each in facts]


def deletion_cost(pod: Pod) -> int:
    """The cost that its annotation gives; 0 without one, or if it is no 32-bit integer in the
    form of Go: no plus sign, no leading zeros."""
    text = pod.metadata.annotations.get(DELETION_COST, "")
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or (text != "0" and text[0] == "0"):
        return 0
    if len(digits.lstrip("0")) > len(str(_MAX_COST)):
        return 0
    cost = int(text)
    return cost if _MIN_COST <= cost <= _MAX_COST else 0


def _exact_key(pod: Pod) -> tuple[float, ...]:
    condition = ready_condition(pod)
    since = 0.0 if condition is None else _seconds(condition.last_transition_time)
    created = _seconds(pod.metadata.creation_timestamp)
    return (*_serving(pod, condition), -since, *_restarts(pod), -created)


def _facts(pod: Pod, rank: int, age_s: AgeOf) -> _Facts:
    metadata, condition = pod.metadata, ready_condition(pod)
    since = None if condition is None else condition.last_transition_time
    return _Facts(
        pod=pod,
        first=(*_serving(pod, condition), deletion_cost(pod), -rank),
        ready_since=_moment(since, age_s),
        restarts=_restarts(pod),
        created=_moment(metadata.creation_timestamp, age_s),
        uid=metadata.uid,
    )


def _compare(one: _Facts, other: _Facts) -> int:
    if one.first != other.first:
        return -1 if one.first < other.first else 1
    if one.ready_since[0] != other.ready_since[0]:
        return _younger_first(one.ready_since, other.ready_since) or _by_uid(one, other)
    if one.restarts != other.restarts:
        return -1 if one.restarts < other.restarts else 1
    if one.created[0] != other.created[0]:
        return _younger_first(one.created, other.created) or _by_uid(one, other)
    return 0


def _younger_first(one: _Moment, other: _Moment) -> int:
    if _NO_TIME in (one[0], other[0]):
        return -1 if one[0] == _NO_TIME else 1
    return one[1] - other[1]


def _by_uid(one: _Facts, other: _Facts) -> int:
    return (one.uid > other.uid) - (one.uid < other.uid)


def _serving(pod: Pod, ready: Condition | None) -> tuple[int, int, int]:
    return bool(pod.spec.node_name), _PHASES.get(pod.status.phase, 0), ready is not None


def _seconds(timestamp: str | None) -> float:
    return parse_time(timestamp).timestamp() if timestamp else _NO_TIME


def _moment(timestamp: str | None, age_s: AgeOf) -> _Moment:
    if not timestamp:
        return _NO_TIME, 0
    age_ns = int(age_s(timestamp) * _NANOSECONDS)
    return _seconds(timestamp), int(math.log2(age_ns)) if age_ns > 0 else -1


def _restarts(pod: Pod) -> tuple[int, int]:
    """The most restarts of a container, and of an init container that is restarted always, below
    zero: more of them go first."""
    status = pod.status
    regular = max((s.get("restartCount") or 0 for s in status.container_statuses), default=0)
    if not status.init_container_statuses:
        return -regular, 0
    sidecars = {c.name for c in pod.spec.init_containers if c.restart_policy == "Always"}
    restarts = (
        s.get("restartCount") or 0
        for s in status.init_container_statuses
        if s.get("name") in sidecars
    )
    return -regular, -max(restarts, default=0)
