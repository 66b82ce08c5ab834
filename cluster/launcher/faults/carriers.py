"""Which process carries out which fault. Pure.

Processes are hurt by the supervisor, with signals; all else is told to the process at whose edge
it happens: connections, requests and the store to the API server, what a node does wrong to its
agent, two leaders to the controller manager. Where several nodes share an agent process, a fault of
some of them is the agent's, too: they share the identity by which the API server tells clients
apart, and a signal would hurt them all.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.settings import Settings
from kubeherd.faults import Component, Fault, FaultKind, Nodes, effects
from kubeherd.faults.targets import COMMAND

_DOWN = (FaultKind.CRASH, FaultKind.STOP)


class Carriers(msgspec.Struct, frozen=True):
    """Who carries out one fault: processes that get signals, and what others are told."""

    signalled: tuple[str, ...] = ()
    told: Mapping[str, Fault] = {}


class Orders(msgspec.Struct, frozen=True):
    """What one process is to do under all faults together."""

    down: bool = False
    graceful: bool = False
    """If it is to be down: it may end in order."""
    frozen: bool = False
    told: tuple[Fault, ...] = ()


def carriers(fault: Fault, settings: Settings, components: Collection[str]) -> Carriers:
    """Who carries out a fault; LauncherError if it is nobody's.

    `components` are the processes of the control plane.
    """
    found = _carriers(fault, settings, components)
    if Role.APISERVER in found.told:
        if settings.joined:
            raise LauncherError(
                f"{fault.kind} of {fault.target} happens at the API server, which is elsewhere"
            )
        return msgspec.structs.replace(found, told=_at_servers(fault, settings))
    return found


def _at_servers(fault: Fault, settings: Settings) -> dict[str, Fault]:
    """What the API servers are told of a fault that happens there: a client may be at any of them.
    One of a store is that of the server that is named."""
    if isinstance(fault.target, Component) and fault.target.name in settings.api_servers:
        return {fault.target.name: fault}
    return dict.fromkeys(settings.api_servers, fault)


def _carriers(fault: Fault, settings: Settings, components: Collection[str]) -> Carriers:
    if isinstance(fault.target, Nodes):
        return _of_nodes(fault, _by_agent(fault.target.names, settings), settings)
    if isinstance(fault.target, Component):
        name = fault.target.name
        if name not in components and (
            name != COMMAND or isinstance(fault.effect, effects.PROCESS)
        ):
            raise LauncherError(f'the cluster has no process "{name}"')
        if isinstance(fault.effect, effects.PROCESS):
            return Carriers(signalled=(name,))
        if isinstance(fault.effect, effects.TwoLeaders):
            return Carriers(told={name: fault})
    return Carriers(told={Role.APISERVER: fault})


def orders(
    faults: Iterable[Fault], settings: Settings, components: Collection[str]
) -> dict[str, Orders]:
    """What the hurt processes are to do; those that are not in it, nothing special."""
    found: dict[str, Orders] = {}
    for fault in faults:
        carried = carriers(fault, settings, components)
        for name in carried.signalled:
            before = found.get(name, Orders())
            down = fault.kind in _DOWN
            found[name] = msgspec.structs.replace(
                before,
                down=before.down or down,
                graceful=before.graceful or fault.kind is FaultKind.STOP,
                frozen=before.frozen or not down,
            )
        for name, told in carried.told.items():
            before = found.get(name, Orders())
            found[name] = msgspec.structs.replace(before, told=(*before.told, told))
    return found


def lifted(
    faults: Iterable[Fault], kinds: Collection[FaultKind], names: Collection[str]
) -> list[Fault]:
    """The faults without these nodes (or this component) in those of these kinds."""
    left: list[Fault] = []
    for fault in faults:
        if fault.kind not in kinds:
            left.append(fault)
        elif isinstance(fault.target, Nodes):
            nodes = tuple(name for name in fault.target.names if name not in names)
            if nodes:
                left.append(msgspec.structs.replace(fault, target=Nodes(nodes)))
        elif not (isinstance(fault.target, Component) and fault.target.name in names):
            left.append(fault)
    return left


def hurts(fault: Fault, name: str) -> bool:
    """Whether the node or component of this name is a target."""
    if isinstance(fault.target, Nodes):
        return name in fault.target.names
    return isinstance(fault.target, Component) and fault.target.name == name


def _by_agent(nodes: Iterable[str], settings: Settings) -> dict[str, list[str]]:
    """The agent processes of nodes, and which of these each has. LauncherError: no such node."""
    agents = {node.name: node.agent for node in settings.nodes}
    missing = [name for name in nodes if name not in agents]
    if missing:
        raise LauncherError(f'the cluster has no node "{missing[0]}"')
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(nodes):
        found.setdefault(agents[name], []).append(name)
    return found


def _of_nodes(fault: Fault, by_agent: Mapping[str, Sequence[str]], settings: Settings) -> Carriers:
    if isinstance(fault.effect, effects.PROCESS):
        agents = settings.agents()
        whole = tuple(name for name, nodes in by_agent.items() if len(nodes) == len(agents[name]))
        parts = {name: nodes for name, nodes in by_agent.items() if name not in whole}
        return Carriers(whole, {name: _part(fault, nodes) for name, nodes in parts.items()})
    if isinstance(fault.effect, effects.REQUEST_EFFECTS):
        if settings.has_fleets:
            raise LauncherError(
                f"{fault.kind} cannot hurt {fault.target}: nodes that share a process share its "
                "identity; name clients instead"
            )
        return Carriers(told={Role.APISERVER: fault})
    of_server = not settings.has_fleets and not settings.joined
    if isinstance(fault.effect, effects.CONNECTION) and of_server:
        return Carriers(told={Role.APISERVER: fault})
    return Carriers(told={name: _part(fault, nodes) for name, nodes in by_agent.items()})


def _part(fault: Fault, nodes: Sequence[str]) -> Fault:
    """The fault for some of its nodes."""
    return msgspec.structs.replace(fault, target=Nodes(tuple(nodes)))
