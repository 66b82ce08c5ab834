"""Faults of a running cluster, with stand-in processes: begun, undone, kept in force, told."""

import asyncio
import os
import signal
import stat
import time
from collections.abc import Sequence

import msgspec
import pytest
from patience import PATIENCE_S
from runningsupervisor import Running, Standins, running

from kubeherd.cluster.launcher import state
from kubeherd.cluster.launcher.control import Op, Request
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults import commands, file, telling
from kubeherd.cluster.launcher.plan import Phase
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.supervisor import running as running_module
from kubeherd.cluster.runtime.sockets.faultsocket import hurtable
from kubeherd.cluster.runtime.sockets.unixsockets import bound_socket
from kubeherd.faults import Component, Fault, FaultError, Nodes, effects
from kubeherd.faults.fault import decode_all, encode_all


def on(effect: effects.Effect, *nodes: str, name: str = "f", until: float = 0.0) -> Fault:
    return Fault(id=name, target=Nodes(nodes), effect=effect, until=until)


async def begin(herd: Running, *faults: Fault) -> list[Fault]:
    request = Request(op=Op.FAULT_BEGIN, faults=msgspec.Raw(encode_all(faults)))
    return decode_all(bytes((await herd.request(request)).faults))


async def undo(herd: Running, *ids: str) -> list[str]:
    reply = await herd.request(Request(op=Op.FAULT_UNDO, ids=ids))
    return [fault.id for fault in decode_all(bytes(reply.faults))]


async def listed(herd: Running) -> list[str]:
    reply = await herd.request(Request(op=Op.FAULT_LIST))
    found = decode_all(bytes(reply.faults))
    assert file.read(herd.rundir) == found
    return [str(fault) for fault in found]


class Told:
    """Takes faults in the place of a process, and refuses those of nodes with a full disk."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []
        self.change = asyncio.Event()

    def begin(self, faults: Sequence[Fault]) -> None:
        if any(isinstance(fault.effect, effects.StoreFull) for fault in faults):
            raise FaultError("store-full is not supported")
        self.lines.append([fault.id for fault in faults])
        self.change.set()

    async def until(self, times: int) -> None:
        """It has been told so many times."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.lines) < times:
                self.change.clear()
                await self.change.wait()


async def test_processes_crash_freeze_and_stop_until_undone(rundir: RunDir, standins: Standins):
    async with running(rundir, standins(), nodes=3) as herd:
        await herd.ask(Op.WAIT)
        begun = await begin(
            herd,
            on(effects.Crash(), "node-0", "node-1", name="crash"),
            on(effects.Freeze(), "node-2", name="freeze"),
            Fault(id="crash", target=Component("controller-manager"), effect=effects.Stop()),
        )
        assert [fault.id for fault in begun] == ["crash", "freeze", "crash-2"]
        assert all(abs(fault.at - time.time()) < 60 for fault in begun)
        phases = {p.name: p.phase for p in (await herd.state()).processes}
        assert phases == {
            "apiserver": Phase.RUNNING,
            "controller-manager": Phase.DOWN,
            "node-0": Phase.DOWN,
            "node-1": Phase.DOWN,
            "node-2": Phase.FROZEN,
        }
        assert await listed(herd) == [
            "crash node-0, node-1", "freeze node-2", "stop controller-manager"
        ]  # fmt: skip
        assert stat.S_IMODE(rundir.faults_json.stat().st_mode) == 0o600
        assert await undo(herd, "crash", "freeze") == ["crash", "freeze"]
        phases = {p.name: p.phase for p in (await herd.state()).processes if p.ready}
        assert list(phases) == ["apiserver", "node-0", "node-1", "node-2"]
        assert await undo(herd) == ["crash-2"]
        assert (await herd.state()).ready
        assert not rundir.faults_json.exists()
        assert await undo(herd, "crash") == []


