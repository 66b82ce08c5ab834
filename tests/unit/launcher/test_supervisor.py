"""The supervisor with stand-in processes: starting, node commands, crashes, leaving."""

import asyncio
import os
import signal

import pytest
from patience import PATIENCE_S
from runningsupervisor import OWN, NoWarmUp, Standins, running

from kubeherd.cluster.launcher import control, lifecycle, state
from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.control import Op, Request
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.plan import Phase, Role
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.settings import Settings
from kubeherd.cluster.launcher.state import ClusterState
from kubeherd.cluster.launcher.supervisor import supervisor as supervisor_module
from kubeherd.cluster.launcher.supervisor.commands import Commands
from kubeherd.cluster.launcher.supervisor.controlserver import ControlServer
from kubeherd.cluster.launcher.supervisor.supervisor import Supervisor
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng


async def test_brings_all_processes_up_and_down_in_order(rundir: RunDir, standins: Standins):
    async with running(rundir, standins()) as herd:
        up = (await herd.ask(Op.WAIT)).state
        assert [p.name for p in up.processes] == [
            "apiserver",
            "controller-manager",
            "node-0",
            "node-1",
        ]
        assert all(p.ready and p.phase is Phase.RUNNING for p in up.processes)
        pids = {p.process.pid for p in up.processes if p.process}
        assert len(pids) == 4
        last = (await herd.ask(Op.STOP)).state
        assert all(p.process is None for p in last.processes)
    assert state.read(rundir).supervisor is None
    assert not rundir.socket.exists()


async def test_a_loss_is_accepted_by_the_first_api_server_only(rundir: RunDir, standins: Standins):
    start = standins()
    started: list[tuple[str, ...]] = []

    async def recording(spec):
        if spec.role is Role.APISERVER:
            started.append(spec.args)
        return await start(spec)

    async with running(rundir, recording, nodes=0, accept_loss_after=7) as herd:
        up = (await herd.ask(Op.WAIT)).state
        first = up.processes[0].process
        assert first is not None
        osproc.send_signal(first, signal.SIGKILL)
        await herd.until("apiserver", lambda p: p.restarts == 1 and p.ready)
    once, again = started
    assert once[once.index("--accept-loss-after") + 1] == "7"
    assert "--accept-loss-after" not in again


async def test_killed_node_stays_dead_until_started(rundir: RunDir, standins: Standins):
    async with running(rundir, standins()) as herd:
        before = (await herd.ask(Op.WAIT)).state.processes[2]
        assert (await herd.ask(Op.NODE_KILL, "node-0")).nodes == ("node-0",)
        dead = await herd.process("node-0")
        assert dead.phase is Phase.DOWN
        assert dead.process is None
        assert before.process is not None
        assert not osproc.alive(before.process)
        with pytest.raises(LauncherError, match='node "node-0" is not running'):
            await herd.ask(Op.NODE_KILL, "node-0")
        await herd.ask(Op.NODE_START, "node-0")
        alive = await herd.process("node-0")
        assert alive.ready
        assert alive.process != before.process
        with pytest.raises(LauncherError, match="already running"):
            await herd.ask(Op.NODE_START, "node-0")


async def test_crashed_process_is_restarted(rundir: RunDir, standins: Standins):
    async with running(rundir, standins()) as herd:
        up = (await herd.ask(Op.WAIT)).state
        first = up.processes[1].process
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        again = await herd.until("controller-manager", lambda p: p.ready and p.process != first)
        assert again.restarts == 1


async def test_freeze_and_thaw(rundir: RunDir, standins: Standins):
    async with running(rundir, standins()) as herd:
        await herd.ask(Op.WAIT)
        await herd.ask(Op.NODE_FREEZE, "node-1")
        frozen = await herd.process("node-1")
        assert frozen.phase is Phase.FROZEN
        assert not frozen.ready
        with pytest.raises(LauncherError, match="already frozen"):
            await herd.ask(Op.NODE_FREEZE, "node-1")
        await herd.ask(Op.NODE_THAW, "node-1")
        assert (await herd.process("node-1")).phase is Phase.RUNNING
        with pytest.raises(LauncherError, match="not frozen"):
            await herd.ask(Op.NODE_THAW, "node-1")


