"""What only the supervisor knows of a run, in a history beside those of the API servers: processes
and faults (`up --record`). Imported for a cluster that records.

Invariants: faults do not outlive their supervisor, so none is in force at the end of the file that
has no supervisor; a file that cannot be written ends the recording, never the cluster.
"""

from collections.abc import Sequence

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.faults import file as faultfile
from kubeherd.cluster.launcher.settings import Settings, StoreKind
from kubeherd.cluster.launcher.state import ProcessState
from kubeherd.cluster.launcher.supervisor.changes import Processes, fault_records
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.process import ProcessError
from kubeherd.cluster.runtime.recordfile import RecordFile
from kubeherd.faults import Fault
from kubeherd.history import Began, FaultBegan, Record

_MAX_BYTES = 64 * 1024 * 1024


class Recording:
    """Of one life of the supervisor."""

    def __init__(self, rundir: RunDir, settings: Settings, clock: Clock) -> None:
        """Go on with the file, or begin one: with a store that is lost with its server another run
        begins. ProcessError if it cannot be written, or is none."""
        self._file = RecordFile(rundir.supervisor_history, _MAX_BYTES)
        self._clock = clock
        self._processes = Processes()
        self._faults: Sequence[Fault] = ()
        try:
            self._file.open()
            if self._file.began and settings.store is StoreKind.MEMORY:
                self._file.begin_anew()
        except OSError as error:
            raise ProcessError(f"cannot record: {error.filename}: {error.strerror}") from None
        except ValueError as error:
            raise ProcessError(f"cannot record: {error}") from None
        if self._file.began:
            self._faults = faultfile.read(rundir)
            self.faults(())
        else:
            began = Began(
                at=self._now, source="supervisor", seed=settings.seed, speed=settings.speed
            )
            self._tell(began)

    @property
    def _now(self) -> float:
        return self._clock.now().timestamp()

    def process(self, state: ProcessState) -> None:
        """A process may have changed."""
        record = self._processes.of(state, self._now)
        if record is not None:
            self._tell(record)

    def happened(self, fault: Fault) -> None:
        """A fault that is over at once."""
        self._tell(FaultBegan(at=self._now, fault=fault))

    def faults(self, active: Sequence[Fault]) -> None:
        """These are in force now."""
        before, self._faults = self._faults, active
        for record in fault_records(before, active, self._now):
            self._tell(record)

    def end(self) -> None:
        """The cluster is down."""
        self.faults(())
        self._file.close(self._now, 0)

    def _tell(self, record: Record) -> None:
        self._file.tell(record)
        self._file.flush()
