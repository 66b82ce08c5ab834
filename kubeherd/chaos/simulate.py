"""The command `kubeherd simulate`: thousands of seeds on virtual time, and the first failure made
small."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from msgspec.structs import replace
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kubeherd.chaos import report
from kubeherd.chaos.command import Kept, Seeds, found_experiment, run_once
from kubeherd.chaos.experiment import Experiment, dump
from kubeherd.chaos.minimise import MAX_TRIES, minimised
from kubeherd.chaos.outcome import Outcome
from kubeherd.chaos.script import chance, explicit, script
from kubeherd.chaos.workers import Task, outcomes, simulated
from kubeherd.cluster.cli.options import OutputFile
from kubeherd.cluster.cli.output import err, out, say, steps
from kubeherd.cluster.runtime import logging

DEFAULT = "storm"
MAX_KEPT = 10
"""Failures of which histories and pictures are kept."""

_FILE = OutputFile()


@click.command(
    epilog="""\b
Examples:
  kubeherd simulate                                   100 seeds of the experiment storm
  kubeherd simulate --seeds 1..2000 --jobs 2
  kubeherd simulate zone-outage full-disk --seeds 1..50
  kubeherd simulate my-experiment.yaml --seeds 1..500 --output small.yaml

The exit code is 0 if every promise held with every seed, else 1. Outcomes do not depend on the
machine, nor on --jobs: a seed does the same everywhere.
"""
)
@click.argument("experiments", metavar="[EXPERIMENT]...", nargs=-1)
@click.option("--seeds", type=Seeds(), default="1..100", show_default=True)
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 256),
    default=lambda: len(os.sched_getaffinity(0)),
    help="Processes.  [default: one per processor]",
)
@click.option("--fail-fast", "-x", is_flag=True, help="End with the first seed that fails.")
@click.option(
    "--minimise/--no-minimise",
    default=True,
    show_default=True,
    help="Make an experiment of the first failure with as few faults, steps and nodes as can be.",
)
@click.option("--output", "-o", type=_FILE, help="Write that experiment here as well.")
@click.option(
    "--record",
    type=_FILE,
    help="Write histories of failures here; experiment and seed are put before the ending.",
)
@click.option("--html", type=_FILE, help="Draw failures here; as with --record.")
def simulate(
    experiments: tuple[str, ...],
    seeds: range,
    jobs: int,
    fail_fast: bool,
    minimise: bool,
    output: Path | None,
    record: Path | None,
    html: Path | None,
) -> None:
    """Run experiments on virtual time with many seeds, in several processes."""
    logging.configure("simulate", level="critical")  # errors are what experiments are for
    found = [found_experiment(name) for name in experiments or (DEFAULT,)]
    failed = _search(found, seeds, jobs, fail_fast=fail_fast)
    if not failed:
        return
    if record is not None or html is not None:
        for task in failed[:MAX_KEPT]:
            kept = Kept(None, record, html).of(task.experiment.name, task.seed)
            run_once(task.experiment, task.seed, True, kept)
    name = (experiments or (DEFAULT,))[found.index(failed[0].experiment)]
    again = f"kubeherd chaos run {name} --seed {failed[0].seed} --simulate"
    _explain(failed[0], again, minimise=minimise, output=output)
    raise click.exceptions.Exit(1)


def _search(
    experiments: Sequence[Experiment], seeds: range, jobs: int, *, fail_fast: bool
) -> list[Task]:
    """Run all; the runs that failed, by experiment and seed. Each leaves a line."""
    tasks = [Task(experiment, seed) for experiment in experiments for seed in seeds]
    by_name = {(task.experiment.name, task.seed): task for task in tasks}
    failed: list[Task] = []
    done = 0
    with _progress(len(tasks)) as advance:
        for outcome in outcomes(tasks, min(jobs, len(tasks))):
            advance()
            done += 1
            if not outcome.passed:
                failed.append(by_name[outcome.experiment, outcome.seed])
                out.print(_line(outcome), markup=False)
                if fail_fast:
                    break
    say(f"{done - len(failed)} of {done} seeds held")
    return sorted(failed, key=tasks.index)


def _line(outcome: Outcome) -> str:
    """A failure in one line."""
    return f"{outcome.experiment}, seed {outcome.seed}: {_why(outcome)}"


def _why(outcome: Outcome) -> str:
    if violations := outcome.verdict.violations:
        first = violations[0]
        at = f" at revision {first.revision}" if first.revision else ""
        return f"VIOLATED {first.promise}{at}: {first.text}"
    return outcome.problem or f"nothing spoke of {', '.join(outcome.missing)}"


def _explain(task: Task, again: str, *, minimise: bool, output: Path | None) -> None:
    """The story of a failure, and the small experiment that shows it."""
    outcome = simulated(task)
    for line in report.text(outcome, again):
        out.print(line, markup=False)
    small = made_small(task, outcome) if minimise else None
    if small is None:
        return
    text = dump(small)
    out.print(f"\n# fails by itself: kubeherd chaos run FILE --simulate --seed {task.seed}")
    out.print(text, markup=False)
    if output is not None:
        output.write_text(text, encoding="utf-8")
        say(f"written: {output}")


def made_small(task: Task, outcome: Outcome, tries: int = MAX_TRIES) -> Experiment | None:
    """The smallest experiment that fails in the same way, found with so many runs; None if none
    does by itself."""
    promise = _complaint(outcome)
    if not promise:
        return None
    experiment = task.experiment
    whole = explicit(experiment, script(experiment, chance(task.seed)), outcome.faults)
    with steps("making it small") as told:

        def fails(smaller: Experiment) -> bool:
            parts = f"{len(smaller.faults)} faults, {len(smaller.steps)} steps"
            told.doing(f"making it small: {parts}, {smaller.cluster.nodes} nodes")
            return promise == _complaint(simulated(Task(smaller, task.seed)))

        if not fails(whole):
            say("it does not fail with its faults spelled out, so it cannot be made smaller")
            return None
        small = minimised(whole, fails, tries)
    return replace(
        small,
        name=f"{experiment.name}-{task.seed}"[-63:].lstrip("-"),
        title=f"{promise} does not hold",
        teaches=f"What is left of {experiment.name} with seed {task.seed}: {_why(outcome)}",
    )


def _complaint(outcome: Outcome) -> str:
    """What went wrong first, in a word; "" for what cannot be told apart."""
    if violations := outcome.verdict.violations:
        return violations[0].promise
    return "a steady state" if outcome.problem else ""


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, nothing elsewhere."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("seeds,"), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
