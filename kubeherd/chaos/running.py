"""Experiments from their names and seeds to their outcomes: real processes or virtual time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from kubeherd.chaos.arena import Arena
from kubeherd.chaos.experiment import Experiment, ExperimentError, load
from kubeherd.chaos.outcome import Outcome
from kubeherd.chaos.pressure import Pressure
from kubeherd.chaos.promises import promises
from kubeherd.chaos.runner import Run
from kubeherd.checks import registry
from kubeherd.cluster.cli import eventloop
from kubeherd.history import Record
from kubeherd.history.files import create, encode

SHIPPED = Path(__file__).parent / "experiments"

Hear = Callable[[Record], None]


def names() -> list[str]:
    """The experiments that come with kubeherd."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def find(name: str) -> Experiment:
    """An experiment by its name or its file. ExperimentError if there is none."""
    shipped = SHIPPED / f"{name}.yaml"
    if "/" not in name and shipped.exists():
        return load(shipped)
    if not Path(name).exists():
        raise ExperimentError(
            f'no experiment "{name}": give a file, or one of {", ".join(names())}'
        )
    return load(Path(name))


def simulate(experiment: Experiment, seed: int, hear: Hear = lambda _record: None) -> Outcome:
    """Run an experiment on virtual time. ExperimentError if it needs real processes."""
    if experiment.command is not None:
        raise ExperimentError(
            f"{experiment.name} runs a program of its own, which virtual time cannot: run it "
            "without --simulate"
        )
    from kubeherd.simulation import virtualtime  # noqa: PLC0415 - only where it is wanted
    from kubeherd.simulation.arena import arena  # noqa: PLC0415

    async def main() -> Outcome:
        async with arena(experiment.cluster, seed) as simulated:
            return await _run(experiment, simulated, seed, hear).run()

    return virtualtime.run(main())


def run_real(
    experiment: Experiment,
    seed: int,
    directory: Path | None = None,
    hear: Hear = lambda _record: None,
) -> Outcome:
    """Run an experiment on a cluster of real processes of its own, in `directory` if given, which
    must not have one. LauncherError if it does not start."""
    from kubeherd.chaos.realarena import cluster_for, opened  # noqa: PLC0415

    with TemporaryDirectory(prefix="kubeherd-chaos-") as temporary:
        root = directory or Path(temporary) / "herd"
        with cluster_for(experiment.cluster, seed, root) as (handle, record):

            async def main() -> Outcome:
                async with opened(handle, record, experiment.command) as arena:
                    return await _run(experiment, arena, seed, hear).run()

            pressure = Pressure()
            return replace(eventloop.run(main), busy=pressure.share())


def _run(experiment: Experiment, arena: Arena, seed: int, hear: Hear) -> Run:
    wanted = promises(experiment)
    return Run(
        experiment,
        arena,
        seed=seed,
        safety=registry.named(*wanted.safety),
        liveness=registry.named(*wanted.liveness),
        required=wanted.required,
        heard=hear,
    )


@contextmanager
def recorded(path: Path | None) -> Iterator[Hear]:
    """Write what is heard into a file (None: into none). OSError if it cannot be."""
    if path is None:
        yield lambda _record: None
        return
    with create(path) as file:

        def hear(record: Record) -> None:
            file.write(encode(record))

        yield hear
