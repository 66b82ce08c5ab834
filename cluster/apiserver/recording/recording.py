"""``--record``: puts file, recorder, store and server together."""

from pathlib import Path
from typing import cast

import msgspec
from msgspec.structs import replace

from kubeherd.cluster.api.errors import Expired
from kubeherd.cluster.apiserver.recording.recorder import Recorder
from kubeherd.cluster.apiserver.recording.writes import Writes, uid_of
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.recordfile import RecordFile
from kubeherd.cluster.store.store import Store
from kubeherd.history import Began, Speed
from kubeherd.history.records import Object


def _as_stored(json: bytes) -> tuple[str, Object]:
    """The object's JSON goes into the file as it is."""
    return uid_of(json), cast(Object, msgspec.Raw(json))


class Recording:
    """A recorder and its file. `began` tells of this run; its time and revision are filled in."""

    def __init__(self, path: Path, clock: Clock, began: Began) -> None:
        self._file = file = RecordFile(path)
        self._clock = clock
        self._began = began
        self._store: Store | None = None
        writes = Writes(began.speed, _as_stored)
        self.recorder = Recorder(file.tell, clock, writes, flush=file.flush)

    @property
    def _now(self) -> float:
        return self._clock.now().timestamp()

    def opened(self, store: Store) -> None:
        """The store has been read back: tell of what the file does not know. One that does not
        follow on what the file holds (it was lost, or not recorded for long) begins another
        history, beside that one. OSError or HistoryError if the file cannot be opened; that is done
        here, because only one process at a time has the store."""
        self._store = store
        self._file.open()
        if self._file.began:
            try:
                missed = store.events_after(self._file.revision)
            except Expired:
                self._file.begin_anew()
            else:
                self.recorder.catch_up(missed)
                self._file.tell(Speed(at=self._now, speed=self._began.speed))
                return
        self._file.tell(replace(self._began, at=self._now, revision=store.revision))
        self.recorder.restore(store)

    def end(self) -> None:
        """The run has ended as it should."""
        self._file.close(self._now, self._store.revision if self._store is not None else 0)
