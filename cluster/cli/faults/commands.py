"""`kubeherd fault ...`: begin and undo faults; a command for each kind, made from its struct."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kubeherd.cluster.cli.faults import effectoptions, targetoptions
from kubeherd.cluster.cli.faults.effectoptions import EFFECTS, duration
from kubeherd.cluster.cli.options import DEFAULT_DIRECTORY, directory_given, directory_option
from kubeherd.cluster.cli.output import Steps, say, steps
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults import asking, file
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults import Effect, Fault, FaultError, FaultKind
from kubeherd.faults.effects import ONE_SHOT

if TYPE_CHECKING:
    from kubeherd.cluster.launcher.faults.chaosmeshselectors import Seen

_EPILOG = """\b
Examples:
  kubeherd fault crash node-1                     the power is cut, until it is undone
  kubeherd fault undo crash
  kubeherd fault partition --zone a --for 2m      a zone is dark for two minutes
  kubeherd fault restart --rolling --percent 100  every node, one after the other
  kubeherd fault api-error --code 429 --retry-after 5 --client-agent 'kopf/*'
  kubeherd fault slow-network node-2 --latency 200ms --jitter 50ms
  kubeherd fault apply -f chaos.yaml              Chaos Mesh's PodChaos, NetworkChaos, TimeChaos
  kubeherd faults                                 what is in force
"""


class _Kinds(click.Group):
    """A command for each kind of fault besides those that were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The kinds in the order of the vocabulary, then the others."""
        return [*EFFECTS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, made if it is that of a kind."""
        if cmd_name in EFFECTS:
            return _command(FaultKind(cmd_name))
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Kinds, epilog=_EPILOG)
def fault() -> None:
    """Hurt a running cluster, and undo it.

    Targets are nodes, apiserver, controller-manager, or clients. Durations are nominal seconds, as
    all of a cluster: --speed divides them.
    """


def _ids(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The faults of the cluster that is meant, as its supervisor wrote them down."""
    rundir = ctx.params.get("rundir") or RunDir(Path(DEFAULT_DIRECTORY))
    return sorted(one.id for one in file.read(rundir) if one.id.startswith(incomplete))


@fault.command(epilog="\b\nExamples:\n  kubeherd fault undo crash\n  kubeherd fault undo --all\n")
@directory_option
@click.option("--all", "everything", is_flag=True, help="All faults.")
@click.argument("ids", metavar="[ID]...", nargs=-1, shell_complete=_ids)
def undo(rundir: RunDir, everything: bool, ids: tuple[str, ...]) -> None:
    """End faults; returns when what they had ended serves again."""
    if everything == bool(ids):
        raise click.UsageError("give the IDs of faults, or --all")
    with steps("undoing") as progress:
        undone = asking.undo(rundir, *ids)
        for one in undone:
            progress.done(f"undone: {one.id} ({one})")
    missing = [name for name in ids if name not in {one.id for one in undone}]
    if missing:
        raise LauncherError(f'there is no fault "{missing[0]}"')
    if not undone:
        say("there are no faults")


@fault.command(
    epilog="""\b
Examples:
  kubeherd fault apply -f network-chaos.yaml
  kubeherd faults -o json > faults.json; kubeherd fault apply -f faults.json
"""
)
@directory_option
@click.option("-f", "--filename", type=click.File(), required=True, help="YAML; - reads stdin.")
@click.option("--seed", type=click.IntRange(0), help="Makes the same choices again.")
def apply(rundir: RunDir, filename: Any, seed: int | None) -> None:
    """Begin the faults of a file, all or none.

    It has faults as `kubeherd faults -o json` shows them, or PodChaos, NetworkChaos and TimeChaos
    of Chaos Mesh. What has no counterpart is refused by name.
    """
    from kubeherd.cluster.cli.faults import files as faultfiles  # noqa: PLC0415 - PyYAML is slow to import

    speed = rundir.load_settings().speed
    planned = faultfiles.planned(filename.read(), lambda: _seen(rundir), speed, Rng(seed))
    with steps("beginning") as progress:
        begun = asking.begin(rundir, planned.faults) if planned.faults else []
        for one in begun:
            _tell(one, rundir, progress)
        if planned.deletions:
            from kubeherd.cluster.cli.faults import api as faultapi  # noqa: PLC0415 - slow to import

            faultapi.delete_pods(rundir, planned.deletions)
            progress.done(f"deleted {', '.join(str(one.pod) for one in planned.deletions)}")


def _seen(rundir: RunDir) -> "Seen":
    from kubeherd.cluster.cli.faults import api as faultapi  # noqa: PLC0415 - slow to import

    return faultapi.seen(rundir)


def _command(kind: FaultKind) -> click.Command:
    effect = EFFECTS[kind]
    about = re.sub(
        r"`(\w+)`",
        lambda field: effectoptions.option_name(field[1]),
        " ".join((effect.__doc__ or "").split()),
    )
    parameters: list[click.Parameter] = [
        *targetoptions.parameters(kind),
        *effectoptions.options(effect),
        click.Option(
            ["--id"], default=kind.value, show_default=True, help="Its name, for `fault undo`."
        ),
    ]
    if effect not in ONE_SHOT:
        parameters.append(
            click.Option(["--for", "for_s"], type=duration, help="Undo it after so long.")
        )

    def begin(rundir: RunDir, **values: Any) -> None:
        said = targetoptions.wanted(values)
        name, for_s = values.pop("id"), values.pop("for_s", None)
        _begin(rundir, name, effectoptions.made(effect, values), said, for_s)

    command = click.Command(
        kind.value,
        params=parameters,
        callback=begin,
        help=about,
        short_help=f"{about.split('. ')[0].rstrip('.')}.",
    )
    directory_option(command)
    return command


def _begin(
    rundir: RunDir,
    name: str,
    effect: Effect,
    said: targetoptions.Wanted,
    for_s: float | None,
) -> None:
    settings = rundir.load_settings()
    until = time.time() + for_s / settings.speed if for_s is not None else 0.0
    faults = [
        Fault(id=name, target=target, effect=effect, until=until)
        for target in targetoptions.targets(said, effect, rundir)
    ]
    try:
        for one in faults:
            one.check()
    except FaultError as error:
        raise LauncherError(str(error)) from None
    with steps(f"{effect.kind}") as progress:
        for one in asking.begin(rundir, faults):
            _tell(one, rundir, progress)


def _tell(one: Fault, rundir: RunDir, progress: Steps) -> None:
    """Its name for a program, and for a person what it is and how it is undone."""
    if not one.undoable:
        progress.done(str(one))
        return
    click.echo(one.id)
    undo_it = f"kubeherd fault undo {one.id}{directory_given(rundir)}"
    progress.done(f"{one}; `{undo_it}` undoes it")
