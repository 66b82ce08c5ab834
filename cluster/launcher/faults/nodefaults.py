"""The commands `node kill`, `stop` and `freeze`, and `start` and `thaw`, which undo them: faults of
whole processes. Where an agent process has several nodes, they all are touched.
"""

from collections.abc import Sequence

from kubeherd.cluster.launcher.control import Op
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults.commands import FaultCommands
from kubeherd.cluster.launcher.supervisor.herd import Herd
from kubeherd.cluster.launcher.supervisor.nodes import NodeCommands
from kubeherd.faults import Effect, Fault, FaultKind, Nodes, effects

_BEGUN: dict[Op, Effect] = {
    Op.NODE_KILL: effects.Crash(),
    Op.NODE_STOP: effects.Stop(),
    Op.NODE_FREEZE: effects.Freeze(),
}
_UNDONE = {
    Op.NODE_START: ((FaultKind.CRASH, FaultKind.STOP), "is already running"),
    Op.NODE_THAW: ((FaultKind.FREEZE,), "is not frozen"),
}


async def carry_out(
    op: Op, names: Sequence[str], faults: FaultCommands, nodes: NodeCommands, herd: Herd
) -> list[str]:
    """Carry out a command for these nodes, for all or none; returns the nodes that it touched."""
    if op in _BEGUN:
        touched = nodes.sharing(names)
        effect = _BEGUN[op]
        await faults.begin([Fault(id=effect.kind, target=Nodes(tuple(touched)), effect=effect)])
        return touched
    kinds, otherwise = _UNDONE[op]
    for name in names:
        nodes.settings.agent_of(name)
        if not faults.named(kinds, name):
            raise LauncherError(f'node "{name}" {otherwise}')
    # A process that is down has all its nodes down; in one that runs some may be hurt, each alone.
    whole = [name for name in names if not herd[nodes.settings.agent_of(name)].serving]
    touched = list(dict.fromkeys((*nodes.sharing(whole), *names)))
    await faults.lift(kinds, touched)
    return touched
