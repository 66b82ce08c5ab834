"""Carrying out what the page asks for: at the supervisor, and at the API server."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher import control
from kubeherd.cluster.launcher.control import NoAnswer, NotListening, Op, Request
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.faults import asking
from kubeherd.cluster.launcher.settings import MAX_SPEED, MIN_SPEED
from kubeherd.dashboard.actions.asked import ANYWHERE, Action, Wanted, Workload
from kubeherd.dashboard.actions.kubectl import Kubectl
from kubeherd.dashboard.web.answers import Refused
from kubeherd.faults import Fault, Nodes
from kubeherd.faults.effects import Partition
from kubeherd.herd.herd import Herd
from kubeherd.herd.model import Revision

_ANSWER_S: Final = 90.0
_OPS: Final = {
    Action.KILL: (Op.NODE_KILL, "killed"),
    Action.FREEZE: (Op.NODE_FREEZE, "froze"),
    Action.THAW: (Op.NODE_THAW, "thawed"),
    Action.STOP: (Op.NODE_STOP, "stopped"),
    Action.START: (Op.NODE_START, "started"),
}
_SHOWN: Final = (400, 401, 403, 404, 409, 410)
_SHARED: Final = 10


class Actor:
    """Acts on one cluster; without a `rundir` it is not one of ours."""

    def __init__(self, rundir: RunDir | None, kubectl: Kubectl, herd: Callable[[], Herd]) -> None:
        self._rundir = rundir
        self._kubectl = kubectl
        self._herd = herd
        do = self._kubectl
        self._known: Mapping[Action, Callable[[Wanted], Awaitable[str]]] = {
            **dict.fromkeys(_OPS, self._process),
            Action.CORDON: lambda wanted: do.cordon(wanted.names, closed=True),
            Action.UNCORDON: lambda wanted: do.cordon(wanted.names, closed=False),
            Action.DRAIN: lambda wanted: do.drain(wanted.names),
            Action.PARTITION: self._partition,
            Action.HEAL: self._heal,
            Action.ADD_NODES: self._add,
            Action.REMOVE_NODE: self._remove,
            Action.SPEED: self._speed,
            Action.SET_IMAGE: self._set_image,
            Action.ROLL_BACK: self._roll_back,
            Action.RESTART: lambda wanted: do.restart(wanted.target()),
            Action.PAUSE: lambda wanted: do.pause(wanted.target(), paused=True),
            Action.RESUME: lambda wanted: do.pause(wanted.target(), paused=False),
        }

    def check(self, wanted: Wanted) -> None:
        """Refused if it cannot be done to this cluster at all."""
        if self._rundir is None and wanted.action not in ANYWHERE:
            raise Refused(403, f"{wanted.action} can only be done to a cluster of kubeherd")

    async def act(self, wanted: Wanted) -> str:
        """Do it; what was done, in a line. Refused."""
        self.check(wanted)
        try:
            return await self._known[wanted.action](wanted)
        except ApiError as error:
            known = error.status_code in _SHOWN
            raise Refused(error.status_code if known else 400, error.message) from None
        except (TransportError, NotListening, NoAnswer) as error:
            raise Refused(502, str(error)) from None
        except KubeherdError as error:
            raise Refused(409, str(error)) from None

    def _ours(self) -> RunDir:
        if self._rundir is None:
            raise Refused(403, "this is not a cluster of kubeherd")
        return self._rundir

    async def _process(self, wanted: Wanted) -> str:
        op, done = _OPS[wanted.action]
        touched = await self._ask(Request(op=op, nodes=self._own_nodes(wanted)))
        others = [name for name in touched if name not in wanted.names]
        more = f" and {len(others) - _SHARED} more" if len(others) > _SHARED else ""
        shared = f"; as well, in the same process: {', '.join(others[:_SHARED])}{more}"
        return f"{done} {', '.join(wanted.names)}{shared if others else ''}"

    async def _partition(self, wanted: Wanted) -> str:
        target = Nodes(names=self._own_nodes(wanted))
        fault = Fault(id="partition", target=target, effect=Partition())
        begun = await asyncio.to_thread(asking.begin, self._ours(), [fault])
        return ", ".join(f"{one.id}: {one}" for one in begun)

    async def _heal(self, wanted: Wanted) -> str:
        undone = await asyncio.to_thread(asking.undo, self._ours(), wanted.fault or "")
        if not undone:
            raise Refused(404, f'there is no fault "{wanted.fault}"')
        return f"undone: {undone[0]}"

    async def _add(self, wanted: Wanted) -> str:
        added = await self._ask(Request(op=Op.NODE_ADD, count=wanted.count))
        return f"added {', '.join(added)}"

    async def _speed(self, wanted: Wanted) -> str:
        speed = wanted.speed or 1.0
        if not MIN_SPEED <= speed <= MAX_SPEED:
            raise Refused(400, f"a speed is from {MIN_SPEED:g} to {MAX_SPEED:g}")
        await self._ask(Request(op=Op.SPEED, speed=speed))
        return f"speed {speed:g}"

    async def _remove(self, wanted: Wanted) -> str:
        ours = self._rundir is not None
        if ours:
            await self._ask(Request(op=Op.NODE_REMOVE, nodes=self._own_nodes(wanted)))
        return await self._kubectl.delete_nodes(wanted.names, gone=ours)

    async def _set_image(self, wanted: Wanted) -> str:
        of = wanted.target()
        return await self._kubectl.set_image(of, wanted.container or "", wanted.image or "")

    async def _roll_back(self, wanted: Wanted) -> str:
        of = wanted.target()
        return await self._kubectl.roll_back(of, self._revision(of, wanted.revision))

    def _revision(self, of: Workload, number: int) -> Revision:
        """The revision of this number, or the one before; Refused."""
        rollout = self._herd().rollouts.get(of.key)
        if rollout is None:
            raise Refused(404, f"there is no {of.key}")
        revisions = rollout.revisions
        if not number and len(revisions) > 1:
            return revisions[-2]
        found = [one for one in revisions if one.number == number]
        if not found:
            raise Refused(404, f"{of.key} has no revision {number or 'before this one'}")
        return found[0]

    def _own_nodes(self, wanted: Wanted) -> tuple[str, ...]:
        """The nodes that are meant; Refused if one is none of ours."""
        there = set(self._ours().load_settings().node_names)
        for name in wanted.names:
            if name not in there:
                raise Refused(404, f'the cluster has no node "{name}"')
        return wanted.names

    async def _ask(self, request: Request) -> tuple[str, ...]:
        return await asyncio.to_thread(_answered, self._ours(), request)


def _answered(rundir: RunDir, request: Request) -> tuple[str, ...]:
    touched: tuple[str, ...] = ()
    for reply in control.ask(rundir, request, _ANSWER_S):
        touched = reply.nodes
    return touched