async def test_all_targets_or_none(rundir: RunDir, standins: Standins):
    async with running(rundir, standins(), nodes=3) as herd:
        await herd.ask(Op.WAIT)
        await herd.ask(Op.NODE_KILL, "node-1")
        with pytest.raises(LauncherError, match=r'^node "node-1" is not running$'):
            await begin(herd, on(effects.Crash(), "node-0", "node-1"))
        with pytest.raises(LauncherError, match="apiserver takes no faults"):
            await begin(herd, on(effects.Freeze(), "node-0"), on(effects.Partition(), "node-2"))
        assert (await herd.process("node-0")).phase is Phase.RUNNING
        assert await listed(herd) == ["crash node-1"]
        with pytest.raises(LauncherError, match="crash hurts nodes or a component, not clients"):
            await herd.request(
                Request(
                    op=Op.FAULT_BEGIN,
                    faults=msgspec.Raw(
                        b'[{"id":"x","target":{"type":"clients"},"effect":{"kind":"crash"}}]'
                    ),
                )
            )


async def test_node_commands_are_faults(rundir: RunDir, standins: Standins):
    async with running(rundir, standins(), nodes=3) as herd:
        await herd.ask(Op.WAIT)
        await herd.ask(Op.NODE_KILL, "node-0", "node-1")
        await herd.ask(Op.NODE_FREEZE, "node-2")
        assert await listed(herd) == ["crash node-0, node-1", "freeze node-2"]
        await herd.ask(Op.NODE_START, "node-0")
        assert await listed(herd) == ["crash node-1", "freeze node-2"]
        await undo(herd, "crash")
        with pytest.raises(LauncherError, match='node "node-1" is already running'):
            await herd.ask(Op.NODE_START, "node-1")
        await herd.ask(Op.NODE_KILL, "node-2")  # what is dead is not frozen
        assert await listed(herd) == ["crash node-2"]
        await begin(herd, on(effects.Freeze(), "node-1"))
        await herd.ask(Op.NODE_THAW, "node-1")
        await herd.ask(Op.NODE_REMOVE, "node-2")
        assert await listed(herd) == []


async def test_nodes_of_one_process_are_killed_together_and_hurt_one_by_one(
    rundir: RunDir, standins: Standins
):
    told = Told()
    async with running(rundir, standins(), nodes=3, nodes_per_agent=2) as herd:
        await herd.ask(Op.WAIT)
        async with hurtable(rundir.faults_socket("agent-0"), told.begin):
            await begin(herd, on(effects.Crash(), "node-1", "node-2"))
            assert told.lines == [["f"]]
            assert (await herd.process("agent-0")).phase is Phase.RUNNING
            assert (await herd.process("agent-1")).phase is Phase.DOWN
            assert (await herd.ask(Op.NODE_START, "node-1")).nodes == ("node-1",)
            assert told.lines == [["f"], []]
            await begin(herd, on(effects.Reboot(), "node-0", name="r"))
            assert told.lines[2:] == [["r"], []]
            assert (await herd.ask(Op.NODE_KILL, "node-0")).nodes == ("node-0", "node-1")
        assert await listed(herd) == ["crash node-2", "crash node-0, node-1"]
        assert (await herd.process("agent-0")).phase is Phase.DOWN


async def test_a_restart_is_over_when_all_serve_again(rundir: RunDir, standins: Standins):
    async with running(rundir, standins(), nodes=2) as herd:
        before = (await herd.ask(Op.WAIT)).state.processes
        await begin(herd, on(effects.Restart(rolling=True), "node-0", "node-1"))
        after = (await herd.state()).processes
        assert [p.process == q.process for p, q in zip(before, after, strict=True)] == [
            True, True, False, False
        ]  # fmt: skip
        assert all(p.ready and p.restarts == 0 for p in after)
        target = Component("apiserver")
        await begin(herd, Fault(id="r", target=target, effect=effects.Restart(graceful=False)))
        again = await herd.process("apiserver")
        assert again.ready
        assert again.process != after[0].process
        assert await listed(herd) == []


