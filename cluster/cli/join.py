"""`kubeherd join`: nodes here of a cluster that is elsewhere."""

import re
import socket
from urllib.parse import urlsplit

import click
import msgspec

from kubeherd.cluster.api.helpers import bootstraptoken
from kubeherd.cluster.api.helpers.bootstraptoken import BadToken
from kubeherd.cluster.cli.options import directory_given, directory_option, start_timeout_option
from kubeherd.cluster.cli.output import say, warn
from kubeherd.cluster.cli.starting import Wish, bring_up, count
from kubeherd.cluster.launcher import addresses
from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.joining import authorities, discovery, nodes
from kubeherd.cluster.launcher.joining.discovery import Invitation
from kubeherd.cluster.launcher.lifecycle import new_settings
from kubeherd.cluster.launcher.settings import (
    MAX_NODES,
    MAX_SEED,
    MAX_SPEED,
    MIN_SPEED,
    ClusterOptions,
    Settings,
)

_EPILOG = """\b
Examples:
  kubeherd join https://10.0.0.5:20443 --token abcdef.0123456789abcdef --ca-hash sha256:...
  kubeherd join URL --token ... --ca-hash ... --nodes 20 --name-prefix rack-2
  kubeherd join URL --token ... --ca-hash ... --foreground      in a container, or under systemd
The command with its token and hash: `kubeherd token create --print-join-command` at the cluster.
After that `kubeherd status`, `node kill`, `logs` and `down` do here what they do to a cluster, and
`kubeherd up` brings the nodes back.
"""


@click.command(epilog=_EPILOG)
@directory_option
@click.argument("url")
@click.option(
    "--token",
    required=True,
    metavar="ID.SECRET",
    envvar="KUBEHERD_TOKEN",
    show_envvar=True,
    help="The bootstrap token.",
)
@click.option(
    "--ca-hash",
    required=True,
    metavar="sha256:HASH",
    help="Of the public key of the cluster's authority (kubeadm's --discovery-token-ca-cert-hash).",
)
@click.option(
    "--nodes", "number", type=click.IntRange(1, MAX_NODES), default=1, show_default=True,
    help="Number of nodes.",
)  # fmt: skip
@click.option(
    "--name-prefix",
    metavar="NAME",
    help="They are called NAME-0, NAME-1, ...  [default: this machine's name]",
)
@click.option(
    "--nodes-per-agent", type=click.IntRange(1, MAX_NODES), default=1, show_default=True,
    help="Nodes that share one agent process.",
)  # fmt: skip
@click.option(
    "--speed", type=click.FloatRange(MIN_SPEED, MAX_SPEED), default=1.0, show_default=True,
    help="The cluster's own.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="Seed of every random decision.")
@click.option("--foreground", is_flag=True, help="Stay, and stop the nodes on Ctrl-C.")
@start_timeout_option()
def join(
    rundir: RunDir,
    url: str,
    token: str,
    ca_hash: str,
    number: int,
    name_prefix: str | None,
    nodes_per_agent: int,
    speed: float,
    seed: int | None,
    foreground: bool,
    timeout_s: float | None,
) -> None:
    """Run nodes on this machine that belong to the cluster at URL.

    Each gets a certificate of its own from the cluster, which is renewed before it ends. Returns
    when they are Ready; the processes stay. A directory that joined before brings its nodes back.
    """
    invitation = _invitation(url, token, ca_hash)
    prefix = _prefix() if name_prefix is None else name_prefix
    base = new_settings(
        ClusterOptions(nodes_per_agent=nodes_per_agent, speed=speed),
        nodes=0,
        port=urlsplit(invitation.server).port or 443,
        seed=seed,
    )
    settings = settings_module.add_nodes(
        msgspec.structs.replace(base, joined=invitation.server),
        [f"{prefix}-{number}" for number in range(number)],
    )
    wish = Wish(
        rundir=rundir,
        new=settings,
        changed=lambda stored: _changed(rundir, stored, settings),
        found=lambda found: _bootstrap(rundir, invitation, found),
        timeout_s=timeout_s,
        foreground=foreground,
    )
    bring_up(wish, lambda found: _explain(rundir, found))


def _invitation(url: str, token: str, ca_hash: str) -> Invitation:
    """What was given, checked; LauncherError, which does not show the token, for what is wrong."""
    try:
        read = bootstraptoken.parse(token)
    except BadToken as error:
        raise LauncherError(f"--token: {error}") from None
    return Invitation(_server(url), read, authorities.check_hash(ca_hash))


def _server(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
    except ValueError:
        raise LauncherError(f'"{url}" is no URL') from None
    if parts.scheme != "https" or parts.path.strip("/") or parts.query or parts.username:
        raise LauncherError(f'"{url}" is not of the form https://HOST:PORT')
    return addresses.url(addresses.check_host(host), port)


def _prefix() -> str:
    """This machine's name, as far as it can be a node's."""
    name = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().partition(".")[0].lower()).strip("-")
    return name or "node"


def _changed(rundir: RunDir, stored: Settings, wanted: Settings) -> Settings:
    """The settings of a directory that was used before; LauncherError if for something else."""
    if not stored.joined:
        raise LauncherError(
            f"{rundir.root} has a cluster of its own: choose another directory with --dir"
        )
    if stored.joined != wanted.joined:
        raise LauncherError(
            f"the nodes in {rundir.root} are those of {stored.joined}: choose another directory "
            "with --dir, or delete this one with `kubeherd down --purge`"
        )
    if stored.node_names != wanted.node_names:
        warn(f"the nodes in {rundir.root} stay as they are: {', '.join(stored.node_names[:4])}")
    return stored


def _bootstrap(rundir: RunDir, invitation: Invitation, settings: Settings) -> None:
    """Get what is missing of the nodes' certificates."""
    missing = nodes.without_identity(rundir, settings.joined, settings.node_names)
    if missing:
        nodes.give_identities(rundir, discovery.trusted(invitation), missing)


def _explain(rundir: RunDir, settings: Settings) -> None:
    say(f"{count(len(settings.nodes), 'node')} of {settings.joined} run here.")
    say(f"  kubeherd status{directory_given(rundir)}")
    say(f"  kubeherd down{directory_given(rundir)}     stops them: for the cluster they are lost")
