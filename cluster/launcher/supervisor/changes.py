"""What becomes of a cluster's processes and faults, as records of a history. Pure."""

from collections.abc import Iterator, Sequence

from kubeherd.cluster.launcher.state import ProcessState
from kubeherd.faults import Fault
from kubeherd.history import FaultBegan, FaultEnded, Process, Record


class Processes:
    """Tells of each process what has changed."""

    def __init__(self) -> None:
        self._known: dict[str, ProcessState] = {}

    def of(self, state: ProcessState, at: float) -> Process | None:
        """A record if the process has begun, ended, or got into another phase; `at` in seconds
        since the epoch."""
        before = self._known.get(state.name)
        self._known[state.name] = state
        if before is not None and (before.phase, before.process) == (state.phase, state.process):
            return None
        return Process(
            at=at,
            name=state.name,
            running=state.process is not None,
            ready=state.ready,
            why=str(state.phase),
            nodes=state.nodes,
        )


def fault_records(before: Sequence[Fault], now: Sequence[Fault], at: float) -> Iterator[Record]:
    """Which faults have ended and begun between two lists of those in force."""
    old, new = {fault.id for fault in before}, {fault.id for fault in now}
    yield from (FaultEnded(at=at, id=fault.id) for fault in before if fault.id not in new)
    yield from (FaultBegan(at=at, fault=fault) for fault in now if fault.id not in old)