async def test_a_rolling_restart_goes_on_when_the_one_before_serves(
    rundir: RunDir, standins: Standins
):
    start, log = standins(), []

    async def recording(spec):
        log.append(f"start {spec.name}")
        child = await start(spec)

        async def ends():
            await child.ended.wait()
            log.append(f"end {spec.name}")

        watching.append(asyncio.ensure_future(ends()))
        return child

    watching: list[asyncio.Future[None]] = []
    async with running(rundir, recording, nodes=2) as herd:
        await herd.ask(Op.WAIT)
        log.clear()
        await begin(herd, on(effects.Restart(rolling=True), "node-1", "node-0"))
        assert log == ["end node-1", "start node-1", "end node-0", "start node-0"]
    await asyncio.gather(*watching)


async def test_a_reboot_is_one_only_the_first_time(rundir: RunDir, standins: Standins):
    start, reboots = standins(), []

    async def recording(spec):
        if spec.name == "node-0":
            reboots.append("--reboot" in spec.args)
        return await start(spec)

    async with running(rundir, recording) as herd:
        await herd.ask(Op.WAIT)
        await begin(herd, on(effects.Reboot(), "node-0"))
        process = (await herd.process("node-0")).process
        assert process is not None
        osproc.send_signal(process, signal.SIGKILL)
        await herd.until("node-0", lambda p: p.ready and p.process != process)
        assert reboots == [False, True, False]


async def test_processes_are_told_their_faults_and_again_when_they_come_back(
    rundir: RunDir, standins: Standins
):
    told = Told()
    async with running(rundir, standins()) as herd:
        await herd.ask(Op.WAIT)
        async with hurtable(rundir.faults_socket("apiserver"), told.begin):
            await begin(herd, on(effects.Partition(), "node-0", name="p"))
            await begin(herd, on(effects.ApiError(code=500), "node-1", name="e"))
            assert told.lines == [["p"], ["p", "e"]]
            process = (await herd.process("apiserver")).process
            assert process is not None
            osproc.send_signal(process, signal.SIGKILL)
            await herd.until("apiserver", lambda p: p.restarts == 1 and p.ready)
            await told.until(3)
            assert told.lines[2:] == [["p", "e"]]
            target = Component("apiserver")
            with pytest.raises(LauncherError, match=r"^apiserver: store-full is not supported$"):
                await begin(herd, Fault(id="full", target=target, effect=effects.StoreFull()))
            await undo(herd, "p")
            assert told.lines[-1] == ["e"]
            await undo(herd)
            assert told.lines[-1] == []


async def test_a_frozen_process_is_told_when_it_goes_on(rundir: RunDir, standins: Standins):
    told = Told()
    async with running(rundir, standins()) as herd:
        await herd.ask(Op.WAIT)
        async with hurtable(rundir.faults_socket("node-0"), told.begin):
            await begin(herd, on(effects.Freeze(), "node-0", name="freeze"))
            await begin(herd, on(effects.PodUnready(), "node-0", name="unready"))
            assert told.lines == []
            await undo(herd, "freeze")
            assert told.lines == [["unready"]]


