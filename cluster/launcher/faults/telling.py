"""What each process has been told of its faults: it is told again only when it has to be."""

import asyncio
from collections.abc import Container, Sequence

import structlog

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.plan import Phase
from kubeherd.cluster.launcher.processes.osproc import ProcessId
from kubeherd.cluster.launcher.processes.supervised import SupervisedProcess
from kubeherd.cluster.runtime.sockets import faultsocket
from kubeherd.faults import Fault, FaultError

TELL_TIMEOUT_S = 5.0
_TELL_AT_ONCE = 32

_log = structlog.get_logger(__name__)


class Teller:
    """Tells processes their faults; one call at a time for each process."""

    def __init__(self, rundir: RunDir) -> None:
        self._rundir = rundir
        self._told: dict[str, tuple[ProcessId, tuple[Fault, ...]]] = {}
        self._few = asyncio.Semaphore(_TELL_AT_ONCE)

    def knows(self, process: SupervisedProcess, faults: Sequence[Fault]) -> bool:
        """Whether the process that runs now has been told just these."""
        if process.child is None:
            return True  # it is told when it serves
        of_whom, told = self._told.get(process.spec.name, (None, ()))
        return told == tuple(faults) if of_whom == process.child.process else not faults

    async def tell(self, process: SupervisedProcess, faults: Sequence[Fault]) -> None:
        """Tell a process all its faults, unless it knows them.

        One that does not serve yet, or is frozen, is not told: call again when it serves.
        LauncherError if it cannot carry them out.
        """
        child, name = process.child, process.spec.name
        if self.knows(process, faults) or not process.ready or process.phase is Phase.FROZEN:
            return
        assert child is not None  # noqa: S101 - it is ready
        try:
            async with self._few:
                await faultsocket.tell(self._rundir.faults_socket(name), faults, TELL_TIMEOUT_S)
        except FaultError as error:
            raise LauncherError(f"{name}: {error}") from None
        except TimeoutError:
            # Frozen behind our back: the line waits in its socket for when it goes on.
            _log.warning("faults_not_acknowledged", process=name)
        except OSError as error:
            if process.child is not child or child.ended.is_set():
                return
            raise LauncherError(f"{name} takes no faults: {error.strerror}") from error
        self._told[name] = (child.process, tuple(faults))

    def forget_all_but(self, names: Container[str]) -> None:
        """Only these processes are there."""
        self._told = {name: told for name, told in self._told.items() if name in names}

    def give_up(self, process: SupervisedProcess, faults: Sequence[Fault]) -> None:
        """Do not try again to tell this to the process that runs now."""
        if process.child is not None:
            self._told[process.spec.name] = (process.child.process, tuple(faults))
