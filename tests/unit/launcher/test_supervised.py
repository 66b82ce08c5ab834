"""One supervised process through its lives, on virtual time: who waits before the next start."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kubeherd.cluster.launcher import plan
from kubeherd.cluster.launcher.plan import Phase, ProcessSpec, Role
from kubeherd.cluster.launcher.processes.children import Child
from kubeherd.cluster.launcher.processes.osproc import ProcessId
from kubeherd.cluster.launcher.processes.supervised import SupervisedProcess, ended_how
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.simulation import virtualtime
from kubeherd.simulation.virtualtime import VirtualClock

FOR_EVER = 1e9


@dataclass(frozen=True)
class Life:
    """How a process fares: seconds until it serves, and seconds for which it does (0: never)."""

    starting_s: float
    serving_s: float
    killed: bool = False


class Mortal(Child):
    """A process that lives as its `Life` says, or until it is killed."""

    def __init__(self, life: Life) -> None:
        super().__init__(ProcessId(1))
        self._living = asyncio.ensure_future(self._live(life))

    async def _live(self, life: Life) -> None:
        await asyncio.sleep(life.starting_s)
        if life.serving_s:
            self.ready.set()
            await asyncio.sleep(life.serving_s)
        self.end(-signal.SIGKILL if life.killed else 1)

    def send_signal(self, number: signal.Signals) -> None:
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._living.cancel()
            self.end(-number)


class World:
    """A supervised process, and for how long it was down before each start."""

    def __init__(self, clock: VirtualClock, role: Role, lives: list[Life]) -> None:
        self._clock = clock
        self._tick = asyncio.Event()
        self._lives = iter([*lives, Life(0.1, FOR_EVER)])
        self._ended_s: float | None = None
        self.downtimes_s: list[float] = []
        spec = ProcessSpec(role.value, role, "module", (), Path("/dev/null"))
        self.process = SupervisedProcess(spec, self._start, clock, Rng(1), self._changed)

    def _changed(self) -> None:
        self._tick.set()
        self._tick = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a change of the process after which the condition holds."""
        while not condition():
            await self._tick.wait()

    async def _start(self, _spec: ProcessSpec) -> Child:
        if self._ended_s is not None:
            self.downtimes_s.append(self._clock.monotonic_s() - self._ended_s)
        life = next(self._lives)
        self._ended_s = self._clock.monotonic_s() + life.starting_s + life.serving_s
        if life.starting_s == FOR_EVER:
            self._ended_s = self._clock.monotonic_s()
            raise OSError("no more processes")
        return Mortal(life)


def downtimes_s(lives: list[Life], role: Role = Role.APISERVER) -> list[float]:
    """For how long the process was down after each of these lives."""

    async def scenario(clock: VirtualClock) -> list[float]:
        world = World(clock, role, lives)
        supervising = asyncio.ensure_future(world.process.supervise())
        world.process.start()
        await world.until(lambda: len(world.downtimes_s) == len(lives))
        assert world.process.restarts == len(lives)
        await world.process.kill()
        assert world.process.phase is Phase.DOWN
        supervising.cancel()
        return world.downtimes_s

    return virtualtime.run_with_clock(scenario)


@pytest.mark.parametrize("role", list(Role))
def test_a_process_that_served_well_comes_back_at_once_however_often_it_dies(role: Role) -> None:
    lives = [Life(0.4, 1.1 * plan.SERVED_WELL_S + number % 7) for number in range(50)]
    assert max(downtimes_s(lives, role)) < 0.01


NO_START = Life(0.2, 0)
LATE_NO_START = Life(3 * plan.SERVED_WELL_S, 0)
SHORT = Life(0.2, plan.SERVED_WELL_S / 10)
REFUSED = Life(FOR_EVER, 0)


@pytest.mark.parametrize("life", [NO_START, LATE_NO_START, SHORT, REFUSED])
def test_a_process_that_comes_to_nothing_again_and_again_backs_off(life: Life) -> None:
    downs_s = downtimes_s([life] * 12)
    for failures, down_s in enumerate(downs_s, 1):
        longest_s = min(plan.RESTART_CAP_S, plan.RESTART_BASE_S * 2 ** (failures - 1))
        assert longest_s / 2 <= down_s <= longest_s + 0.01
    assert len({round(down_s, 6) for down_s in downs_s[-4:]}) == 4, "the cap is jittered, too"


