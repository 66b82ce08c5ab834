"""From what metrics ask for to what is done: windows, rates, bounds (spec podautoscaler 4).

Pure; moments are nominal seconds of one clock. Invariant: the result lies between the least and
the most replicas, unless a rate keeps it from getting there at once.
"""

import math
from collections.abc import Sequence

import msgspec

from kubeherd.controller.podautoscaler.model import (
    Behavior,
    PolicyType,
    ScalingRules,
    SelectPolicy,
)

DOWNSCALE_WINDOW_S = 300
_FACTOR, _MINIMUM = 2.0, 4.0
"""Without a behavior, so many times as many replicas at once, and always so many."""
LONGEST_WINDOW_S = 3600


class Stamped(msgspec.Struct, frozen=True):
    """A recommendation, or a change of the replicas, and when it was."""

    value: int
    at_s: float


class Memory(msgspec.Struct):
    """What the controller remembers of one autoscaler; at most an hour of it."""

    recommendations: list[Stamped] = msgspec.field(default_factory=list)
    ups: list[Stamped] = msgspec.field(default_factory=list)
    downs: list[Stamped] = msgspec.field(default_factory=list)

    def began(self, replicas: int, now_s: float) -> None:
        """The first look: the replicas that there are count as a recommendation."""
        if not self.recommendations:
            self.recommendations.append(Stamped(replicas, now_s))

    def recommended(self, replicas: int, now_s: float) -> None:
        """Note what the metrics ask for now."""
        self.recommendations = _recent(self.recommendations, now_s)
        self.recommendations.append(Stamped(replicas, now_s))

    def scaled(self, before: int, after: int, now_s: float) -> None:
        """Note that the replicas were changed."""
        self.ups, self.downs = _recent(self.ups, now_s), _recent(self.downs, now_s)
        (self.ups if after > before else self.downs).append(Stamped(abs(after - before), now_s))


def _recent(history: list[Stamped], now_s: float) -> list[Stamped]:
    return [one for one in history if one.at_s >= now_s - LONGEST_WINDOW_S]


class Bounds(msgspec.Struct, frozen=True):
    """Of one autoscaler: `current` replicas are wanted of the target now."""

    current: int
    least: int
    most: int
    behavior: Behavior | None = None


class Verdict(msgspec.Struct, frozen=True):
    """A number of replicas, and what is to be said about it."""

    replicas: int
    reason: str
    message: str


class Limited(msgspec.Struct, frozen=True):
    """`replicas` to set; `stabilized` for the condition AbleToScale, `limited` for ScalingLimited,
    which is True if `held`."""

    replicas: int
    stabilized: Verdict
    limited: Verdict
    held: bool


_WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
_READY = ("ReadyForNewScale", "recommended size matches current size")
_RECENT = "recent recommendations were {} than current one, applying the {} recent recommendation"
_LOWER, _HIGHER = _RECENT.format("lower", "lowest"), _RECENT.format("higher", "highest")
_BOUND = "the desired replica count is {} than the {} replica count"
_TOO_FEW = ("TooFewReplicas", _BOUND.format("less", "minimum"))
_TOO_MANY = ("TooManyReplicas", _BOUND.format("more", "maximum"))
_RATE = "the desired replica count is {} faster than the maximum scale rate"
_UP_RATE = ("ScaleUpLimit", _RATE.format("increasing"))
_DOWN_RATE = ("ScaleDownLimit", _RATE.format("decreasing"))


def limit(asked: int, bounds: Bounds, memory: Memory, now_s: float) -> Limited:
    """What to do about a number of replicas that is `asked` for; it is noted in `memory`."""
    if bounds.behavior is None:
        stable = _stabilized(asked, memory, now_s)
        wanted = _within_bounds(stable.replicas, bounds)
    else:
        stable = _stabilized_by(asked, bounds, bounds.behavior, memory, now_s)
        wanted = _within_rates(stable.replicas, bounds, bounds.behavior, memory, now_s)
    memory.recommended(asked, now_s)
    if stable.replicas == asked:
        stable = Verdict(asked, *_READY)
    return Limited(wanted.replicas, stable, wanted, wanted.replicas != stable.replicas)


