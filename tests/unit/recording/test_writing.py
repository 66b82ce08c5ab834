"""The file of a run that is recorded: readable whatever happens."""

import asyncio
import shutil
from pathlib import Path

import pytest
from patience import PATIENCE_S

from kubeherd.history import Began, Record, Step
from kubeherd.history.files import HistoryError, read
from kubeherd.recording.writing import Writing, writing

FULL = Path("/dev/full")
"""Takes no byte."""
RECORDS: list[Record] = [
    Began(at=1.0, source="watch"),
    *(Step(at=float(i), name=f"s{i}") for i in range(50)),
]


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.gz"])
def test_what_was_flushed_survives_the_writer(tmp_path: Path, name: str) -> None:
    killed = tmp_path / f"killed-{name}"
    with writing(tmp_path / name) as file:
        for record in RECORDS:
            file.tell(record)
        file.flush()
        shutil.copy(tmp_path / name, killed)
        file.tell(Step(at=99.0, name="last"))
        file.flush()
        whole = (tmp_path / name).read_bytes()
    assert list(read(killed)) == RECORDS
    assert [*read(tmp_path / name)][-1] == Step(at=99.0, name="last")
    for end in range(killed.stat().st_size, len(whole)):  # wherever the last one is torn
        killed.write_bytes(whole[:end])
        assert [*read(killed)][: len(RECORDS)] == RECORDS


def test_what_is_not_compressed_as_it_says_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl.gz"
    path.write_bytes(b"no gzip")
    with pytest.raises(HistoryError, match="cannot be decompressed"):
        list(read(path))


async def test_it_is_flushed_as_time_goes_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubeherd.recording.writing.FLUSH_S", 0.001)
    path = tmp_path / "run.jsonl"
    with writing(path) as file:
        file.tell(RECORDS[0])
        flushing = asyncio.create_task(file.keep_flushing())
        async with asyncio.timeout(PATIENCE_S):
            while not list(read(path)):  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.001)
        flushing.cancel()


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_full_disk_ends_it_and_is_said_once() -> None:
    file = Writing(FULL)
    file.tell(RECORDS[0])
    assert not file.failed.is_set()  # it is buffered
    file.flush()
    assert (file.failure, file.failed.is_set()) == ("No space left on device", True)
    file.tell(RECORDS[1])
    assert file.count == 1
    file.close()
    assert file.failure == "No space left on device"
