"""Damaged stores: either all that was acknowledged is there, or nothing is touched."""

import asyncio
import shutil
from itertools import chain
from pathlib import Path

import pytest
from damagedstores import (
    DATABASE,
    Damage,
    Files,
    Scene,
    attrs_of,
    damages,
    files_in,
    objects_of,
    scenes,
    write_files,
)

from kubeherd.cluster.store.engine import StoreError
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.sqlite.engine import SqliteEngine
from kubeherd.cluster.store.store import Store, running

SCENES = ("young", "killed", "settled", "restarted", "stopped")
MIN_DAMAGES = 300


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    return asyncio.run(scenes(tmp_path_factory.mktemp("life"), seed=1))


@pytest.fixture(scope="module")
def other_life(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    return asyncio.run(scenes(tmp_path_factory.mktemp("other"), seed=2))


async def opened(directory: Path, files: Files, accept: int | None = None) -> Store:
    """The store after an open, a write and a stop. StoreError if it is refused."""
    write_files(directory, files)
    async with running(LocalStore(SqliteEngine(directory / DATABASE, accept), attrs_of)) as store:
        await store.committed(store.put("nodes", "", "after", lambda rv: b'{"rv":%d}' % rv))
    return store


async def complaint(directory: Path, scene: Scene, files: Files) -> str:
    """What is wrong with how a damaged store was treated; "" if nothing. Leaves nothing behind."""
    try:
        store = await opened(directory, files)
    except StoreError as error:
        if files_in(directory) != files:
            return "refused, but files were changed"
        return "" if "\n" not in str(error) else f"not one line: {error}"
    except Exception as error:
        return repr(error)
    else:
        if objects_of(store) != scene.objects:
            return "opened with other objects"
        if store.revision <= scene.revision:
            return f"opened at revision {store.revision - 1}, had reached {scene.revision}"
        async with running(LocalStore(SqliteEngine(directory / DATABASE), attrs_of)) as again:
            return "" if objects_of(again) == scene.objects else "other objects after a write"
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize("name", SCENES)
async def test_nothing_is_lost_and_a_refusal_changes_no_file(
    tmp_path: Path, life: dict[str, Scene], other_life: dict[str, Scene], name: str
) -> None:
    scene = life[name]
    complaints = []
    for number, (what, damage) in enumerate(all_damages(life, other_life, name)):
        files = dict(scene.files)
        damage(files)
        wrong = await complaint(tmp_path / str(number), scene, files)
        if wrong:
            complaints.append(f"{what}: {wrong}")
    assert complaints == []


def all_damages(
    life: dict[str, Scene], other_life: dict[str, Scene], name: str
) -> list[tuple[str, Damage]]:
    """The damages of one scene, from the scene before it and the same one of another store."""
    older = life[SCENES[max(0, SCENES.index(name) - 1)]]
    if older is life[name]:
        older = other_life[name]
    return list(damages(life[name], older, other_life[name], seed=SCENES.index(name)))


def test_the_damages_are_many_and_of_every_kind(
    life: dict[str, Scene], other_life: dict[str, Scene]
) -> None:
    names = list(chain(*([w for w, _ in all_damages(life, other_life, s)] for s in SCENES)))
    assert len(names) >= MIN_DAMAGES
    assert {len(life[name].files) for name in ("killed", "stopped")} == {2, 3}
    assert life["restarted"].frames() > life["restarted"].current() > 0
