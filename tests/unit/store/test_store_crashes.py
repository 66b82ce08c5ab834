"""What a crash may leave opens silently, and how to go on after a loss that was accepted."""

import asyncio
import random
import re
import shutil
import sqlite3
import struct
from pathlib import Path
from zlib import crc32

import pytest
from damagedstores import (
    DATABASE,
    FRAME,
    INDEX,
    LOG,
    MARK,
    PAGE,
    Files,
    Scene,
    attrs_of,
    files_in,
    objects_of,
    scenes,
    write_files,
)

from kubeherd.cluster.api.errors import Expired
from kubeherd.cluster.store.engine import StoreError
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.sqlite import mark
from kubeherd.cluster.store.sqlite.engine import SKIPPED_AFTER_LOSS, SqliteEngine
from kubeherd.cluster.store.sqlite.mark import Mark
from kubeherd.cluster.store.sqlite.schema import LOG_TABLE, META_TABLE
from kubeherd.cluster.store.store import Store, running
from kubeherd.cluster.store.watch.deliveries import WatchFilter


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    return asyncio.run(scenes(tmp_path_factory.mktemp("life"), seed=3))


async def reopened(directory: Path, accept: int | None = None) -> Store:
    async with running(LocalStore(SqliteEngine(directory / DATABASE, accept), attrs_of)) as store:
        return store


async def opened(directory: Path, files: Files, accept: int | None = None) -> Store:
    write_files(directory, files)
    return await reopened(directory, accept)


