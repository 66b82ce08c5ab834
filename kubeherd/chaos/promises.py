"""Which promises an experiment is judged by. Pure."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import msgspec

from kubeherd.chaos.experiment import Experiment, ExperimentError
from kubeherd.checks import registry
from kubeherd.checks.registry import Kind


class Promises(msgspec.Struct, frozen=True):
    """What a run is checked for; `required` names what it must have something to say about."""

    safety: tuple[str, ...]
    liveness: tuple[str, ...]
    required: tuple[str, ...]


def promises(experiment: Experiment) -> Promises:
    """What an experiment asks for. ExperimentError for a promise that nobody knows."""
    for pattern in (*experiment.during, *experiment.after, *experiment.without):
        if not _matching(registry.PROMISES, (pattern,)):
            raise ExperimentError(
                f'{experiment.name}: no promise "{pattern}": kubeherd check --list has them'
            )
    safety = _chosen(experiment, experiment.during, Kind.SAFETY, Kind.API)
    liveness = _chosen(experiment, experiment.after, Kind.LIVENESS)
    required = [*(safety if experiment.during else ()), *(liveness if experiment.after else ())]
    return Promises(safety, liveness, tuple(required))


def _chosen(experiment: Experiment, patterns: Sequence[str], *kinds: Kind) -> tuple[str, ...]:
    known = [name for name, line in registry.PROMISES.items() if line.kind in kinds]
    left_out = _matching(known, experiment.without)
    return tuple(name for name in _matching(known, patterns or ("*",)) if name not in left_out)


def _matching(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
