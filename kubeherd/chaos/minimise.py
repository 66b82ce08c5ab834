"""A failing experiment made small: fewer faults, steps and nodes, and shorter. Pure.

By delta debugging (Zeller, Hildebrandt: Simplifying and Isolating Failure-Inducing Input, 2002).
Whoever calls says whether an experiment still fails. Invariant: what is returned failed when it
was tried, or is what was given; no one part more can be left out of it, unless tries ran out.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from kubeherd.chaos.experiment import Do, Experiment, Object, Range, Scheduled

T = TypeVar("T")
Fails: TypeAlias = Callable[[Experiment], bool]
Part: TypeAlias = Scheduled | Do | Object

MAX_TRIES = 400
PAUSES_S = (1.0, 5.0, 20.0, 1e9)
"""At most so long nothing new is done."""
MARGINS_S = (1.0, 5.0, 15.0)
"""For so long it may go on after the last thing that is done."""


def minimised(experiment: Experiment, fails: Fails, tries: int = MAX_TRIES) -> Experiment:
    """The smallest experiment found that still fails; `experiment` has no random faults, and its
    times are numbers (`script.explicit`). `fails` is asked at most `tries` times."""
    attempt = _Attempts(fails, tries)
    small = experiment
    while True:
        before = small
        small = _with_fewer_parts(small, attempt)
        small = _first(attempt, _smaller_clusters(small)) or small
        small = _first(attempt, _shorter(small)) or small
        small = _first(attempt, _rounded(small)) or small
        if small == before:
            return small


def smallest(parts: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> Sequence[T]:
    """Parts that fail together, of which none can be left out; all of `parts` fail."""
    if not parts or fails(()):
        return ()
    kept, chunks = list(parts), 2
    while len(kept) > 1:
        size = -(-len(kept) // chunks)
        for start in range(0, len(kept), size):
            rest = kept[:start] + kept[start + size :]
            if fails(rest):
                kept, chunks = rest, max(2, chunks - 1)
                break
        else:
            if size == 1:
                break
            chunks = min(len(kept), 2 * chunks)
    return kept


class _Attempts:
    """Asks at most so often, and never twice the same. Out of tries, nothing fails any more."""

    def __init__(self, fails: Fails, tries: int) -> None:
        self._fails = fails
        self._left = tries
        self._known: dict[bytes, bool] = {}

    def __call__(self, experiment: Experiment) -> bool:
        key = msgspec.json.encode(experiment)
        if key not in self._known:
            if not self._left:
                return False
            self._left -= 1
            self._known[key] = self._fails(experiment)
        return self._known[key]


def _first(attempt: _Attempts, candidates: Iterator[Experiment]) -> Experiment | None:
    return next((one for one in candidates if attempt(one)), None)


def _parts(experiment: Experiment) -> list[Part]:
    return [*experiment.faults, *experiment.steps, *experiment.workload]


def _with_fewer_parts(experiment: Experiment, attempt: _Attempts) -> Experiment:
    kept = smallest(_parts(experiment), lambda parts: attempt(_with_parts(experiment, parts)))
    return _with_parts(experiment, kept)


def _with_parts(experiment: Experiment, parts: Sequence[Part]) -> Experiment:
    return replace(
        experiment,
        faults=tuple(one for one in parts if isinstance(one, Scheduled)),
        steps=tuple(one for one in parts if isinstance(one, Do)),
        workload=[one for one in parts if isinstance(one, dict)],
    )


def _smaller_clusters(experiment: Experiment) -> Iterator[Experiment]:
    """The smallest first; faults of nodes that are not there hurt nobody."""
    cluster = experiment.cluster
    smaller = {1, 2, 3, 4, 5, cluster.nodes // 4, cluster.nodes // 2, cluster.nodes - 1}
    fewer = [nodes for nodes in sorted(smaller) if 0 < nodes < cluster.nodes]
    for controllers in sorted({1, cluster.controllers}):
        for zones in sorted({0, cluster.zones}):
            for nodes in (*fewer, cluster.nodes):
                small = replace(cluster, nodes=nodes, controllers=controllers, zones=zones)
                if small != cluster:
                    yield replace(experiment, cluster=small)


def _shorter(experiment: Experiment) -> Iterator[Experiment]:
    """The shortest first: begun sooner, with shorter pauses, and ended sooner."""
    for pause_s in PAUSES_S:
        one = _moved(experiment, _squeezed(sorted(_moments(experiment)), pause_s).__getitem__)
        end_s = max(_moments(one), default=0.0)
        for margin_s in MARGINS_S:
            if end_s + margin_s < one.duration_s:
                yield replace(one, duration_s=end_s + margin_s)


def _squeezed(moments: Sequence[float], pause_s: float) -> dict[float, float]:
    """Each moment with one that comes at most so long after that before it."""
    moved: dict[float, float] = {}
    before_s = now_s = 0.0
    for moment_s in moments:
        now_s += min(moment_s - before_s, pause_s)
        before_s, moved[moment_s] = moment_s, now_s
    return moved


def _moments(experiment: Experiment) -> list[float]:
    faults = [_number(one.at_s) for one in experiment.faults]
    return faults + [_number(one.at_s) for one in experiment.steps]


def _rounded(experiment: Experiment) -> Iterator[Experiment]:
    """Times that are easier to read."""
    for digits in (0, 1, 2):
        rounded = _moved(experiment, partial(round, ndigits=digits))
        faults = tuple(
            replace(one, for_s=None if one.for_s is None else round(_number(one.for_s), digits))
            for one in rounded.faults
        )
        yield replace(
            rounded, faults=faults, duration_s=round(experiment.duration_s, digits) or 1.0
        )


def _moved(experiment: Experiment, to: Callable[[float], float]) -> Experiment:
    return replace(
        experiment,
        faults=tuple(replace(one, at_s=to(_number(one.at_s))) for one in experiment.faults),
        steps=tuple(replace(one, at_s=to(_number(one.at_s))) for one in experiment.steps),
    )


def _number(moment: Range | None) -> float:
    return moment if isinstance(moment, float) else 0.0