async def test_another_speed_is_that_of_all_processes_and_of_those_that_start_later(
    rundir: RunDir, standins: Standins
):
    start = standins()
    events: list[str] = []

    async def recording(spec):
        events.append(f"{spec.name} {spec.args[spec.args.index('--speed') + 1]}")
        return await start(spec)

    async with running(rundir, recording) as herd:
        before = (await herd.ask(Op.WAIT)).state.processes
        await herd.ask(Op.NODE_KILL, "node-1")
        del events[:]
        await herd.request(Request(op=Op.SPEED, speed=2.5))
        assert events[0] == "apiserver 2.5"
        assert sorted(events[1:]) == ["controller-manager 2.5", "node-0 2.5"]
        after = (await herd.state()).processes
        assert [p.ready for p in after] == [True, True, True, False]
        assert not {p.process for p in after} & {p.process for p in before}
        assert rundir.load_settings().speed == 2.5
        await herd.ask(Op.NODE_START, "node-1")
        assert events[-1] == "node-1 2.5"


async def test_a_change_of_speed_is_ended_without_who_asked_for_it(
    rundir: RunDir, standins: Standins
):
    async with running(rundir, standins()) as herd:
        before = (await herd.ask(Op.WAIT)).state.processes
        steps = Commands(herd.supervisor._cluster).answer(Request(op=Op.SPEED, speed=2))
        await anext(steps)
        await steps.aclose()
        for one in before:
            again = await herd.until(one.name, lambda process: process.ready)
            assert again.process != one.process


async def test_a_frozen_process_keeps_the_speed_as_it_is(rundir: RunDir, standins: Standins):
    async with running(rundir, standins()) as herd:
        before = (await herd.ask(Op.WAIT)).state.processes
        await herd.ask(Op.NODE_FREEZE, "node-1")
        with pytest.raises(LauncherError, match="node-1 is frozen: thaw it"):
            await herd.request(Request(op=Op.SPEED, speed=5))
        after = (await herd.state()).processes
        assert [p.process for p in after] == [p.process for p in before]
        assert rundir.load_settings().speed == 1


async def test_frozen_process_is_stopped_too(rundir: RunDir, standins: Standins):
    async with running(rundir, standins()) as herd:
        await herd.ask(Op.WAIT)
        await herd.ask(Op.NODE_FREEZE, "node-1")
        assert (await herd.ask(Op.NODE_STOP, "node-1")).nodes == ("node-1",)
        assert (await herd.process("node-1")).phase is Phase.DOWN


async def test_added_and_removed_nodes_are_remembered(rundir: RunDir, standins: Standins):
    async with running(rundir, standins()) as herd:
        await herd.ask(Op.WAIT)
        assert (await herd.ask(Op.NODE_ADD, count=2)).nodes == ("node-2", "node-3")
        assert (await herd.ask(Op.NODE_ADD, "edge-1")).nodes == ("edge-1",)
        assert (await herd.process("edge-1")).ready
        await herd.ask(Op.NODE_REMOVE, "node-0")
        with pytest.raises(LauncherError, match='node "edge-1" exists already'):
            await herd.ask(Op.NODE_ADD, "edge-1")
        with pytest.raises(LauncherError, match='no node "node-0"'):
            await herd.ask(Op.NODE_KILL, "node-0")
        names = [p.name for p in (await herd.state()).processes if p.role is Role.AGENT]
    assert names == ["node-1", "node-2", "node-3", "edge-1"]
    assert rundir.load_settings().node_names == names
    assert not rundir.node_kubeconfig("node-0").exists()
    assert rundir.node_kubeconfig("edge-1").stat().st_mode & 0o777 == 0o600


async def test_nodes_of_one_agent_go_down_together(rundir: RunDir, standins: Standins):
    async with running(rundir, standins(), nodes=3, nodes_per_agent=2) as herd:
        await herd.ask(Op.WAIT)
        assert (await herd.ask(Op.NODE_KILL, "node-0")).nodes == ("node-0", "node-1")
        await herd.ask(Op.NODE_START, "node-1")
        assert (await herd.ask(Op.NODE_REMOVE, "node-1")).nodes == ("node-0", "node-1")
        left = await herd.until("agent-0", lambda p: p.ready)
        assert left.nodes == ("node-0",)


async def test_start_is_given_up_with_the_words_of_the_process(rundir: RunDir, standins: Standins):
    async with running(rundir, standins({"apiserver": "crash"})) as herd:
        with pytest.raises(LauncherError, match="apiserver could not start: the port is on fire"):
            await herd.ask(Op.WAIT)
    assert state.read(rundir).failure == "apiserver could not start: the port is on fire"


