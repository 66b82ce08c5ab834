"""What is asked of a supervisor on its control socket (`control` has the protocol).

What hurts the cluster on command is in `faults`, which is imported with the first fault; until then
nothing looks for any.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from typing import TYPE_CHECKING

import msgspec
import structlog

from kubeherd.cluster.launcher import plan
from kubeherd.cluster.launcher.control import Op, Reply, Request
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.supervisor.running import RunningCluster

if TYPE_CHECKING:
    from kubeherd.cluster.launcher.faults.commands import FaultCommands

_log = structlog.get_logger(__name__)


class Commands:
    """Carries out what is asked; one per running cluster."""

    def __init__(self, cluster: RunningCluster) -> None:
        self._cluster = cluster
        self._faults: FaultCommands | None = None

    async def answer(self, request: Request) -> AsyncGenerator[Reply]:
        """Carry out a request: progress, and the final reply. LauncherError if it cannot be."""
        cluster = self._cluster
        match request.op:
            case Op.STATUS:
                yield Reply(state=cluster.snapshot())
            case Op.WAIT:
                async for reply in cluster.progress(cluster.is_up):
                    yield reply
            case Op.STOP:
                cluster.leaving.set()
                async for reply in cluster.progress(lambda: cluster.is_empty):
                    yield reply
            case Op.SPEED:
                async for reply in self._change_speed(request.speed):
                    yield reply
            case Op.FAULT_BEGIN | Op.FAULT_UNDO | Op.FAULT_LIST:
                async for reply in self._fault_command(request):
                    yield reply
            case _:
                async for reply in self._node_command(request):
                    yield reply

    def forget_faults(self) -> None:
        """Faults do not outlive their supervisor: those of one that was killed are over."""
        rundir = self._cluster.rundir
        if rundir.faults_json.exists():
            if self._faults is None:
                _log.warning("faults_forgotten", file=str(rundir.faults_json))
            rundir.faults_json.unlink(missing_ok=True)

    async def _change_speed(self, speed: float) -> AsyncIterator[Reply]:
        """Start everything that obeys the speed again, with another one."""
        from kubeherd.cluster.launcher.supervisor import speeding  # noqa: PLC0415 - seldom

        cluster, herd, nodes = self._cluster, self._cluster.herd, self._cluster.nodes
        async with cluster.altered():
            settings = msgspec.structs.replace(nodes.settings, speed=speed)
            specs = plan.obeying_speed(settings, cluster.rundir)
            speeding.check(herd, settings, specs)
            nodes.save(settings)
            again = await speeding.stop(herd, specs)
            serve = [spec for spec in again if spec.role is Role.APISERVER]
            herd.start(serve)
            try:
                async for reply in cluster.serving([spec.name for spec in serve]):
                    yield reply
            finally:  # also when who asked has gone meanwhile, or the API server takes too long
                herd.start(again)
        async for reply in cluster.serving([spec.name for spec in again]):
            yield reply
        yield Reply(state=cluster.snapshot())

    async def _node_command(self, request: Request) -> AsyncIterator[Reply]:
        cluster = self._cluster
        async with cluster.altered():
            touched = await self._carry_out(request)
        if request.op in (Op.NODE_ADD, Op.NODE_START):
            async for reply in cluster.serving(cluster.nodes.agents_of(touched)):
                yield reply
        yield Reply(state=cluster.snapshot(), nodes=tuple(touched))

    async def _carry_out(self, request: Request) -> list[str]:
        nodes = self._cluster.nodes
        if request.op is Op.NODE_ADD:
            return await nodes.add(request.nodes, request.count)
        if request.op is Op.NODE_REMOVE:
            return await self._remove(request.nodes)
        from kubeherd.cluster.launcher.faults import nodefaults  # noqa: PLC0415 - as all of faults

        faults = self._fault_commands()
        return await nodefaults.carry_out(
            request.op, request.nodes, faults, nodes, self._cluster.herd
        )

    async def _remove(self, nodes: Collection[str]) -> list[str]:
        touched: list[str] = []
        for node in nodes:
            touched += await self._cluster.nodes.remove(node)
            if self._faults is not None:
                await self._faults.forget([node])
        return touched

    async def _fault_command(self, request: Request) -> AsyncIterator[Reply]:
        from kubeherd.cluster.launcher.faults import answering  # noqa: PLC0415 - as all of faults

        cluster = self._cluster
        async with cluster.altered():
            faults = self._fault_commands()
        steps = answering.answer(request, faults, cluster.altered)
        async with contextlib.aclosing(steps):
            async for step in steps:
                if isinstance(step, answering.Answer):
                    yield Reply(state=cluster.snapshot(), faults=step.faults)
                else:
                    async for reply in cluster.serving(step.processes, needed=step.needed):
                        yield reply

    def _fault_commands(self) -> "FaultCommands":
        """Those of this cluster; the first call is the first fault."""
        if self._faults is None:
            from kubeherd.cluster.launcher.faults.commands import (  # noqa: PLC0415 - seldom
                FaultCommands,
            )

            cluster = self._cluster
            self._faults = FaultCommands(
                cluster.rundir, cluster.herd, cluster.nodes, recording=cluster.recording
            )
            tending = cluster.tasks.create_task(self._tend(self._faults), name="faults")
            cluster.helpers.append(tending)
        return self._faults

    async def _tend(self, faults: "FaultCommands") -> None:
        """Keep the faults in force, and end those whose time is over."""
        cluster = self._cluster
        while not cluster.leaving.is_set():
            change = cluster.change
            async with cluster.changing:
                if not cluster.leaving.is_set():
                    await faults.tend()
            with contextlib.suppress(TimeoutError):
                await cluster.clock.wait_for(change.wait(), faults.rest_s())
