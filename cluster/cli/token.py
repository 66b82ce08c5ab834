"""`kubeherd token`: what lets nodes of other machines join."""

import shlex
from datetime import timedelta

import click
import msgspec

from kubeherd.cluster.api import goduration
from kubeherd.cluster.api.helpers import bootstraptoken
from kubeherd.cluster.api.helpers.bootstraptoken import BadToken, Token
from kubeherd.cluster.cli.options import directory_option
from kubeherd.cluster.cli.output import say, warn
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.joining import authorities, tokens
from kubeherd.cluster.launcher.profiles import kind
from kubeherd.cluster.launcher.settings import Settings

_EPILOG = """\b
Examples:
  kubeherd token create --print-join-command     what to type on the other machine
  kubeherd token create --ttl 1h --description "for the lab"
  kubeherd token list
  kubeherd token delete abcdef
"""


@click.group(epilog=_EPILOG)
def token() -> None:
    """Create, list and delete the tokens with which nodes of other machines join.

    They are Kubernetes' bootstrap tokens: whoever has one may become a node, and nothing else.
    """


def _duration(_ctx: click.Context, _param: click.Parameter, text: str) -> timedelta | None:
    """A duration as Go writes it; None for 0."""
    try:
        seconds = goduration.nanoseconds(text) / 1e9
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if seconds < 0:
        raise click.BadParameter("a token cannot have ended before it is made")
    return timedelta(seconds=seconds) if seconds else None


def _given(_ctx: click.Context, _param: click.Parameter, text: str | None) -> Token | None:
    try:
        return None if text is None else bootstraptoken.parse(text)
    except BadToken as error:
        raise click.BadParameter(str(error)) from None


def _ids(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> list[str]:
    try:
        return [bootstraptoken.check_id(text.partition(".")[0]) for text in texts]
    except BadToken as error:
        raise click.BadParameter(str(error)) from None


@token.command()
@directory_option
@click.option(
    "--ttl",
    callback=_duration,
    default="24h",
    show_default=True,
    metavar="DURATION",
    help="How long it is good; 0: until it is deleted.",
)
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@click.option(
    "--print-join-command", is_flag=True, help="Print what to type on the other machine, instead."
)
@click.argument("wanted", metavar="[TOKEN]", callback=_given, required=False)
def create(
    rundir: RunDir,
    ttl: timedelta | None,
    description: str,
    print_join_command: bool,
    wanted: Token | None,
) -> None:
    """Create a token, a random one unless TOKEN is given, and print it."""
    settings = rundir.load_settings()
    with tokens.administrator(rundir) as api:
        ca_pem = (rundir.pki / "ca.crt").read_bytes()
        server = kind.Server(settings.public_server, ca_pem)
        made = tokens.create(api, server, wanted, ttl, description)
    if not print_join_command:
        click.echo(made.text)
        return
    click.echo(join_command(settings, made, authorities.hashes_of(ca_pem)[0]))
    if not settings.is_exposed:
        warn(
            f"the API server listens on {settings.listen}, where other machines do not reach it: "
            "`kubeherd down`, then `kubeherd up --listen`"
        )


def join_command(settings: Settings, made: Token, ca_hash: str) -> str:
    """What is typed on the machine that joins."""
    words = ["kubeherd", "join", settings.public_server, "--token", made.text, "--ca-hash", ca_hash]
    if settings.speed != 1.0:
        words += ["--speed", f"{settings.speed:g}"]
    return shlex.join(words)


@token.command(name="list")
@directory_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def list_(rundir: RunDir, output: str) -> None:
    """List the tokens of a cluster."""
    with tokens.administrator(rundir) as api:
        found = tokens.listed(api)
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return
    rows = [("TOKEN", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS")]
    rows += [
        (one.token, one.expires or "<never>", ",".join(one.usages), one.description or "<none>",
         ",".join(one.groups) or "<none>")
        for one in found
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("   ".join(cells).rstrip())


@token.command()
@directory_option
@click.argument("ids", metavar="ID...", nargs=-1, required=True, callback=_ids)
def delete(rundir: RunDir, ids: list[str]) -> None:
    """Delete tokens, by ID: nobody joins with them any more. Nodes that joined stay."""
    with tokens.administrator(rundir) as api:
        for one in ids:
            tokens.delete(api, one)
            say(f"deleted {one}")
