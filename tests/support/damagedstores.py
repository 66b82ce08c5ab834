"""Stores as a kill or a stop leaves them, and ways to damage them: bytes in, bytes out.

A scene is the files of one store at one moment with what it had acknowledged by then. Damages are
named, seeded and aimed at every structure of the database, the log and the mark.
"""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.sqlite.engine import SqliteEngine
from kubeherd.cluster.store.state import Attrs
from kubeherd.cluster.store.store import Store, running

PAGE = 4096
FRAME = 24 + PAGE
MAX_PAGES = 14
"""So many pages of a database are damaged, chosen at random: the tests should take seconds."""
DATABASE, LOG, MARK, INDEX = "store.db", "store.db-wal", "store.db-mark", "store.db-shm"

Files = dict[str, bytes]
Damage = Callable[[Files], None]


def attrs_of(_resource_key: str, _json: bytes) -> Attrs:
    return Attrs()


@dataclass(frozen=True)
class Scene:
    """`objects`: (namespace, name) -> revision and bytes, all that exist; nothing else does."""

    name: str
    files: Files
    objects: dict[tuple[str, str], tuple[int, bytes]]
    revision: int

    def frames(self) -> int:
        return max(0, len(self.files.get(LOG, b"")) - 32) // FRAME

    def current(self) -> int:
        """How many frames of the log have its header's salts."""
        log = self.files[LOG]
        salts = [log[at : at + 8] for at in range(32 + 8, len(log), FRAME)]
        return salts.count(log[16:24])

    def pages(self) -> int:
        return len(self.files[DATABASE]) // PAGE


def objects_of(store: Store) -> dict[tuple[str, str], tuple[int, bytes]]:
    return {(r.namespace, r.name): (r.revision, r.json) for r in store.list("pods")}


def files_in(directory: Path) -> Files:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


def write_files(directory: Path, files: Files) -> None:
    """Make the directory with these files."""
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)


