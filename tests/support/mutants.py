"""Mutants: the code that protects the cluster, broken on purpose, and what must notice.

Each is one change of one function of a controller, an agent, the store, the API server or the
client. Its experiment (`tests/data/mutants`) is run in the simulation and must show a violation.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from kubeherd.chaos import experiment, promises, runner
from kubeherd.checks import registry
from kubeherd.history import Record, Violation
from kubeherd.knownbugs.breaking import Broken, broken
from kubeherd.simulation import virtualtime
from kubeherd.simulation.arena import arena

EXPERIMENTS = Path(__file__).parents[1] / "data" / "mutants"


class Mutant(msgspec.Struct, frozen=True):
    """`seed` is one with which its experiment shows a violation of `promise`."""

    id: str
    what: str
    broken: Broken
    experiment: str
    promise: str
    seed: int


def found(name: str) -> experiment.Experiment:
    """An experiment for mutants, or a shipped one."""
    path = EXPERIMENTS / f"{name}.yaml"
    return experiment.load(path if path.exists() else runner_shipped(name))


def runner_shipped(name: str) -> Path:
    """The file of a shipped experiment."""
    return Path(experiment.__file__).parent / "experiments" / f"{name}.yaml"


def first_violation(name: str, seed: int, *parts: Broken) -> Violation | None:
    """Run an experiment with these parts broken until a promise does not hold; None if all do."""
    wanted = found(name)

    async def main() -> Violation | None:
        async with arena(wanted.cluster, seed) as simulated:
            return await _until_violated(wanted, simulated, seed)

    with broken(*parts):
        return virtualtime.run(main())


async def _until_violated(
    wanted: experiment.Experiment, simulated: Any, seed: int
) -> Violation | None:
    chosen = promises.promises(wanted)
    shown: asyncio.Future[Violation | None] = asyncio.get_running_loop().create_future()

    def hear(record: Record) -> None:
        if isinstance(record, Violation) and not shown.done():
            shown.set_result(record)

    run = runner.Run(
        wanted,
        simulated,
        seed=seed,
        safety=registry.named(*chosen.safety),
        liveness=registry.named(*chosen.liveness),
        heard=hear,
    )
    running = asyncio.create_task(run.run())
    await asyncio.wait([running, shown], return_when=asyncio.FIRST_COMPLETED)
    if not shown.done():
        outcome = running.result()
        problem = Violation(at=0.0, promise="steady-state", text=outcome.problem)
        return problem if outcome.problem else None
    running.cancel()
    await asyncio.wait([running])
    return shown.result()


def _always(value: Any) -> Callable[[Any], Any]:
    return lambda _old: lambda *_args, **_kwargs: value


def _nothing(_old: Any) -> Any:
    async def nothing(*_args: Any, **_kwargs: Any) -> None:
        return None

    return nothing
