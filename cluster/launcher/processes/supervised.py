"""One process under supervision: kept running while it is wanted, kept down while it is not.

Invariants: at most one instance runs at any time; a crash is followed by a new start, an end that
was asked for is not. A process that served well before it crashed starts again at once; one that
cannot start, or crashes again and again as soon as it serves, waits with a capped, jittered
back-off, which does not grow by lives that somebody else ended (SIGKILL). Waits are real seconds,
whatever the cluster's `--speed`: a process needs as long to start and stop as it needs.
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable

import structlog

from kubeherd.cluster.launcher import plan
from kubeherd.cluster.launcher.plan import Phase, ProcessSpec
from kubeherd.cluster.launcher.processes.children import Child
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

KILL_TIMEOUT_S = 10.0

_log = structlog.get_logger(__name__)

Starter = Callable[[ProcessSpec], Awaitable[Child]]


def ended_how(returncode: int | None) -> str:
    """In words; a negative return code is a signal. The log of the process says nothing then."""
    if returncode is None:
        return "unknown"
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


class SupervisedProcess:
    """Runs one `ProcessSpec`; `supervise` is its only task and owns the process."""

    def __init__(
        self,
        spec: ProcessSpec,
        start: Starter,
        clock: Clock,
        rng: Rng,
        changed: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.phase = Phase.DOWN
        self.child: Child | None = None
        self.restarts = 0
        self.failed_starts = 0
        self.was_ready = False
        self.failure = ""
        self._start_child = start
        self._clock = clock
        self._rng = rng
        self._changed = changed
        self._wanted = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._serving_since_s: float | None = None
        self._down = asyncio.Event()
        self._down.set()

    @property
    def wanted(self) -> bool:
        """Whether the process should run."""
        return self._wanted.is_set()

    @property
    def ready(self) -> bool:
        """Whether the process runs and has said that it serves."""
        return self.child is not None and self.child.ready.is_set()

    @property
    def serving(self) -> bool:
        """Whether it is ready and not frozen."""
        return self.ready and self.phase is not Phase.FROZEN

    def start(self) -> None:
        """Want the process running; does nothing if it is wanted already."""
        if not self.wanted:
            self.failed_starts = 0
            self.was_ready = False
            self._down.clear()
            self._unwanted.clear()
            self._wanted.set()
            self._enter(Phase.STARTING)

    async def stop(self, grace_s: float) -> None:
        """Want it down: SIGTERM, and SIGKILL after `grace_s`; returns when it has ended."""
        self._want_down()
        if self.child is not None:
            self.child.send_signal(signal.SIGTERM)
            self.child.send_signal(signal.SIGCONT)  # a frozen process cannot handle SIGTERM
            with contextlib.suppress(TimeoutError):
                await self._clock.wait_for(self._down.wait(), grace_s)
        await self.kill()

    async def kill(self) -> None:
        """Want it down, at once (SIGKILL); returns when it has ended."""
        self._want_down()
        if self.child is not None:
            self.child.send_signal(signal.SIGKILL)
        await self._clock.wait_for(self._down.wait(), KILL_TIMEOUT_S)

    def freeze(self) -> None:
        """SIGSTOP: the process keeps everything but does nothing."""
        if self.child is not None:
            self.child.send_signal(signal.SIGSTOP)
            self._enter(Phase.FROZEN)

    def thaw(self) -> None:
        """SIGCONT: undo `freeze`."""
        if self.child is not None and self.phase is Phase.FROZEN:
            self.child.send_signal(signal.SIGCONT)
            self._enter(Phase.RUNNING if self.ready else Phase.STARTING)

    async def supervise(self) -> None:
        """Keep the process as it is wanted, for ever; cancelling leaves it alone."""
        failures = 0
        while True:
            if not self.wanted:
                failures = 0
                self._enter(Phase.DOWN)
                self._down.set()
                await self._wanted.wait()
            served_s, killed = await self._run_once()
            if not self.wanted:
                continue
            failures = plan.failures_in_a_row(failures, served_s, killed=killed)
            self.restarts += 1
            if failures:
                await self._back_off(plan.restart_delay_s(failures, self._rng))

    async def _back_off(self, delay_s: float) -> None:
        """Wait before the next start, unless the process is not wanted any more."""
        self._enter(Phase.BACKOFF)
        with contextlib.suppress(TimeoutError):
            await self._clock.wait_for(self._unwanted.wait(), delay_s)

    async def _run_once(self) -> tuple[float, bool]:
        """Start the process and see it to its end; returns for how many seconds it served, and
        whether SIGKILL ended it."""
        self._enter(Phase.STARTING)
        self._serving_since_s = None
        try:
            child = await self._start_child(self.spec)
        except OSError as error:
            self.failed_starts += 1
            self.failure = str(error)
            return 0.0, False
        self.child = child
        self._changed()
        if not self.wanted:
            child.send_signal(signal.SIGKILL)
        announcing = asyncio.ensure_future(self._announce(child))
        try:
            await child.ended.wait()
        finally:
            announcing.cancel()
        since_s = self._serving_since_s
        served_s = 0.0 if since_s is None else self._clock.monotonic_s() - since_s
        self.failed_starts = 0 if child.ready.is_set() else self.failed_starts + 1
        self.failure = child.failure
        self.child = None
        if self.wanted:
            how = ended_how(child.returncode)
            _log.warning("process_ended", name=self.spec.name, how=how, served_s=round(served_s, 1))
        return served_s, child.returncode == -signal.SIGKILL

    async def _announce(self, child: Child) -> None:
        await child.ready.wait()
        self.was_ready = True
        self._serving_since_s = self._clock.monotonic_s()
        if self.phase is Phase.STARTING:
            self._enter(Phase.RUNNING)

    def _want_down(self) -> None:
        self._wanted.clear()
        self._unwanted.set()

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._changed()
