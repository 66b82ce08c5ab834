"""The command `kubeherd check`."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from kubeherd.chaos.checking.telling import Surroundings, table
from kubeherd.checks import registry
from kubeherd.checks.checker import Checker, Make, Verdict, Watcher
from kubeherd.checks.registry import PROMISES, Kind
from kubeherd.cluster.cli.options import OutputFile, directory_option, seconds
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.runtime import logging
from kubeherd.history import SETTLED, Step, files

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    epilog="""\b
Examples:
  kubeherd check --for 60s                           the cluster in ./.kubeherd
  kubeherd check --kubeconfig ~/.kube/config         any cluster, until Ctrl-C
  kubeherd check --history run.jsonl                 a recorded run
  kubeherd check --cel 'object.spec.replicas < 10' --resource deployments.apps
  kubeherd check --list
"""
)
@click.option("--list", "list_them", is_flag=True, help="Print the promises, and end.")
@click.option("--history", type=_FILE, help="Judge a recorded run instead of a cluster.")
@click.option("--kubeconfig", type=_FILE, help="Of the cluster, whoever made it, instead of --dir.")
@directory_option
@click.option("--for", "for_s", callback=seconds, help="End after so long (60s, 5m).")
@click.option("--only", multiple=True, metavar="NAME", help="Only these promises. Repeatable.")
@click.option("--skip", multiple=True, metavar="NAME", help="All but these. Repeatable.")
@click.option(
    "--settled", is_flag=True, help="At the end all must have converged: judge liveness, too."
)
@click.option("--record", type=OutputFile(), help="Write the history to this file (.jsonl).")
@click.option(
    "--python", "functions", multiple=True, metavar="FILE:NAME", help="A promise of your own."
)
@click.option("--cel", "expressions", multiple=True, metavar="EXPR", help="Another, in CEL.")
@click.option(
    "--resource", "resources", multiple=True, help="What the expression is about: pods, ..."
)
def check(
    list_them: bool,
    history: Path | None,
    kubeconfig: Path | None,
    rundir: RunDir,
    for_s: float | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    settled: bool,
    record: Path | None,
    functions: tuple[str, ...],
    expressions: tuple[str, ...],
    resources: tuple[str, ...],
) -> None:
    """Judge what happens in a cluster by the promises of Kubernetes.

    Watches a cluster, ours or a real one, and looks at every write. With a violation it prints the
    events around the first one, and exits with 1; else, when the time is over, a table of promises.
    What nothing spoke of was not checked.
    """
    if list_them:
        click.echo("\n".join(listing()))
        return
    logging.configure("check", level="error")
    live = history is None
    kinds = tuple(Kind) if not live else (Kind.SAFETY, *((Kind.LIVENESS,) if settled else ()))
    checkers: list[Make] = [
        *chosen(kinds, only, skip),
        *own(functions, expressions, resources, live=live),
    ]
    if history is not None:
        verdict, surroundings = judged(history, checkers, settled=settled)
    else:
        verdict, surroundings = _watched(
            kubeconfig, rundir, for_s or 0.0, checkers, settled=settled, record=record
        )
    click.echo("\n".join(table(verdict)))
    if surroundings.violation is not None:
        click.echo("\n".join(surroundings.lines()), err=True)
        raise click.exceptions.Exit(1)


def listing() -> Sequence[str]:
    """The promises, by kind."""
    found = []
    for kind in Kind:
        found.append(f"{kind}:")
        for name, line in PROMISES.items():
            if line.kind is kind:
                found += [f"  {name}", f"      {line.load().promise}"]
    return found


def chosen(
    kinds: Sequence[Kind], only: Sequence[str], skip: Sequence[str]
) -> Sequence[type[Checker]]:
    """The checkers that are asked for; click.UsageError for a promise that there is not."""
    try:
        found = registry.named(*only) if only else registry.of_kind(*kinds)
        left_out = {one.name for one in registry.named(*skip)}
    except registry.Unknown as error:
        raise click.UsageError(str(error)) from None
    return [one for one in found if one.name not in left_out]


def own(
    functions: Sequence[str], expressions: Sequence[str], resources: Sequence[str], *, live: bool
) -> Sequence[Make]:
    """The user's checkers; each expression has its resource, or one is for all."""
    if not functions and not expressions and not resources:
        return []
    from kubeherd.chaos.checking import usercheckers  # noqa: PLC0415 - CEL is slow to load

    if len(resources) == 1:
        resources = list(resources) * len(expressions)
    if len(resources) != len(expressions):
        raise click.UsageError("every --cel needs a --resource")
    try:
        return [
            *(usercheckers.from_python(where, live=live) for where in functions),
            *map(usercheckers.from_cel, expressions, resources),
        ]
    except usercheckers.UserCheckError as error:
        raise click.UsageError(str(error)) from None


def judged(
    history: Path, checkers: Sequence[Make], *, settled: bool = False
) -> tuple[Verdict, Surroundings]:
    """A recorded run, all of which has converged at its end if it is `settled`;
    click.ClickException if the file is none."""
    watcher, surroundings = Watcher(checkers), Surroundings()
    at = 0.0
    try:
        for record in files.whole(history):
            at = record.at
            surroundings.see(record, watcher.see(record))
    except (files.HistoryError, OSError) as error:
        raise click.ClickException(f"cannot read {history}: {error}") from None
    if settled:
        step = Step(at=at, name=SETTLED)
        surroundings.see(step, watcher.see(step))
    surroundings.ended(watcher.end())
    return watcher.verdict, surroundings


def _watched(
    kubeconfig: Path | None,
    rundir: RunDir,
    for_s: float,
    checkers: Sequence[Make],
    *,
    settled: bool,
    record: Path | None,
) -> tuple[Verdict, Surroundings]:
    from kubeherd.chaos.checking import live  # noqa: PLC0415 - slow, not needed for --list
    from kubeherd.cluster.client.http.transport import from_kubeconfig  # noqa: PLC0415
    from kubeherd.cluster.runtime.clock import LoopClock  # noqa: PLC0415

    of, speed = None, 0.0
    if kubeconfig is None:
        of, kubeconfig, speed = rundir, rundir.kubeconfig, rundir.load_settings().speed
    plan = live.Plan(
        checkers=checkers, speed=speed, rundir=of, for_s=for_s, settled=settled, record=record
    )
    end = f"for {for_s:g} s" if for_s else "until Ctrl-C"
    transport = from_kubeconfig(kubeconfig)
    found = asyncio.run(
        live.watch(
            plan,
            transport,
            LoopClock(),
            lambda count: click.echo(f"watching {count} resources {end}", err=True),
        )
    )
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"{found.writes:,} writes seen", err=True)
    return found.verdict, found.surroundings
