"""The settings of a cluster that is made of a snapshot."""

import random
from collections.abc import Sequence
from typing import Final

import msgspec

from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import Settings, StoreKind
from kubeherd.snapshot.adapting import Adapted
from kubeherd.snapshot.model import SnapshotError

MANY_NODES: Final = 20
"""More than so many nodes share processes, if nobody says how."""
_LEAST_PER_AGENT: Final = 10
_KEPT: Final = frozenset({
    "format_version", "nodes", "nodes_per_agent", "controllers", "profile", "speed", "seed",
})  # fmt: skip
"""What comes back of the settings of a cluster of ours. What else they may say is a matter of the
machine (files, ports), or would let a file run commands here (exec)."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks for; None: as it was, or what is usual. With the memory store a cluster
    begins with the snapshot each time."""

    store: StoreKind = StoreKind.SQLITE
    port: int | None = None
    speed: float | None = None
    nodes_per_agent: int | None = None


def settings_of(adapted: Adapted, wanted: Wanted) -> tuple[Settings, Sequence[str]]:
    """The settings, and a line for each kind of node that is in the snapshot and gets no agent.

    LauncherError if the port is taken, or the settings in the snapshot are not readable.
    """
    port = _port(wanted.port)
    known = adapted.snapshot.settings
    nodes: Sequence[str] = ()
    if known is not None:
        settings = _known(known, port)
        others = sorted(set(adapted.nodes) - set(settings.node_names))
        told = _told(others, "were not of the cluster's own and get no agent")
    else:
        seed = random.SystemRandom().getrandbits(32)
        settings = Settings(port=port, seed=seed, nodes_per_agent=_per_agent(len(adapted.nodes)))
        nodes, refused = _usable(adapted.nodes)
        told = _told(refused, "cannot be the names of fake nodes and get no agent")
    changes = {
        name: value
        for name in ("speed", "nodes_per_agent")
        if (value := getattr(wanted, name)) is not None
    }
    settings = msgspec.structs.replace(settings, store=wanted.store, **changes)
    if nodes or wanted.nodes_per_agent is not None:
        names = nodes or settings.node_names
        settings = settings_module.add_nodes(msgspec.structs.replace(settings, nodes=()), names)
    settings_module.check(settings)
    return settings, told


def _known(known: dict[str, object], port: int) -> Settings:
    kept = {key: value for key, value in known.items() if key in _KEPT}
    try:
        return settings_module.decode(msgspec.json.encode({**kept, "port": port}))
    except LauncherError as error:
        raise SnapshotError(f"the settings in the snapshot cannot be used: {error}") from error


def _port(wanted: int | None) -> int:
    if wanted is None:
        return lifecycle.choose_port(random.SystemRandom())
    if not lifecycle.port_is_free(wanted):
        raise LauncherError(f"port {wanted} of 127.0.0.1 is in use: choose another with --port")
    return wanted


def _per_agent(count: int) -> int:
    return 1 if count <= MANY_NODES else max(_LEAST_PER_AGENT, -(-count // MANY_NODES))


def _usable(names: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Names that nodes of ours can have, and the others."""
    usable: list[str] = []
    refused: list[str] = []
    for name in names:
        try:
            settings_module.check_node_name(name)
            usable.append(name)
        except LauncherError:
            refused.append(name)
    return usable, refused


def _told(names: Sequence[str], what: str) -> Sequence[str]:
    some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
    return [f"{len(names)} nodes ({some}) {what}"] if names else []
