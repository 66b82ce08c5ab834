"""Many seeds in several processes: each worker is given one seed after the other, and its outcome
comes back.

Workers are started afresh (spawned), know nothing of a terminal's Ctrl-C, and end with whoever
started them. Invariant: every seed that was asked for has one outcome, also one of which kubeherd
itself, or its process, dies.
"""

import gc
import multiprocessing
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import NamedTuple

from kubeherd.chaos import running
from kubeherd.chaos.experiment import Experiment
from kubeherd.chaos.outcome import Outcome
from kubeherd.checks.checker import Verdict
from kubeherd.cluster.runtime import logging

SILENCE_S = 1800.0
"""Real seconds without any outcome after which a worker is taken to hang."""
JOIN_S = 5.0
_COLLECTED_RUNS = 10
"""Garbage is collected after so many runs, and not during them: a run leaves a few megabytes, and
to look for them more often took a tenth of the time."""

_CONTEXT = multiprocessing.get_context("spawn")


class Task(NamedTuple):
    """One run."""

    experiment: Experiment
    seed: int


def simulated(task: Task) -> Outcome:
    """One run on virtual time, in this process; one that kubeherd itself does not survive has an
    outcome, too."""
    try:
        return running.simulate(task.experiment, task.seed)
    except Exception as error:
        return _without_verdict(task, f"the simulation failed: {type(error).__name__}: {error}")


def outcomes(tasks: Iterable[Task], jobs: int) -> Iterator[Outcome]:
    """The outcomes of all runs, as they come. RuntimeError if no worker is left, or one hangs."""
    waiting = iter(tasks)
    busy: dict[Connection, Task] = {}
    with _workers(jobs) as idle:
        while True:
            while idle and (task := next(waiting, None)) is not None:
                connection = idle.pop()
                connection.send(task)
                busy[connection] = task
            if not busy:
                break
            ready = wait(list(busy), SILENCE_S)
            if not ready:
                raise RuntimeError(f"no run has ended for {SILENCE_S:g} s")
            for connection in [one for one in busy if one in ready]:
                task = busy.pop(connection)
                try:
                    outcome = connection.recv()
                except EOFError:
                    yield _without_verdict(task, "the process of the simulation died")
                else:
                    idle.append(connection)
                    yield outcome
        if next(waiting, None) is not None:
            raise RuntimeError("every process of the simulation died")


@contextmanager
def _workers(jobs: int) -> Iterator[list[Connection]]:
    """Their connections; they are gone afterwards."""
    started = [_start() for _ in range(jobs)]
    try:
        yield [connection for connection, _ in started]
    finally:
        for connection, process in started:
            connection.close()
            process.terminate()
        for _, process in started:
            process.join(JOIN_S)


def _start() -> tuple[Connection, SpawnProcess]:
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_work, args=(theirs,), daemon=True)
    # Inherited: Ctrl-C in a terminal reaches all processes, and is this one's affair.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    theirs.close()
    return ours, process


def _work(connection: Connection) -> None:
    """The life of a worker."""
    logging.configure("simulate", level="critical")  # errors are what experiments are for
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send(simulated(connection.recv()))
        gc.collect()
        gc.freeze()  # what the first run leaves, code above all, need not be looked through again
        gc.disable()
        for number in count(1):
            connection.send(simulated(connection.recv()))
            if number % _COLLECTED_RUNS == 0:
                gc.collect()


def _without_verdict(task: Task, problem: str) -> Outcome:
    return Outcome(
        experiment=task.experiment.name, seed=task.seed, verdict=Verdict([]), problem=problem
    )
