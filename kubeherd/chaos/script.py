"""From an experiment and a seed to what is done when: decided before anything runs. Pure.

Only who is drawn depends on the cluster of the moment; `draw` decides that, from a chance of its
own for each fault, so that leaving one fault out changes no other.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from kubeherd.chaos.experiment import Chosen, Do, Experiment, Range, Whom
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults import Effect

ZONE = "topology.kubernetes.io/zone"
MAX_ACTIONS = 10_000


class Injection(msgspec.Struct, frozen=True, kw_only=True):
    """Hurt somebody at `at_s` for `for_s` (None: until healing)."""

    number: int
    at_s: float
    effect: Effect
    whom: Whom
    for_s: float | None = None


class Doing(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the users, at a moment."""

    number: int
    at_s: float
    do: Do


Action: TypeAlias = Injection | Doing


def script(experiment: Experiment, rng: Rng) -> list[Action]:
    """All that is done, by time. The same seed gives the same."""
    actions: list[Action] = []
    for index, step in enumerate(experiment.steps):
        chance = rng.child(f"step/{index}")
        for at_s in _moments(step.at_s, step.every_s, experiment.duration_s, chance):
            actions.append(Doing(number=len(actions), at_s=at_s, do=step))
    for index, one in enumerate(experiment.faults):
        chance = rng.child(f"fault/{index}")
        at_s = drawn(one.at_s, chance)
        for_s = None if one.for_s is None else drawn(one.for_s, chance)
        actions.append(
            Injection(number=len(actions), at_s=at_s, effect=one.fault, whom=one.whom, for_s=for_s)
        )
    for index, several in enumerate(experiment.random):
        chance = rng.child(f"random/{index}")
        weighted = [choice for choice in several.choices for _ in range(choice.weight)]
        for at_s in _moments(None, several.every_s, experiment.duration_s, chance):
            choice = chance.choice(weighted)
            for_s = None if choice.for_s is None else drawn(choice.for_s, chance)
            actions.append(
                Injection(
                    number=len(actions),
                    at_s=at_s,
                    effect=choice.fault,
                    whom=choice.whom,
                    for_s=for_s,
                )
            )
    return sorted(actions, key=lambda action: action.at_s)[:MAX_ACTIONS]


def drawn(wanted: Range, rng: Rng) -> float:
    """A number, or one from a range."""
    return rng.uniform(*wanted) if isinstance(wanted, tuple) else wanted


def _moments(
    at_s: Range | None, every_s: Range | None, duration_s: float, rng: Rng
) -> Iterator[float]:
    if at_s is not None:
        yield drawn(at_s, rng)
        return
    if every_s is None:
        return
    moment_s = drawn(every_s, rng)
    while moment_s < duration_s:
        yield moment_s
        moment_s += max(0.05, drawn(every_s, rng))


def draw(
    chosen: Chosen, labels: Mapping[str, Mapping[str, str]], hurt: Sequence[str], rng: Rng
) -> tuple[str, ...]:
    """The nodes that a fault hurts; `labels` are those of all nodes, by name. May be none."""
    zone = chosen.zone
    if zone == "*":
        zones = sorted({of[ZONE] for of in labels.values() if ZONE in of})
        zone = rng.choice(zones) if zones else "*"
    wanted = {**chosen.selector, **({ZONE: zone} if zone else {})}
    fit = [
        name
        for name in sorted(labels)
        if name not in hurt
        and (not chosen.names or name in chosen.names)
        and all(labels[name].get(key) == value for key, value in wanted.items())
    ]
    several = bool(chosen.names or chosen.zone or chosen.selector or chosen.percent)
    count = chosen.count or (len(fit) if several else 1)
    if chosen.percent:
        count = -(-len(fit) * chosen.percent // 100)
    if count >= len(fit):
        return tuple(fit)
    rest, picked = list(fit), []
    for _ in range(count):
        one = rng.choice(rest)
        rest.remove(one)
        picked.append(one)
    return tuple(sorted(picked))
