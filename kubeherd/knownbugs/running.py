"""Runs an experiment in the simulation until a promise does not hold."""

import asyncio

from kubeherd.chaos.experiment import Experiment
from kubeherd.chaos.outcome import Outcome
from kubeherd.chaos.promises import promises
from kubeherd.chaos.runner import Run
from kubeherd.checks import registry
from kubeherd.history import Record, Violation
from kubeherd.simulation import virtualtime
from kubeherd.simulation.arena import SimulatedArena, arena

NOT_STEADY = "steady-state"


def first_violation(experiment: Experiment, seed: int) -> Violation | None:
    """The first promise that did not hold, None if all did. A cluster that never became what the
    experiment begins with breaks the promise `NOT_STEADY`."""

    async def main() -> Violation | None:
        async with arena(experiment.cluster, seed) as simulated:
            return await _until_violated(experiment, simulated, seed)

    return virtualtime.run(main())


async def _until_violated(
    experiment: Experiment, simulated: SimulatedArena, seed: int
) -> Violation | None:
    shown: asyncio.Future[Violation | None] = asyncio.get_running_loop().create_future()

    def hear(record: Record) -> None:
        if isinstance(record, Violation) and not shown.done():
            shown.set_result(record)

    wanted = promises(experiment)
    run = Run(
        experiment,
        simulated,
        seed=seed,
        safety=registry.named(*wanted.safety),
        liveness=registry.named(*wanted.liveness),
        heard=hear,
    )
    running: asyncio.Task[Outcome] = asyncio.create_task(run.run())

    def over(_run: object) -> None:
        if not shown.done():
            shown.set_result(None)

    running.add_done_callback(over)
    violation = await shown
    if violation is not None:
        running.cancel()
        await asyncio.wait([running])
        return violation
    problem = running.result().problem
    return Violation(at=0.0, promise=NOT_STEADY, text=problem) if problem else None