def test_a_life_of_good_service_ends_the_back_off() -> None:
    good = Life(0.4, 1.1 * plan.SERVED_WELL_S)
    downs_s = downtimes_s([SHORT] * 8 + [good, SHORT, good])
    assert downs_s[7] > plan.RESTART_CAP_S / 2
    assert downs_s[8] < 0.01
    assert downs_s[9] <= plan.RESTART_BASE_S
    assert downs_s[10] < 0.01


@pytest.mark.parametrize("life", [Life(0.2, 0, killed=True), Life(0.2, 0.1, killed=True)])
def test_who_is_killed_as_it_starts_comes_back_soon_however_often(life: Life) -> None:
    downs_s = downtimes_s([life] * 30)
    assert all(
        plan.RESTART_BASE_S / 2 <= down_s <= plan.RESTART_BASE_S + 0.01 for down_s in downs_s
    )


def test_a_kill_does_not_shorten_the_back_off_of_who_cannot_start() -> None:
    killed = Life(0.2, 0, killed=True)
    downs_s = downtimes_s([NO_START] * 8 + [killed, NO_START, killed])
    assert min(downs_s[7:]) >= plan.RESTART_CAP_S / 2


def test_a_process_that_is_not_wanted_any_more_does_not_wait() -> None:
    async def scenario(clock: VirtualClock) -> None:
        world = World(clock, Role.AGENT, [NO_START] * 20)
        supervising = asyncio.ensure_future(world.process.supervise())
        world.process.start()
        await world.until(
            lambda: world.process.phase is Phase.BACKOFF and len(world.downtimes_s) == 10
        )
        began_s = clock.monotonic_s()
        await world.process.stop(1.0)
        assert clock.monotonic_s() - began_s < 0.01
        assert world.process.phase is Phase.DOWN
        supervising.cancel()

    virtualtime.run_with_clock(scenario)


def test_the_first_failures_after_a_command_count_anew() -> None:
    async def scenario(clock: VirtualClock) -> None:
        world = World(clock, Role.AGENT, [NO_START] * 20)
        supervising = asyncio.ensure_future(world.process.supervise())
        world.process.start()
        await world.until(lambda: len(world.downtimes_s) == 10)
        await world.process.kill()
        world.process.start()
        await world.until(lambda: len(world.downtimes_s) == 12)
        assert world.downtimes_s[-1] <= plan.RESTART_BASE_S + 0.01
        await world.process.kill()
        supervising.cancel()

    virtualtime.run_with_clock(scenario)


@pytest.mark.parametrize(("stopped", "logged"), [(False, [("apiserver", "SIGKILL")]), (True, [])])
def test_an_end_that_nobody_wanted_is_logged_and_how(
    stopped: bool, logged: list[tuple[str, str]]
) -> None:
    async def scenario(clock: VirtualClock) -> list[tuple[str, str]]:
        world = World(clock, Role.APISERVER, [Life(0.1, FOR_EVER)])
        supervising = asyncio.ensure_future(world.process.supervise())
        world.process.start()
        await world.until(lambda: world.process.phase is Phase.RUNNING)
        assert world.process.child is not None
        with capture_logs() as logs:
            if stopped:
                await world.process.stop(1.0)
            else:
                world.process.child.send_signal(signal.SIGKILL)
                await world.until(lambda: world.process.restarts == 1 and world.process.ready)
        supervising.cancel()
        return [(log["name"], log["how"]) for log in logs if log["event"] == "process_ended"]

    assert virtualtime.run_with_clock(scenario) == logged


def test_how_a_process_ended() -> None:
    codes = (None, 0, 1, -signal.SIGPIPE, -34, -99)
    assert [ended_how(code) for code in codes] == [
        "unknown", "exit code 0", "exit code 1", "SIGPIPE", "SIGRTMIN", "signal 99",
    ]  # fmt: skip
