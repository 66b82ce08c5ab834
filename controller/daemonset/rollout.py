"""Rollout controls beyond Kubernetes: annotations that hold a rolling update back.

Off unless asked for; semantics of OpenKruise's Advanced DaemonSet; described for users in
docs/rollout-controls.md. Invariants: a control only ever narrows what the strategy of Kubernetes
would do; a value that cannot be read holds everything; the text of a hold stays the same as long as
its cause does, so that it is reported once.
"""

from collections.abc import Sequence

import msgspec

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.helpers.podutil import AgeOf, ready_condition
from kubeherd.cluster.api.intstr import InvalidNumber, scaled
from kubeherd.cluster.api.objects import DaemonSet
from kubeherd.controller.daemonset.model import Known, NodeOf, Reason
from kubeherd.controller.daemonset.placement import Placement
from kubeherd.controller.daemonset.strategy import OLD_AVAILABLE, OLD_UNAVAILABLE, OPEN, Gate
from kubeherd.controller.workload.events import Event, EventType

PREFIX = "kubeherd.io/rollout-"
PARTITION = PREFIX + "partition"
PAUSED = PREFIX + "paused"
SELECTOR = PREFIX + "selector"
PROGRESS_HOLD = PREFIX + "progress-hold-seconds"

_CLOSED = Gate(limit=0)


class Control(msgspec.Struct, frozen=True):
    """What the annotations leave open, why something is held ("" if nothing is), when to look."""

    gate: Gate = OPEN
    hold: str = ""
    invalid: bool = False
    requeue_after_s: float | None = None


class _BadValue(ValueError):
    """An annotation that cannot be read."""


class _Settings(msgspec.Struct, frozen=True):
    paused: bool
    partition: int
    selector: labels.Selector | None
    hold_s: float


def control(known: Known, placement: Placement, desired: int, age_s: AgeOf) -> Control:
    """Apply the annotations of a DaemonSet whose nodes were looked at."""
    daemonset = known.daemonset
    annotations = daemonset.metadata.annotations
    if not any(key.startswith(PREFIX) for key in annotations):
        return Control()
    old = list(placement.candidates(*OLD_AVAILABLE, *OLD_UNAVAILABLE))
    if not old:
        return Control()
    try:
        settings = _settings(annotations, desired)
    except _BadValue as problem:
        return Control(_CLOSED, f"{problem}; the rollout is held", invalid=True)
    if settings.paused:
        return Control(_CLOSED, f"the rollout is paused ({PAUSED})")
    min_ready_s = daemonset.spec.min_ready_seconds
    wait_s = _remaining_hold_s(placement, min_ready_s, settings.hold_s, age_s)
    if wait_s is not None:
        hold = (
            f"updated pods must have been available for {settings.hold_s:g} s before the rollout"
            f" goes on ({PROGRESS_HOLD})"
        )
        return Control(_CLOSED, hold, requeue_after_s=wait_s or None)
    return _narrow(settings, old, known.node_of)


def selects_nodes(daemonset: DaemonSet) -> bool:
    """Whether the labels of nodes decide what a rollout may replace."""
    return SELECTOR in daemonset.metadata.annotations


def hold_event(control: Control, known_hold: str) -> Event | None:
    """The event that reports a hold, if it is not the one that is known already."""
    if not control.hold or control.hold == known_hold:
        return None
    if control.invalid:
        return Event(EventType.WARNING, Reason.INVALID_ROLLOUT_CONTROL, control.hold)
    return Event(EventType.NORMAL, Reason.ROLLOUT_HELD, control.hold)


def _settings(annotations: dict[str, str], desired: int) -> _Settings:
    paused = annotations.get(PAUSED, "false")
    if paused not in ("true", "false"):
        raise _bad(PAUSED, paused, '"true" or "false"')
    text = annotations.get(PARTITION, "0")
    number: int | str = int(text) if text.isascii() and text.isdigit() else text
    try:
        partition = scaled(number, desired)
    except InvalidNumber:
        raise _bad(PARTITION, text, "a number or percent of pods") from None
    return _Settings(paused == "true", partition, _selector(annotations), _hold_s(annotations))


def _selector(annotations: dict[str, str]) -> labels.Selector | None:
    text = annotations.get(SELECTOR)
    if text is None:
        return None
    try:
        return labels.parse(text)
    except BadRequest:
        raise _bad(SELECTOR, text, "a label selector") from None


def _hold_s(annotations: dict[str, str]) -> float:
    text = annotations.get(PROGRESS_HOLD, "0")
    if not (text.isascii() and text.isdigit()):
        raise _bad(PROGRESS_HOLD, text, "a number of seconds")
    return float(text)


def _bad(key: str, text: str, wanted: str) -> _BadValue:
    return _BadValue(f'annotation {key}: "{text}" is not {wanted}')


def _remaining_hold_s(
    placement: Placement, min_ready_s: int, hold_s: float, age_s: AgeOf
) -> float | None:
    """None if progress may go on; 0 if an event will tell; else how long it takes at least."""
    if hold_s <= 0:
        return None
    waiting = False
    longest_s = 0.0
    for node in placement.every_node():
        if node.new is None:
            continue
        ready = ready_condition(node.new)
        if ready is None or ready.last_transition_time is None:
            waiting = True
            continue
        remaining_s = min_ready_s + hold_s - age_s(ready.last_transition_time)
        if remaining_s > 0:
            waiting = True
            longest_s = max(longest_s, remaining_s)
    return longest_s if waiting else None


def _narrow(settings: _Settings, old: Sequence[str], node_of: NodeOf) -> Control:
    """Partition and node selector: the old pods (by node) that may go, and why no more do when none
    may."""
    selector = settings.selector

    def allows(name: str) -> bool:
        if selector is None:
            return True
        node = node_of(name)
        return node is not None and selector.matches(node.metadata.labels)

    limit = max(0, len(old) - settings.partition)
    hold = ""
    if limit == 0:
        hold = f"{settings.partition} pods are kept at an old revision ({PARTITION})"
    elif not any(map(allows, old)):
        hold = f"the remaining nodes do not match the node selector ({SELECTOR})"
    return Control(Gate(limit, None if selector is None else allows), hold)