# --- without a behavior ---


def _stabilized(asked: int, memory: Memory, now_s: float) -> Verdict:
    """The highest recommendation of the last five minutes."""
    recent = [one.value for one in memory.recommendations if one.at_s >= now_s - DOWNSCALE_WINDOW_S]
    return Verdict(max([asked, *recent]), "ScaleDownStabilized", _HIGHER)


def _within_bounds(wanted: int, bounds: Bounds) -> Verdict:
    rate = int(max(_FACTOR * bounds.current, _MINIMUM))
    most = min(bounds.most, rate)
    if wanted < bounds.least:
        return Verdict(bounds.least, *_TOO_FEW)
    if wanted > most:
        return Verdict(most, *(_UP_RATE if bounds.most > rate else _TOO_MANY))
    return Verdict(wanted, *_WITHIN)


# --- with a behavior ---


def _window_s(rules: ScalingRules, default_s: int) -> int:
    given = rules.stabilization_window_seconds
    return default_s if given is None else given


def _stabilized_by(
    asked: int, bounds: Bounds, behavior: Behavior, memory: Memory, now_s: float
) -> Verdict:
    """As near to the present number as the recommendations of both windows allow."""

    def recent(window_s: int) -> list[int]:
        return [one.value for one in memory.recommendations if one.at_s > now_s - window_s]

    lowest = min([asked, *recent(_window_s(behavior.scale_up, 0))])
    highest = max([asked, *recent(_window_s(behavior.scale_down, DOWNSCALE_WINDOW_S))])
    stable = min(max(bounds.current, lowest), highest)
    if asked >= bounds.current:
        return Verdict(stable, "ScaleUpStabilized", _LOWER)
    return Verdict(stable, "ScaleDownStabilized", _HIGHER)


def _within_rates(
    wanted: int, bounds: Bounds, behavior: Behavior, memory: Memory, now_s: float
) -> Verdict:
    current = bounds.current
    if wanted > current:
        rate = max(current, _up_limit(current, behavior.scale_up, memory, now_s))
        most = min(bounds.most, rate)
        if wanted > most:
            return Verdict(most, *(_UP_RATE if bounds.most > rate else _TOO_MANY))
    elif wanted < current:
        rate = min(current, _down_limit(current, behavior.scale_down, memory, now_s))
        least = max(bounds.least, rate)
        if wanted < least:
            return Verdict(least, *(_DOWN_RATE if bounds.least < rate else _TOO_FEW))
    return Verdict(wanted, *_WITHIN)


def _up_limit(current: int, rules: ScalingRules, memory: Memory, now_s: float) -> int:
    """The most replicas that the policies allow now."""
    if rules.select_policy == SelectPolicy.DISABLED:
        return current
    proposals = []
    for policy in rules.policies:
        start = _at_start(current, policy.period_seconds, memory, now_s)
        if policy.type == PolicyType.PODS:
            proposals.append(start + policy.value)
        else:
            proposals.append(math.ceil(start * (1 + policy.value / 100)))
    if rules.select_policy == SelectPolicy.MIN:
        return min(proposals, default=2**31 - 1)
    return max(proposals, default=-(2**31))


def _down_limit(current: int, rules: ScalingRules, memory: Memory, now_s: float) -> int:
    """The least replicas that the policies allow now."""
    if rules.select_policy == SelectPolicy.DISABLED:
        return current
    proposals = []
    for policy in rules.policies:
        start = _at_start(current, policy.period_seconds, memory, now_s)
        if policy.type == PolicyType.PODS:
            proposals.append(start - policy.value)
        else:
            proposals.append(int(start * (1 - policy.value / 100)))
    if rules.select_policy == SelectPolicy.MIN:
        return max(proposals, default=-(2**31))
    return min(proposals, default=2**31 - 1)


def _at_start(current: int, period_s: int, memory: Memory, now_s: float) -> int:
    """How many replicas there were at the start of a policy's period."""
    return current - _sum(memory.ups, period_s, now_s) + _sum(memory.downs, period_s, now_s)


def _sum(changes: Sequence[Stamped], period_s: int, now_s: float) -> int:
    return sum(one.value for one in changes if one.at_s > now_s - period_s)
