"""Who is hurt, as options: by name, nodes by label, zone or number, clients by identity."""

import hashlib
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from kubeherd.cluster.cli.options import DEFAULT_DIRECTORY, node_names
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults import asking, choosing
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.settings import ETCD, MAX_SEED
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults import Clients, Component, Effect, FaultKind, Nodes, Target, effects
from kubeherd.faults.fault import targets_of
from kubeherd.faults.targets import COMMAND, ZONE


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What was said about the targets."""

    targets: tuple[str, ...] = ()
    node_selector: str = ""
    zone: str = ""
    percent: float | None = None
    count: int | None = None
    seed: int | None = None
    clients: Clients | None = None

    @property
    def by_node(self) -> bool:
        """Whether nodes are looked for, by what they are or at random."""
        return bool(self.node_selector or self.zone) or self.percent is not None or bool(self.count)


def parameters(kind: FaultKind) -> list[click.Parameter]:
    """The argument and the options for those whom this kind can hurt; `wanted` takes them."""
    found: list[click.Parameter] = [
        click.Argument(["targets"], metavar="[TARGET]...", nargs=-1, shell_complete=_complete)
    ]
    if Nodes in targets_of(kind):
        found += _of_nodes()
    if Clients in targets_of(kind):
        found += _of_clients()
    return found


def _of_nodes() -> list[click.Option]:
    return [
        click.Option(
            ["--selector", "-l", "node_selector"], default="", help="Nodes with these labels."
        ),
        click.Option(["--zone"], default="", help=f"Nodes whose label {ZONE} has this value."),
        click.Option(
            ["--percent"],
            type=click.FloatRange(0, 100, min_open=True),
            help="So many percent of the nodes, at random, rounded up.",
        ),
        click.Option(["--count"], type=click.IntRange(1), help="So many of the nodes, at random."),
        click.Option(
            ["--seed"], type=click.IntRange(0, MAX_SEED), help="Chooses the same nodes again."
        ),
    ]


def _of_clients() -> list[click.Option]:
    return [
        click.Option(
            ["--client-user"],
            default="",
            help="Clients with this user name; * and ? as in a shell.",
        ),
        click.Option(["--client-agent"], default="", help="Clients with this User-Agent, alike."),
        click.Option(
            ["--client-cert"],
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            metavar="FILE",
            help="The client with this certificate (PEM).",
        ),
    ]


def wanted(values: dict[str, Any]) -> Wanted:
    """What the values of the options say, taken out of them; click.UsageError."""
    user, agent = values.pop("client_user", ""), values.pop("client_agent", "")
    certificate = values.pop("client_cert", None)
    clients = None
    if user or agent or certificate is not None:
        digest = _fingerprint(certificate) if certificate is not None else ""
        clients = Clients(user=user, user_agent=agent, certificate=digest)
    fields = {name: values.pop(name) for name in Wanted.__struct_fields__ if name in values}
    said = Wanted(**fields, clients=clients)
    if said.clients is not None and (said.targets or said.by_node):
        raise click.UsageError("give either clients or nodes and components")
    if said.percent is not None and said.count is not None:
        raise click.UsageError("give either --percent or --count")
    return said


def targets(said: Wanted, effect: Effect, rundir: RunDir) -> list[Target]:
    """Who is meant in this cluster. click.UsageError if nobody was named and nobody is meant
    otherwise; LauncherError if there is none such."""
    if said.clients is not None:
        return [said.clients]
    state, _ = lifecycle.current_state(rundir)
    components = [p.name for p in state.processes if p.role is not Role.AGENT]
    known = {*components, *(Role.APISERVER, Role.CONTROLLER_MANAGER), COMMAND}
    named = [name for name in said.targets if name not in known]
    found: list[Target] = [Component(name) for name in said.targets if name in known]
    if named or said.by_node:
        found.append(Nodes(tuple(_nodes(said, named, rundir))))
    if found:
        return found
    if isinstance(effect, effects.REQUEST_EFFECTS):
        return [Clients()]
    if isinstance(effect, effects.STORE):
        servers = [p.name for p in state.processes if p.role is Role.APISERVER]
        return [Component(name) for name in servers or (Role.APISERVER,)]
    if isinstance(effect, effects.TwoLeaders):
        return [Component(Role.CONTROLLER_MANAGER)]
    raise click.UsageError("name nodes or components, or say which nodes (--zone, --percent, ...)")


def _nodes(said: Wanted, named: Sequence[str], rundir: RunDir) -> Sequence[str]:
    """The nodes that are meant, at random among those that are not hurt yet."""
    pool = list(named or node_names(rundir))
    if said.node_selector or said.zone:
        from kubeherd.cluster.cli.faults import api as faultapi  # noqa: PLC0415 - slow to import, most do without

        zone = f"{ZONE}={said.zone}" if said.zone else ""
        selector = ",".join(part for part in (said.node_selector, zone) if part)
        labelled = faultapi.nodes_with(rundir, selector)
        pool = [name for name in pool if name in labelled]
    if said.percent is not None or said.count is not None:
        hurt = {
            name
            for fault in asking.listed(rundir)
            if isinstance(fault.target, Nodes)
            for name in fault.target.names
        }
        rng = Rng(said.seed)
        count, percent = said.count or 0, said.percent or 0.0
        pool = choosing.unhurt(pool, hurt, rng, count=count, percent=percent)
    if not pool:
        raise LauncherError("no node is meant by that")
    return pool


def _fingerprint(file: Path) -> str:
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(_first(file.read_text()))).hexdigest()
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file} has no certificate (PEM): {error}") from None


def _first(pem: str) -> str:
    """The first certificate: a chain begins with the client's own."""
    begin, end = pem.find("-----BEGIN CERTIFICATE-----"), pem.find("-----END CERTIFICATE-----")
    return pem[begin : end + 25] + "\n" if 0 <= begin < end else ""


def _complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    rundir = ctx.params.get("rundir") or RunDir(Path(DEFAULT_DIRECTORY))
    try:
        settings = rundir.load_settings()
        control_plane = (*settings.api_servers, *settings.controller_managers)
        etcd = [ETCD] if settings.has_own_etcd else []
        names = [*control_plane, *etcd, *settings.node_names]
    except LauncherError:
        return []
    return sorted(name for name in names if name.startswith(incomplete))