def commits(log: bytes) -> list[int]:
    """The numbers of the frames that end a transaction, of the newest salts."""
    ends = []
    for number in range((len(log) - 32) // FRAME):
        page, size, *salts = struct.unpack_from(">4I", log, 32 + number * FRAME)
        if page and size and salts == list(struct.unpack_from(">2I", log, 16)):
            ends.append(number)
    return ends


@pytest.mark.parametrize("name", ["young", "killed", "settled", "restarted", "stopped"])
async def test_what_a_kill_leaves_opens(tmp_path: Path, life: dict[str, Scene], name: str) -> None:
    scene = life[name]
    store = await opened(tmp_path / "store", {**scene.files, INDEX: b"stale" * 1000})
    assert objects_of(store) == scene.objects
    assert store.revision == scene.revision
    assert LOG not in files_in(tmp_path / "store")


async def test_an_unfinished_last_transaction_was_never_acknowledged(
    tmp_path: Path, life: dict[str, Scene]
) -> None:
    """It may be there in any part. The mark, written later, does not know of it."""
    scene, rng = life["killed"], random.Random(5)
    log, ends = scene.files[LOG], commits(scene.files[LOG])
    begin, end = ends[-2] + 1, ends[-1]
    whole = mark.decode(scene.files[MARK])
    assert whole is not None
    before = (await opened(tmp_path / "cut", _marked(scene, 1, log[: 32 + begin * FRAME]))).revision
    assert before < scene.revision
    for number in range(40):
        torn = bytearray(log)
        at = 32 + rng.randint(begin, end) * FRAME
        torn[at : at + FRAME] = rng.choice((bytes(FRAME), rng.randbytes(FRAME)))
        size = rng.choice((len(log), rng.randint(at, len(log))))
        files = _marked(scene, before, bytes(torn[:size]))
        store = await opened(tmp_path / str(number), files)
        assert store.revision == before
        shutil.rmtree(tmp_path / str(number))


def _marked(scene: Scene, revision: int, log: bytes) -> Files:
    """The scene with another log, and a mark of this revision."""
    old = mark.decode(scene.files[MARK])
    assert old is not None
    return {**scene.files, LOG: log, MARK: mark.encode(Mark(old.store_id, revision))}


async def test_a_checkpoint_may_stop_halfway(tmp_path: Path, life: dict[str, Scene]) -> None:
    before, after, rng = life["killed"], life["settled"], random.Random(6)
    for number in range(20):
        database = bytearray(before.files[DATABASE].ljust(after.pages() * PAGE, b"\0"))
        for page in rng.sample(range(after.pages()), rng.randrange(after.pages())):
            place = slice(page * PAGE, (page + 1) * PAGE)
            database[place] = after.files[DATABASE][place]
        files = {**before.files, DATABASE: bytes(database)}
        store = await opened(tmp_path / str(number), files)
        assert (objects_of(store), store.revision) == (after.objects, after.revision)


async def test_a_log_may_have_begun_anew_without_a_frame(
    tmp_path: Path, life: dict[str, Scene]
) -> None:
    scene = life["settled"]
    anew = life["restarted"].files[LOG][:32] + scene.files[LOG][32:]
    for number, log in enumerate((anew, b"", bytes(32), bytes(len(anew)))):
        store = await opened(tmp_path / str(number), {**scene.files, LOG: log})
        assert (objects_of(store), store.revision) == (scene.objects, scene.revision)


async def test_a_mark_may_be_behind(tmp_path: Path, life: dict[str, Scene]) -> None:
    scene = life["killed"]
    for revision in (1, scene.revision // 2, scene.revision - 1):
        files = _marked(scene, revision, scene.files[LOG])
        store = await opened(tmp_path / str(revision), files)
        assert store.revision == scene.revision
        assert mark.decode((tmp_path / str(revision) / MARK).read_bytes()) == Mark(
            _id_of(scene), scene.revision
        )


def _id_of(scene: Scene) -> int:
    found = mark.decode(scene.files[MARK])
    assert found is not None
    return found.store_id


async def test_a_crash_between_mark_and_store_of_a_new_cluster(tmp_path: Path) -> None:
    write_files(tmp_path / "store", {MARK: mark.encode(Mark(5, 1)), ".store.db.1": b"half"})
    store = await reopened(tmp_path / "store")
    assert store.revision == 1
    found = mark.decode((tmp_path / "store" / MARK).read_bytes())
    assert found is not None
    assert found.store_id != 5


async def test_every_answer_to_a_writer_is_in_the_mark(tmp_path: Path) -> None:
    async with running(LocalStore(SqliteEngine(tmp_path / DATABASE), attrs_of)) as store:
        for _ in range(5):
            record = await store.committed(store.put("pods", "ns", "a", lambda _rv: b"{}"))
            found = mark.decode((tmp_path / MARK).read_bytes())
            assert found is not None
            assert found.revision == record.revision
    assert (tmp_path / MARK).stat().st_mode & 0o777 == 0o600


# --- a loss that is accepted ---


async def refusal(directory: Path, files: Files, accept: int | None = None) -> tuple[str, int]:
    """The line of a store that can be read up to a revision, and that revision."""
    with pytest.raises(StoreError) as caught:
        await opened(directory, files, accept)
    assert files_in(directory) == files
    found = re.search(r"--accept-loss-after (\d+)", str(caught.value))
    assert found is not None
    return str(caught.value), int(found[1])


def losses(life: dict[str, Scene]) -> dict[str, Files]:
    """Files that can be read up to some revision only, or whose end nobody knows."""
    killed, settled, stopped = life["killed"], life["settled"], life["stopped"]
    log = bytearray(killed.files[LOG])
    log[32 + commits(bytes(log))[9] * FRAME + 500] ^= 1
    noise = random.Random(7).randbytes(len(log))
    foreign_pages = bytearray(settled.files[LOG])
    foreign_pages[32 + FRAME : 32 + FRAME + 24] = bytes(24)
    return {
        "broken log": {**killed.files, LOG: bytes(log)},
        "cut log": {**killed.files, LOG: killed.files[LOG][: 32 + 20 * FRAME]},
        "no log": {DATABASE: killed.files[DATABASE], MARK: killed.files[MARK]},
        "log is noise": {**killed.files, LOG: noise},
        "broken log of a whole database": {**settled.files, LOG: bytes(foreign_pages)},
        "no mark": {DATABASE: stopped.files[DATABASE]},
        "mark is noise": {**stopped.files, MARK: noise[:60]},
        "mark of another": {**stopped.files, MARK: mark.encode(Mark(1, 3))},
        "older copy": {DATABASE: settled.files[DATABASE], MARK: stopped.files[MARK]},
    }


LOSSES = (
    "broken log",
    "cut log",
    "no log",
    "log is noise",
    "broken log of a whole database",
    "no mark",
    "mark is noise",
    "mark of another",
    "older copy",
)


@pytest.mark.parametrize("kind", LOSSES)
async def test_an_accepted_loss_goes_on_and_reuses_no_revision(
    tmp_path: Path, life: dict[str, Scene], kind: str
) -> None:
    files = losses(life)[kind]
    line, revision = await refusal(tmp_path / "store", files)
    aside = tmp_path / "store" / f"{DATABASE}-damaged-{revision}"
    assert line.endswith(f"in {aside}")
    await refusal(tmp_path / "wrong", files, accept=revision + 1)

    async with running(
        LocalStore(SqliteEngine(tmp_path / "store" / DATABASE, revision), attrs_of)
    ) as s:
        assert s.revision > SKIPPED_AFTER_LOSS
        assert all(record.revision <= revision for record in s.list("pods"))
        with pytest.raises(Expired):
            s.hub.events_since(WatchFilter("pods"), revision)
        kept = objects_of(s)
        new = await s.committed(s.put("pods", "ns", "new", lambda rv: b'{"rv":%d}' % rv))
        assert new.revision == s.revision > max(scene.revision for scene in life.values())
    assert files_in(aside) == files
    assert aside.stat().st_mode & 0o777 == 0o700
    # the same option again, as a script would give it, does nothing to a store that is whole
    again = await reopened(tmp_path / "store", revision)
    assert again.revision == new.revision
    assert objects_of(again) == {**kept, ("ns", "new"): (new.revision, new.json)}


async def test_what_can_be_read_is_a_state_that_was(tmp_path: Path, life: dict[str, Scene]) -> None:
    """The database of a cut log has the objects of the revision that the refusal names."""
    scene = life["settled"]
    files = {DATABASE: scene.files[DATABASE], MARK: life["stopped"].files[MARK]}
    _, revision = await refusal(tmp_path / "store", files)
    assert revision == scene.revision
    assert objects_of(await reopened(tmp_path / "store", revision)) == scene.objects


async def test_files_set_aside_are_never_written_over(
    tmp_path: Path, life: dict[str, Scene]
) -> None:
    files = losses(life)["no mark"]
    _, revision = await refusal(tmp_path / "store", files)
    first = tmp_path / "store" / f"{DATABASE}-damaged-{revision}"
    write_files(first, {"precious": b"x"})
    await reopened(tmp_path / "store", revision)
    assert files_in(first) == {"precious": b"x"}
    assert files_in(first.with_name(f"{first.name}.2")) == files


async def test_a_copy_put_back_opens(tmp_path: Path, life: dict[str, Scene]) -> None:
    """The store of the attack: damaged, refused, and the undamaged file is put back."""
    scene = life["killed"]
    damaged = bytearray(scene.files[DATABASE])
    damaged[20] ^= 0xFF
    with pytest.raises(StoreError, match="damaged"):
        await opened(tmp_path / "store", {**scene.files, DATABASE: bytes(damaged)})
    (tmp_path / "store" / DATABASE).write_bytes(scene.files[DATABASE])
    assert objects_of(await reopened(tmp_path / "store")) == scene.objects


async def test_a_missing_store_is_not_a_new_cluster(tmp_path: Path, life: dict[str, Scene]) -> None:
    files = {MARK: life["stopped"].files[MARK]}
    with pytest.raises(StoreError, match=r"store\.db is missing but store\.db-mark is there"):
        await opened(tmp_path / "store", files)
    assert files_in(tmp_path / "store") == files


async def test_a_foreign_journal_is_not_played_back(tmp_path: Path, life: dict[str, Scene]) -> None:
    files = {
        **life["stopped"].files,
        f"{DATABASE}-journal": b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" * 99,
    }
    with pytest.raises(StoreError, match="journal does not belong"):
        await opened(tmp_path / "store", files)
    assert files_in(tmp_path / "store") == files


# --- stores of version 1 ---


def version_1(path: Path, log: bool) -> None:
    """As the first version wrote it: checksums of values only, neither id nor seal nor mark."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (LOG_TABLE, META_TABLE, "INSERT INTO meta VALUES ('compacted', 4)"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={0x6B686431}")
    connection.execute("PRAGMA user_version=1")
    connection.execute("PRAGMA journal_mode=WAL")
    for revision in (5, 6, 7):
        value = b'{"rv":%d}' % revision
        row = (revision, revision, 0, "pods", "ns", f"p{revision}", crc32(value), value)
        connection.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    if log:
        copies = {file: file.read_bytes() for file in path.parent.iterdir()}
    connection.close()
    if log:
        for file, content in copies.items():
            if not file.name.endswith("-shm"):
                file.write_bytes(content)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("marked", [False, True])
async def test_a_store_of_version_1_is_brought_to_this_one(
    tmp_path: Path, log: bool, marked: bool
) -> None:
    version_1(tmp_path / DATABASE, log)
    if marked:  # the upgrade was begun before
        (tmp_path / MARK).write_bytes(mark.encode(Mark(77, 7)))
    for _ in range(2):
        store = await reopened(tmp_path)
        assert sorted(record.name for record in store.list("pods")) == ["p5", "p6", "p7"]
        assert (store.revision, store.compacted) == (7, 4)
    assert int.from_bytes((tmp_path / DATABASE).read_bytes()[60:64], "big") == 2
    found = mark.decode((tmp_path / MARK).read_bytes())
    assert found is not None
    assert found.revision == 7


async def test_a_damaged_store_of_version_1_is_left_alone(tmp_path: Path) -> None:
    version_1(tmp_path / DATABASE, log=False)
    damaged = (tmp_path / DATABASE).read_bytes().replace(b'{"rv":6}', b'{"rv":8}')
    (tmp_path / DATABASE).write_bytes(damaged)
    with pytest.raises(StoreError, match="checksum at revision 6"):
        await reopened(tmp_path)
    assert files_in(tmp_path) == {DATABASE: damaged}
