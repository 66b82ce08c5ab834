"""From an experiment and a seed to what is done when: decided before anything runs. Pure.

Only who is drawn depends on the cluster of the moment; `draw` decides that, from a chance of its
own for each fault, so that leaving one fault out changes no other.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from kubeherd.chaos.experiment import Chosen, Do, Experiment, Hurt, Range, Scheduled, Whom
from kubeherd.cluster.launcher.faults.choosing import unhurt
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults import Component, Effect, Fault, Nodes, Target
from kubeherd.faults.targets import ZONE

MAX_ACTIONS = 10_000


class Injection(msgspec.Struct, frozen=True, kw_only=True):
    """Hurt somebody at `at_s`, or so many writes later, for `for_s` (None: until healing)."""

    number: int
    id: str
    at_s: float
    effect: Effect
    whom: Whom
    for_s: float | None = None
    after_writes: int = 0


class Doing(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the users, at a moment."""

    number: int
    at_s: float
    do: Do


Action: TypeAlias = Injection | Doing


def chance(seed: int) -> Rng:
    """What decides whatever an experiment leaves to chance."""
    return Rng(seed).child("experiment")


def script(experiment: Experiment, rng: Rng) -> list[Action]:
    """All that is done, by time. The same seed gives the same."""
    actions: list[Action] = []
    for index, step in enumerate(experiment.steps):
        luck = rng.child(f"step/{index}")
        for at_s in _moments(step.at_s, step.every_s, experiment.duration_s, luck):
            actions.append(Doing(number=len(actions), at_s=at_s, do=step))
    for index, one in enumerate(experiment.faults):
        luck = rng.child(f"fault/{index}")
        at_s = drawn(one.at_s, luck)
        actions.append(_injection(len(actions), at_s, one, luck))
    for index, several in enumerate(experiment.random):
        luck = rng.child(f"random/{index}")
        weighted = [choice for choice in several.choices for _ in range(choice.weight)]
        for at_s in _moments(None, several.every_s, experiment.duration_s, luck):
            actions.append(_injection(len(actions), at_s, luck.choice(weighted), luck))
    return sorted(actions, key=lambda action: action.at_s)[:MAX_ACTIONS]


def _injection(number: int, at_s: float, one: Scheduled | Hurt, luck: Rng) -> Injection:
    given = one.id if isinstance(one, Scheduled) else ""
    return Injection(
        number=number,
        id=given or f"f-{number}",
        at_s=at_s,
        effect=one.fault,
        whom=one.whom,
        for_s=None if one.for_s is None else drawn(one.for_s, luck),
        after_writes=0 if one.after_writes is None else round(drawn(one.after_writes, luck)),
    )


def explicit(
    experiment: Experiment, actions: Sequence[Action], faults: Sequence[Fault]
) -> Experiment:
    """The experiment that does what this one did, with nothing left to chance: `faults` are those
    that began, with those whom they hurt."""
    begun = {fault.id: fault.target for fault in faults}
    injections = [one for one in actions if isinstance(one, Injection) and one.id in begun]
    return replace(
        experiment,
        steps=tuple(
            replace(one.do, at_s=one.at_s, every_s=None)
            for one in actions
            if isinstance(one, Doing)
        ),
        faults=tuple(
            Scheduled(
                at_s=one.at_s,
                fault=one.effect,
                whom=_exactly(begun[one.id]),
                for_s=one.for_s,
                after_writes=one.after_writes or None,
                id=one.id,
            )
            for one in injections
        ),
        random=(),
    )


def _exactly(target: Target) -> Whom:
    match target:
        case Nodes(names):
            return Whom(nodes=Chosen(names=names))
        case Component(name):
            return Whom(component=name)
        case _:
            return Whom(clients=target)


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
        if (not chosen.names or name in chosen.names)
        and all(labels[name].get(key) == value for key, value in wanted.items())
    ]
    all_of_them = bool(chosen.names or chosen.zone or chosen.selector)
    count = chosen.count or (0 if all_of_them else 1)
    return tuple(unhurt(fit, hurt, rng, count=count, percent=chosen.percent))