async def test_why_a_start_is_given_up_is_written_before_the_socket_closes(
    rundir: RunDir, standins: Standins, monkeypatch: pytest.MonkeyPatch
):
    """Who is just connecting then is reset, and reads it there."""
    written: list[str] = []

    class Closing(ControlServer):
        async def close(self) -> None:
            written.append(state.read(rundir).failure)
            await super().close()

    monkeypatch.setattr(supervisor_module, "ControlServer", Closing)
    async with running(rundir, standins({"apiserver": "crash"})) as herd:
        with pytest.raises(LauncherError):
            await herd.ask(Op.WAIT)
    assert written == ["apiserver could not start: the port is on fire"]


async def test_agent_that_never_starts_fails_the_start(rundir: RunDir, standins: Standins):
    async with running(rundir, standins({"node-1": "crash"})) as herd:
        with pytest.raises(LauncherError, match="node-1 could not start"):
            await herd.ask(Op.WAIT)


async def test_a_supervisor_without_its_directory_leaves_and_writes_nothing(
    rundir: RunDir, standins: Standins, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(supervisor_module, "LOOK_INTERVAL_S", 0.05)
    in_place = True
    settings = settings_module.add_nodes(Settings(port=1), ["a"])
    rundir.save_settings(settings)
    supervisor = Supervisor(
        rundir,
        settings,
        NoWarmUp(rundir, standins()),
        LoopClock(),
        Rng(1),
        OWN,
        in_place=lambda: in_place,
    )
    started = asyncio.Event()
    life = asyncio.ensure_future(supervisor.run(asyncio.Event(), started.set))
    await started.wait()
    await asyncio.to_thread(lambda: list(control.ask(rundir, Request(op=Op.WAIT), 20)))
    in_place = False
    successor = ClusterState(failure="of another cluster in a directory of the same name")
    state.write(rundir, successor)
    await asyncio.wait_for(life, PATIENCE_S)
    assert supervisor.failure == f"{rundir.root} was deleted, moved away or replaced"
    assert osproc.marked(rundir.root) == []
    assert state.read(rundir) == successor


class ScriptedProfile:
    """A profile that waits for these things, one after the other; the last one is for ever."""

    def __init__(self, *waited_for: str, refused: str = "") -> None:
        self.prepared_before_agents = False
        self._left = list(waited_for)
        self._refused = refused

    def prepare(self) -> None:
        self.prepared_before_agents = True

    def advance(self) -> str:
        if self._refused:
            raise LauncherError(self._refused)
        return self._left[0] if len(self._left) == 1 else self._left.pop(0)


async def test_a_cluster_is_up_when_its_profile_is_there(
    rundir: RunDir, standins: Standins, monkeypatch: pytest.MonkeyPatch
):
    profile = ScriptedProfile("coredns", "kindnet", "")
    monkeypatch.setattr(supervisor_module, "_profile", lambda *_: profile)
    async with running(rundir, standins()) as herd:
        replies = await asyncio.to_thread(
            lambda: list(control.ask(rundir, Request(op=Op.WAIT), timeout_s=PATIENCE_S))
        )
        assert profile.prepared_before_agents
        assert [r.state.waiting for r in replies if r.final] == [""]
        assert "kindnet" in {r.state.waiting for r in replies}
        assert (await herd.state()).ready


async def test_what_a_profile_waits_for_is_said_when_time_is_up(
    rundir: RunDir, standins: Standins, monkeypatch: pytest.MonkeyPatch
):
    profile = ScriptedProfile("coredns")
    monkeypatch.setattr(supervisor_module, "_profile", lambda *_: profile)
    async with running(rundir, standins()) as herd:
        async with asyncio.timeout(PATIENCE_S):
            # each look asks over a socket; there is no event to wait for
            while (await herd.state()).waiting != "coredns":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        with pytest.raises(LauncherError, match=r"not ready after 0\.5 s: coredns"):
            await asyncio.to_thread(lifecycle.wait_until_up, rundir, 0.5, lambda _state: None)


async def test_a_profile_that_is_refused_ends_the_start(
    rundir: RunDir, standins: Standins, monkeypatch: pytest.MonkeyPatch
):
    profile = ScriptedProfile(refused="the profile kind was refused: no")
    monkeypatch.setattr(supervisor_module, "_profile", lambda *_: profile)
    async with running(rundir, standins()) as herd:
        with pytest.raises(LauncherError, match="the profile kind was refused: no"):
            await asyncio.to_thread(lifecycle.wait_until_up, rundir, 20, lambda _state: None)
        assert herd.supervisor.failure == "the profile kind was refused: no"