async def write(store: Store, rng: random.Random, groups: int) -> None:
    """Creates, updates and deletes in groups of one or a few; some are large, some one page."""
    for _ in range(groups):
        for _ in range(rng.choice((1, 1, 1, 5))):
            name, size = f"p{rng.randrange(24)}", rng.choice((10, 300, 900, 9000))
            fill = bytes(rng.randrange(97, 123) for _ in range(40)) * (size // 40)
            if rng.random() < 0.25 and store.head("pods", "ns", name) is not None:
                staged = store.delete("pods", "ns", name, lambda rv: b'{"rv":%d}' % rv)
            else:
                staged = store.put("pods", "ns", name, partial(_filled, fill))
        await store.committed(staged)


def _filled(fill: bytes, revision: int) -> bytes:
    return b'{"rv":%d,"x":"%s"}' % (revision, fill)


async def scenes(directory: Path, seed: int) -> dict[str, Scene]:
    """One store's life, in an empty directory. young, killed: all is in the log. settled: all of it
    was copied into the database. restarted: the log began anew over old frames. stopped: no log."""
    rng = random.Random(seed)
    found = {}

    def take(name: str) -> None:
        found[name] = Scene(name, files_in(directory), objects_of(store), store.revision)

    engine = SqliteEngine(directory / DATABASE)
    async with running(LocalStore(engine, attrs_of, max_history_events=20)) as store:
        await write(store, rng, 8)
        take("young")
        await write(store, rng, 24)
        take("killed")
        assert engine._connection is not None
        engine._connection.execute("PRAGMA wal_checkpoint")
        take("settled")
        await write(store, rng, 8)
        take("restarted")
    found["stopped"] = Scene("stopped", files_in(directory), objects_of(store), store.revision)
    return found


def flip(name: str, at: int, bit: int) -> Damage:
    def damage(files: Files) -> None:
        content = bytearray(files[name])
        content[at] ^= 1 << bit
        files[name] = bytes(content)

    return damage


def run_of(name: str, at: int, content: bytes) -> Damage:
    def damage(files: Files) -> None:
        old = files[name]
        files[name] = old[:at] + content + old[at + len(content) :]

    return damage


def cut(name: str, size: int) -> Damage:
    def damage(files: Files) -> None:
        files[name] = files[name][:size]

    return damage


def swap(name: str, content: bytes | None) -> Damage:
    def damage(files: Files) -> None:
        files.pop(name, None)
        if content is not None:
            files[name] = content

    return damage


def damages(scene: Scene, older: Scene, other: Scene, seed: int) -> Iterator[tuple[str, Damage]]:
    """Named damages of a scene; `older` is the same store before, `other` is another store."""
    rng = random.Random(seed)
    yield from _of_database(scene, older, rng)
    if scene.frames():
        yield from _of_log(scene, rng)
    for at in rng.sample(range(len(scene.files[MARK])), 6):
        yield f"mark flip {at}", flip(MARK, at, rng.randrange(8))
    for size in (0, 20, len(scene.files[MARK]) - 1):
        yield f"mark cut to {size}", cut(MARK, size)
    for name in (DATABASE, LOG, MARK):
        yield f"{name} missing", swap(name, None)
        for source, donor in (("older", older), ("other", other)):
            yield f"{name} of {source}", swap(name, donor.files.get(name, b""))
        yield f"{name} is noise", swap(name, rng.randbytes(3 * PAGE))
    yield "store and log older", _both(DATABASE, LOG, older)
    yield "store and log other", _both(DATABASE, LOG, other)
    yield "log and mark missing", _both(LOG, MARK, Scene("", {}, {}, 0))
    yield "store and log missing", _both(DATABASE, LOG, Scene("", {}, {}, 0))
    yield "index is noise", swap(INDEX, rng.randbytes(32768))


def _both(first: str, second: str, donor: Scene) -> Damage:
    def damage(files: Files) -> None:
        for name in (first, second):
            swap(name, donor.files.get(name))(files)

    return damage


def _of_database(scene: Scene, older: Scene, rng: random.Random) -> Iterator[tuple[str, Damage]]:
    pages, size = scene.pages(), len(scene.files[DATABASE])
    for at in [*range(16, 24), *range(28, 48, 2), *rng.sample(range(48, 100), 8)]:
        yield f"database header flip {at}", flip(DATABASE, at, rng.randrange(8))
    for page in sorted(rng.sample(range(pages), min(pages, MAX_PAGES))):
        start = page * PAGE + (100 if page == 0 else 0)
        for at in (0, 3, 5, 8 + rng.randrange(8)):
            yield f"page {page + 1} b-tree flip {at}", flip(DATABASE, start + at, rng.randrange(8))
        at = page * PAGE + rng.randrange(200, PAGE)
        yield f"flip at {at}", flip(DATABASE, at, rng.randrange(8))
        yield f"noise at {at}", run_of(DATABASE, at, rng.randbytes(min(16, size - at)))
        yield f"page {page + 1} zeroed", run_of(DATABASE, page * PAGE, bytes(PAGE))
        source = rng.randrange(pages) * PAGE
        copied = scene.files[DATABASE][source : source + PAGE]
        yield f"page {page + 1} is {source // PAGE + 1}", run_of(DATABASE, page * PAGE, copied)
        before = older.files[DATABASE][page * PAGE : (page + 1) * PAGE]
        if before:
            yield f"page {page + 1} is of before", run_of(DATABASE, page * PAGE, before)
    for left in (0, 1, 50, 100, 512, PAGE, *(rng.randrange(size) for _ in range(6)), size - 1):
        yield f"database cut to {left}", cut(DATABASE, left)


def _of_log(scene: Scene, rng: random.Random) -> Iterator[tuple[str, Damage]]:
    log, current = scene.files[LOG], scene.current()
    for at in range(0, 32, 2):
        yield f"log header flip {at}", flip(LOG, at, rng.randrange(8))
    chosen = {0, 1, current // 2, current - 2, current - 1, rng.randrange(current)}
    for frame in sorted(chosen):
        start = 32 + frame * FRAME
        for at in range(rng.randrange(2), 24, 3):
            yield f"frame {frame} header flip {at}", flip(LOG, start + at, rng.randrange(8))
        for _ in range(3):
            at = start + 24 + rng.randrange(PAGE)
            yield f"frame {frame} flip at {at}", flip(LOG, at, rng.randrange(8))
        yield f"frame {frame} zeroed", run_of(LOG, start, bytes(FRAME))
        yield f"frame {frame} noise", run_of(LOG, start + 30, rng.randbytes(64))
        yield f"salts of frame {frame}", run_of(LOG, start + 8, struct.pack(">2I", 1, 2))
        twin = 32 + rng.randrange(current) * FRAME
        yield f"frame {frame} is another", run_of(LOG, start, log[twin : twin + FRAME])
        yield f"log cut at frame {frame}", cut(LOG, start)
        yield f"log cut in frame {frame}", cut(LOG, start + 24 + rng.randrange(PAGE))
    for size in (0, 10, 31, 32):
        yield f"log cut to {size}", cut(LOG, size)