async def test_one_frozen_behind_our_back_finds_the_line_later(
    rundir: RunDir, standins: Standins, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(telling, "TELL_TIMEOUT_S", 0.1)
    async with running(rundir, standins()) as herd:
        await herd.ask(Op.WAIT)
        with bound_socket(rundir.faults_socket("node-0")) as silent:
            silent.listen()
            await begin(herd, on(effects.PodUnready(), "node-0", name="unready"))
            assert await listed(herd) == ["pod-unready node-0"]
            connection, _ = silent.accept()
            with connection:
                assert b'"unready"' in connection.recv(1000)


async def test_a_frozen_process_that_was_killed_hangs_again(rundir: RunDir, standins: Standins):
    async with running(rundir, standins()) as herd:
        await herd.ask(Op.WAIT)
        await begin(herd, on(effects.Freeze(), "node-0"))
        process = (await herd.process("node-0")).process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        await herd.until("node-0", lambda p: p.process != process and p.phase is Phase.FROZEN)
        await undo(herd)
        await herd.until("node-0", lambda p: p.ready)


async def test_a_fault_ends_by_itself(rundir: RunDir, standins: Standins):
    async with running(rundir, standins()) as herd:
        await herd.ask(Op.WAIT)
        await begin(herd, on(effects.Crash(), "node-0", until=time.time() + 0.2))
        await herd.until("node-0", lambda p: p.ready)
        assert await listed(herd) == []


async def test_faults_end_with_their_supervisor(
    rundir: RunDir, standins: Standins, monkeypatch: pytest.MonkeyPatch
):
    file.write(rundir, [on(effects.Crash(), "node-0")])  # of one that was killed
    async with running(rundir, standins()) as herd:
        await herd.ask(Op.WAIT)
        assert (await herd.state()).ready
        assert await listed(herd) == []
        await begin(herd, on(effects.Freeze(), "node-0"))
        monkeypatch.setattr(commands, "MAX_BYTES", 200)
        with pytest.raises(LauncherError, match="too many faults at once"):
            await begin(herd, on(effects.Crash(), "node-1"))
    assert not rundir.faults_json.exists()
    assert state.read(rundir).supervisor is None


async def test_who_does_not_come_back_is_named(
    rundir: RunDir, standins: Standins, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(running_module, "READY_TIMEOUT_S", 0.3)  # and 0.05 for each node
    good, bad, starts = standins(), standins({"node-1": "crash"}), []

    async def start(spec):
        starts.append(spec.name)
        return await (bad if starts.count(spec.name) > 1 else good)(spec)

    async with running(rundir, start) as herd:
        await herd.ask(Op.WAIT)
        with pytest.raises(LauncherError, match=r"^not ready after 0\.4 s: .*node-1$"):
            await begin(herd, on(effects.Restart(), "node-0", "node-1"))
        await herd.until("node-0", lambda p: p.ready)
        await herd.ask(Op.NODE_KILL, "node-1")
        assert await undo(herd) == ["crash"]  # the fault is over, whatever else is wrong
        with pytest.raises(LauncherError, match="is already running"):
            await herd.ask(Op.NODE_START, "node-1")


async def test_one_that_cannot_start_is_kept_down_as_well(rundir: RunDir, standins: Standins):
    good, bad, broken = standins(), standins({"node-0": "crash"}), asyncio.Event()

    async def start(spec):
        return await (bad if broken.is_set() else good)(spec)

    async with running(rundir, start) as herd:
        process = (await herd.ask(Op.WAIT)).state.processes[2].process
        assert process is not None
        broken.set()
        osproc.send_signal(process, signal.SIGKILL)
        await herd.until("node-0", lambda p: p.phase is Phase.BACKOFF)
        with pytest.raises(LauncherError, match='node "node-0" is not running'):
            await begin(herd, on(effects.Freeze(), "node-0"))
        await begin(herd, on(effects.Crash(), "node-0"))
        assert (await herd.process("node-0")).phase is Phase.DOWN
        broken.clear()
        await undo(herd)
        assert (await herd.process("node-0")).ready


async def test_no_faults_while_the_cluster_starts(rundir: RunDir, standins: Standins):
    go_on, start = asyncio.Event(), standins()

    async def late(spec):
        await go_on.wait()
        return await start(spec)

    async with running(rundir, late) as herd:
        try:
            for request in (Request(op=Op.FAULT_LIST), Request(op=Op.NODE_ADD, count=1)):
                with pytest.raises(LauncherError, match="the cluster is starting or stopping"):
                    await herd.request(request)
        finally:
            go_on.set()
        await herd.ask(Op.WAIT)
        assert await listed(herd) == []
