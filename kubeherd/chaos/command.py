"""The command `kubeherd chaos`: run, list and explain experiments."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp
from typing import TYPE_CHECKING, NamedTuple

import click

from kubeherd.cluster.cli.interrupts import Interrupts
from kubeherd.cluster.cli.options import OutputFile
from kubeherd.cluster.cli.output import interrupted, out, say, steps

if TYPE_CHECKING:
    from kubeherd.chaos.experiment import Experiment
    from kubeherd.chaos.outcome import Outcome

MAX_RUNS = 100_000
_SEEDS = re.compile(r"(\d+)(?:\.\.(\d+))?")


class Kept(NamedTuple):
    """What a run leaves, where."""

    directory: Path | None
    record: Path | None
    html: Path | None

    def of(self, *run: object) -> "Kept":
        """Those of one run of several: what makes it one is put before the endings."""
        return Kept(*(path and path.with_name(_between(path, run)) for path in self))


def _between(path: Path, run: Sequence[object]) -> str:
    stem, dot, ending = path.name.partition(".")
    return "-".join([stem, *map(str, run)]) + dot + ending


class Seeds(click.ParamType[range]):
    """``7``, or ``1..50``: both ends are meant."""

    name = "seeds"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> range:
        if isinstance(value, range):
            return value
        found = _SEEDS.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is neither a seed nor a range such as 1..50", param, ctx)
        first, last = int(found[1]), int(found[2] or found[1])
        if not 0 <= last - first < MAX_RUNS:
            self.fail(f"{value}: from the lower to the higher, at most {MAX_RUNS}", param, ctx)
        return range(first, last + 1)


@click.group(
    epilog="""\b
Examples:
  kubeherd chaos list
  kubeherd chaos explain zone-outage
  kubeherd chaos run zone-outage --seed 7
  kubeherd chaos run zone-outage --simulate --seeds 1..50
  kubeherd chaos run my-experiment.yaml --junit results.xml
"""
)
def chaos() -> None:
    """Break a cluster on purpose and judge whether the promises held."""


@chaos.command("list")
def list_experiments() -> None:
    """The experiments that come with kubeherd."""
    from kubeherd.chaos.running import find, names  # noqa: PLC0415 - slow, not for --help

    found = [find(name) for name in names()]
    width = max(len(one.name) for one in found)
    for one in found:
        out.print(f"{one.name:{width}}  {one.title}", markup=False)


@chaos.command()
@click.argument("name")
def explain(name: str) -> None:
    """What an experiment does, and what one learns from it."""
    from kubeherd.chaos.explaining import explanation  # noqa: PLC0415
    from kubeherd.chaos.promises import promises  # noqa: PLC0415

    experiment = found_experiment(name)
    for line in explanation(experiment, promises(experiment)):
        out.print(line, markup=False)


@chaos.command(
    epilog="""\b
