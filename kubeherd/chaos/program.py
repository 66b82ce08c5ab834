"""A user's own program in an experiment: started, hurt like everything else, started again, ended.

It runs in the shell, in a process group of its own, with KUBECONFIG naming an identity of its own
(`COMMAND_USER`), by which faults of its requests find it. What it prints goes to a log.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from kubeherd.chaos.experiment import Command
from kubeherd.faults import Effect, FaultError, effects

GRACE_S = 5.0
"""Real seconds from SIGTERM to SIGKILL."""
PAUSE_S = 0.5
"""Real seconds before a program that died is started again, if asked."""

Ended = Callable[[str], None]


class Program:
    """One program. `kubeconfig` exists; `log` is written. `began` and `ended` are told of its
    lives."""

    def __init__(
        self,
        command: Command,
        kubeconfig: Path,
        log: Path,
        *,
        began: Callable[[], None],
        ended: Ended,
    ) -> None:
        self._command = command
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        self._log = log
        self._began = began
        self._ended = ended
        self._process: asyncio.subprocess.Process | None = None
        self._wanted = asyncio.Event()
        self._wanted.set()

    async def run(self) -> None:
        """Keep it running as long as it is wanted; cancelled at the end of the experiment."""
        self._log.touch(0o600)
        with self._log.open("ab") as log:
            try:
                while True:
                    await self._wanted.wait()
                    await self._live(log.fileno())
                    if not self._command.restart and self._wanted.is_set():
                        return
                    await asyncio.sleep(PAUSE_S)
            finally:
                await self.stop()

    async def _live(self, log: int) -> None:
        process = self._process = await asyncio.create_subprocess_shell(
            self._command.run,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=self._environment,
            start_new_session=True,
        )
        self._began()
        code = await process.wait()
        self._ended(f"exit {code}" if code >= 0 else signal.Signals(-code).name)

    def hurt(self, effect: Effect) -> None:
        """Begin what a fault does to it as a process. FaultError if it does not run."""
        if isinstance(effect, (effects.Crash, effects.Stop)):
            self._wanted.clear()
        graceful = isinstance(effect, effects.Stop) or getattr(effect, "graceful", False)
        number = signal.SIGTERM if graceful else signal.SIGKILL
        self._send(signal.SIGSTOP if isinstance(effect, effects.Freeze) else number)

    def heal(self, effect: Effect) -> None:
        """Undo it."""
        if isinstance(effect, effects.Freeze):
            with contextlib.suppress(FaultError):  # it may have been killed as it was
                self._send(signal.SIGCONT)
        self._wanted.set()

    async def stop(self) -> None:
        """End it in order, within `GRACE_S`."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        for number in (signal.SIGCONT, signal.SIGTERM):
            self._send(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await process.wait()
        if process.returncode is None:
            self._send(signal.SIGKILL)
            await process.wait()

    def _send(self, number: signal.Signals) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            raise FaultError("the program of the experiment does not run")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
