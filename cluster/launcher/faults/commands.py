"""Faults of a running cluster: begun, undone, and kept in force while processes come and go.

Which faults there are decides what every process is to do (`carriers.orders`); after each change
those are brought there whose orders changed. Invariants: a request is carried out as a whole or not
at all; what is in force stands in faults.json before it is carried out; a process that comes back
is hurt again as soon as it serves. The caller sees to it that one thing is done at a time.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec
import structlog

from kubeherd.cluster.launcher import plan
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults import file
from kubeherd.cluster.launcher.faults.carriers import Orders, carriers, hurts, lifted, orders
from kubeherd.cluster.launcher.faults.telling import Teller
from kubeherd.cluster.launcher.plan import Phase
from kubeherd.cluster.launcher.supervisor.herd import Herd
from kubeherd.cluster.launcher.supervisor.nodes import NodeCommands
from kubeherd.faults import Fault, FaultKind, Nodes, effects
from kubeherd.faults.fault import encode_all

if TYPE_CHECKING:
    from kubeherd.cluster.launcher.supervisor.recording import Recording

MAX_BYTES = 8 * 1024 * 1024
"""Of all faults at once, as JSON: half of what fits a line to a process."""
NEVER_S = 86_400.0
_ENDED = (FaultKind.CRASH, FaultKind.STOP, FaultKind.RESTART, FaultKind.REBOOT)
"""After these the process is another one, which is not frozen."""

_log = structlog.get_logger(__name__)


class Bounce(msgspec.Struct, frozen=True):
    """Processes that end and start again together, and what is told to others for a moment."""

    fault: Fault
    processes: tuple[str, ...]
    told: dict[str, Fault]


class FaultCommands:
    """The faults of one cluster. All public methods raise LauncherError for what cannot be done."""

    def __init__(
        self,
        rundir: RunDir,
        herd: Herd,
        nodes: NodeCommands,
        now_s: Callable[[], float] = time.time,
        *,
        recording: "Recording | None" = None,
    ) -> None:
        self._rundir = rundir
        self._herd = herd
        self._nodes = nodes
        self._now_s = now_s
        self._recording = recording
        self._teller = Teller(rundir)
        self._orders: dict[str, Orders] = {}
        self.active: tuple[Fault, ...] = ()
        """The faults that are in force, oldest first."""

    async def begin(self, faults: Sequence[Fault]) -> list[Fault]:
        """Put faults in force, all or none; returns them with the names that they got.

        Those that are over at once are checked, named and not carried out: `bounces` says how.
        """
        taken = {fault.id for fault in self.active}
        begun: list[Fault] = []
        for fault in faults:
            named = msgspec.structs.replace(fault, id=_free(fault.id, taken), at=self._now_s())
            taken.add(named.id)
            begun.append(named)
        self._check(begun)
        before = self.active
        now = list(before)
        for fault in begun:
            now = self._thawed(now, fault)
            now += [fault] if fault.undoable else []
        try:
            await self._become(now)
        except LauncherError:
            await self._restore(before)
            raise
        self._tell_of(fault for fault in begun if not fault.undoable)
        return begun

    async def undo(self, ids: Sequence[str]) -> list[Fault]:
        """End these faults (none named: all); returns them. One that is not there is over."""
        undone = [fault for fault in self.active if not ids or fault.id in ids]
        await self._become([fault for fault in self.active if fault not in undone])
        return undone

    async def lift(self, kinds: Collection[FaultKind], names: Collection[str]) -> None:
        """End what hurts these nodes (or this component) in these ways."""
        await self._become(lifted(self.active, kinds, names))

    async def forget(self, nodes: Collection[str]) -> None:
        """These nodes are no more."""
        await self.lift(frozenset(FaultKind), nodes)
        self._teller.forget_all_but(self._herd)

    def named(self, kinds: Collection[FaultKind], name: str) -> bool:
        """Whether a fault of these kinds names this node or component."""
        return any(fault.kind in kinds and hurts(fault, name) for fault in self.active)

    def processes(self, faults: Iterable[Fault]) -> list[str]:
        """The processes that carry out these faults, or are hurt by them."""
        found: dict[str, None] = {}
        for fault in faults:
            carried = carriers(fault, self._nodes.settings, self._herd.components)
            found.update(dict.fromkeys((*carried.signalled, *carried.told)))
        return list(found)

    def bounces(self, begun: Iterable[Fault]) -> list[Bounce]:
        """The steps of faults that are over at once; each waits until the one before serves."""
        steps: list[Bounce] = []
        for fault in begun:
            if not fault.undoable:
                carried = carriers(fault, self._nodes.settings, self._herd.components)
                told = dict(carried.told)
                if isinstance(fault.effect, effects.Restart) and fault.effect.rolling:
                    steps += [Bounce(fault, (name,), {}) for name in carried.signalled]
                    steps += [Bounce(fault, (), {name: part}) for name, part in told.items()]
                else:
                    steps.append(Bounce(fault, carried.signalled, told))
        return steps

    async def bounce(self, step: Bounce) -> None:
        """End processes and start them again; they do not serve yet when this returns."""
        self._check_running(step.fault, step.processes)
        effect = step.fault.effect
        graceful = isinstance(effect, effects.Restart) and effect.graceful
        await _all(self._end(name, graceful=graceful) for name in step.processes)
        reboot = isinstance(effect, effects.Reboot)
        self._herd.start(self._spec(name, reboot=reboot) for name in step.processes)
        for name, part in step.told.items():
            process, told = self._herd[name], self._told(name)
            await self._teller.tell(process, (*told, part))
            await self._teller.tell(process, told)

    def bounced(self, step: Bounce) -> None:
        """The processes serve: when they are started again, that is no reboot any more."""
        for name in step.processes:
            if name in self._herd:
                self._herd[name].spec = self._spec(name)

    async def tend(self) -> None:
        """End the faults whose time is over; hurt again the processes that came back."""
        over = [fault.id for fault in self.active if 0 < fault.until <= self._now_s()]
        try:
            if over:
                await self.undo(over)
            await self._carry_out(name for name in self._orders if name in self._herd)
        except LauncherError as error:
            _log.warning("fault_not_carried_out", error=str(error))
            for name in self._orders:
                if name in self._herd:
                    self._teller.give_up(self._herd[name], self._told(name))

    def rest_s(self) -> float:
        """Real seconds until a fault ends by itself."""
        ends = [fault.until for fault in self.active if fault.until > 0]
        return max(0.0, min(ends) - self._now_s()) if ends else NEVER_S

    # --- what is possible ---

    def _check(self, faults: Sequence[Fault]) -> None:
        components = self._herd.components
        for fault in faults:
            carried = carriers(fault, self._nodes.settings, components)
            if fault.kind in (*_ENDED, FaultKind.FREEZE):
                self._check_running(fault, carried.signalled)
        if len(encode_all([*self.active, *faults])) > MAX_BYTES:
            raise LauncherError("these are too many faults at once: undo some")

    def _check_running(self, fault: Fault, processes: Iterable[str]) -> None:
        wrong: list[str] = []
        for name in processes:
            process = self._herd[name]
            freeze = fault.kind is FaultKind.FREEZE
            if not process.wanted or (freeze and process.child is None):
                why = "is not running"
            elif freeze and process.phase is Phase.FROZEN:
                why = "is already frozen"
            else:
                continue
            if isinstance(fault.target, Nodes):
                targets = [node for node in process.spec.nodes if node in fault.target.names]
                wrong += [f'node "{node}" {why}' for node in targets]
            else:
                wrong.append(f"{name} {why}")
        if wrong:
            raise LauncherError("; ".join(wrong))

    def _thawed(self, faults: Sequence[Fault], fault: Fault) -> list[Fault]:
        """Without the freezing of processes that this fault ends."""
        if fault.kind not in _ENDED:
            return list(faults)
        ended = carriers(fault, self._nodes.settings, self._herd.components).signalled
        names = {name for process in ended for name in (process, *self._herd[process].spec.nodes)}
        return lifted(faults, (FaultKind.FREEZE,), names)

    # --- carrying out ---

    async def _become(self, faults: Sequence[Fault]) -> None:
        """Let these be the faults, and bring every process there whose orders changed."""
        new = orders(faults, self._nodes.settings, self._herd.components)
        file.write(self._rundir, faults)
        old, self._orders, self.active = self._orders, new, tuple(faults)
        if self._recording is not None:
            self._recording.faults(self.active)
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        await self._carry_out(name for name in changed if name in self._herd)

    def _tell_of(self, over_at_once: Iterable[Fault]) -> None:
        if self._recording is not None:
            for fault in over_at_once:
                self._recording.happened(fault)

    async def _restore(self, faults: Sequence[Fault]) -> None:
        try:
            await self._become(faults)
        except LauncherError as error:
            _log.warning("fault_not_undone", error=str(error))

    async def _carry_out(self, names: Iterable[str]) -> None:
        """Bring processes to what they are to do; LauncherError names those that are not there."""
        await _all(self._obey(name, self._orders.get(name, Orders())) for name in names)

    async def _obey(self, name: str, order: Orders) -> None:
        process = self._herd[name]
        if order.down:
            if process.wanted:
                await self._end(name, graceful=order.graceful)
        elif not process.wanted:
            self._herd.start([self._spec(name)])
        elif order.frozen != (process.phase is Phase.FROZEN):
            if order.frozen:
                process.freeze()
            else:
                process.thaw()
        await self._teller.tell(process, order.told)

    async def _end(self, name: str, *, graceful: bool) -> None:
        process = self._herd[name]
        try:
            if graceful:
                await process.stop(self._herd.grace_s(name))
            else:
                await process.kill()
        except TimeoutError:
            raise LauncherError(f"{name} does not end after {signal.SIGKILL.name}") from None

    def _told(self, name: str) -> tuple[Fault, ...]:
        return self._orders.get(name, Orders()).told

    def _spec(self, name: str, *, reboot: bool = False) -> plan.ProcessSpec:
        if name in self._herd.components:
            return self._herd[name].spec
        return self._nodes.spec(name, reboot=reboot)


async def _all(works: Iterable[Coroutine[None, None, None]]) -> None:
    """Do all at the same time, each to its end; LauncherError with what went wrong."""
    results = await asyncio.gather(*works, return_exceptions=True)
    wrong = [result for result in results if result is not None]
    for error in wrong:
        if not isinstance(error, LauncherError):
            raise error
    if wrong:
        raise LauncherError("; ".join(str(error) for error in wrong))


def _free(name: str, taken: Collection[str]) -> str:
    """The name, or if it is taken, with the first number from 2 that makes it free."""
    if name not in taken:
        return name
    number = 2
    while f"{name[:58]}-{number}" in taken:
        number += 1
    return f"{name[:58]}-{number}"