The exit code is 0 if every promise held, 1 if one did not, or if there is no verdict.
An experiment is a file, or the name of one that comes with kubeherd.
"""
)
@click.argument("experiments", metavar="EXPERIMENT...", nargs=-1, required=True)
@click.option(
    "--seed", "--seeds", "seeds", type=Seeds(), help="Or a range, 1..50.  [default: random]"
)
@click.option("--simulate", is_flag=True, help="On virtual time, in this process: in a second.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the cluster's files in this new directory; several runs: as with --record.",
)
@click.option(
    "--record",
    type=OutputFile(),
    help="Write the history here; several runs: experiment and seed are put before the ending.",
)
@click.option(
    "--json",
    "json_file",
    type=OutputFile(),
    help="Write the verdicts here.",
)
@click.option(
    "--junit",
    type=OutputFile(),
    help="Write JUnit XML here, a test case per promise.",
)
@click.option(
    "--html",
    type=OutputFile(),
    help="Draw the run into one file for a browser; several runs: as with --record.",
)
@click.option(
    "--command",
    metavar="COMMAND",
    help="A program of yours that takes part, with KUBECONFIG set; the component `command`.",
)
@click.option("--restart", is_flag=True, help="Start that program again when it dies.")
@click.option("--verbose", "-v", is_flag=True, help="Say what is done and undone.")
def run(
    experiments: tuple[str, ...],
    seeds: range | None,
    simulate: bool,
    directory: Path | None,
    record: Path | None,
    json_file: Path | None,
    junit: Path | None,
    html: Path | None,
    command: str | None,
    restart: bool,
    verbose: bool,
) -> None:
    """Run experiments on clusters of their own and judge them."""
    from kubeherd.chaos import report  # noqa: PLC0415

    found = [
        (name, _with_program(found_experiment(name), command, restart)) for name in experiments
    ]
    runs = [(*one, seed) for one in found for seed in seeds or _random_seed()]
    kept = Kept(directory, record, html)
    options = ["--simulate"] * simulate + ["--restart"] * restart
    options += ["--command", command] if command else []
    outcomes = []
    with Interrupts() as interrupts:
        try:
            for name, experiment, seed in runs:
                own = kept.of(experiment.name, seed) if len(runs) > 1 else kept
                outcome, drawn = run_once(experiment, seed, simulate, own)
                again = ["kubeherd", "chaos", "run", name, "--seed", str(seed), *options]
                _tell(outcome, shlex.join(again), verbose)
                if drawn is not None:
                    out.print(f"drawn: {drawn}", markup=False)
                outcomes.append(outcome)
            interrupts.check()
        except KeyboardInterrupt:
            after = f" after {len(outcomes)} of {len(runs)} runs" if outcomes else ""
            raise interrupted(f"interrupted{after}", interrupts.exit_code) from None
    if json_file is not None:
        json_file.write_bytes(report.to_json(outcomes))
    if junit is not None:
        junit.write_bytes(report.junit(outcomes))
    failed = [one for one in outcomes if not one.passed]
    if len(outcomes) > 1:
        say(f"{len(outcomes) - len(failed)} of {len(outcomes)} runs held")
    if failed:
        raise click.exceptions.Exit(1)


def found_experiment(name: str) -> "Experiment":
    """An experiment by its name or file that can be run. click.ClickException."""
    from kubeherd.chaos.experiment import ExperimentError  # noqa: PLC0415
    from kubeherd.chaos.promises import promises  # noqa: PLC0415
    from kubeherd.chaos.running import find  # noqa: PLC0415

    try:
        experiment = find(name)
        promises(experiment)
    except ExperimentError as error:
        raise click.ClickException(str(error)) from None
    return experiment


def _with_program(experiment: "Experiment", command: str | None, restart: bool) -> "Experiment":
    """The experiment with a user's program, if one is given."""
    if command is None:
        return experiment
    from msgspec.structs import replace  # noqa: PLC0415

    from kubeherd.chaos.experiment import Command  # noqa: PLC0415

    return replace(experiment, command=Command(run=command, restart=restart))


def run_once(
    experiment: "Experiment",
    seed: int,
    simulated: bool,
    kept: Kept,
) -> "tuple[Outcome, Path | None]":
    """Run an experiment once, and keep what is wanted of it; the outcome, and where it is drawn.

    A failure on real processes, which never comes again as it was, is drawn in any case.
    """
    from kubeherd.chaos import running  # noqa: PLC0415
    from kubeherd.cluster.runtime import logging  # noqa: PLC0415
    from kubeherd.history import Record, Step  # noqa: PLC0415

    logging.configure("chaos", level="critical")  # errors are what experiments are for
    with TemporaryDirectory(prefix="kubeherd-history-") as temporary:
        may_be_drawn = kept.html is not None or not simulated
        record = kept.record or (Path(temporary) / "history.jsonl" if may_be_drawn else None)
        run = f"{experiment.name}, seed {seed}"
        with steps(run) as progress, running.recorded(record) as write:

            def hear(one: Record) -> None:
                write(one)
                if isinstance(one, Step):
                    progress.doing(f"{run}: {one.text}")

            if simulated:
                outcome = running.simulate(experiment, seed, hear)
            else:
                outcome = running.run_real(experiment, seed, kept.directory, hear)
        html = kept.html
        if html is None and not simulated and not outcome.passed:
            html = _picture_of(experiment.name, seed)
        if html is not None and record is not None:
            _draw(record, html, f"{run}: {experiment.title}", outcome)
    return outcome, html


def _picture_of(experiment: str, seed: int) -> Path:
    """A new file, for this user only, for what nobody named a file for."""
    descriptor, name = mkstemp(".html", f"kubeherd-{experiment}-{seed}-")
    os.close(descriptor)
    return Path(name)


def _draw(record: Path, html: Path, title: str, outcome: "Outcome") -> None:
    from kubeherd.chaos.report import verdict  # noqa: PLC0415
    from kubeherd.history.files import read  # noqa: PLC0415
    from kubeherd.timeline.model import paint  # noqa: PLC0415
    from kubeherd.timeline.page import page  # noqa: PLC0415

    picture = paint(read(record), title)
    checked, said = outcome.verdict.checked, verdict(outcome)
    html.write_text(page(picture, checked, said, held=outcome.passed), encoding="utf-8")


def _tell(outcome: "Outcome", again: str, verbose: bool) -> None:
    from kubeherd.chaos import report  # noqa: PLC0415

    for line in outcome.done if verbose else ():
        out.print(line, markup=False)
    for line in report.text(outcome, again):
        out.print(line, markup=False)


def _random_seed() -> Sequence[int]:
    from kubeherd.cluster.runtime.rng import Rng  # noqa: PLC0415

    return [Rng().root_seed % 2**32]
