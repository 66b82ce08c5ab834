"""Whose a directory is: what is somebody else's is refused, and nothing of it is changed."""

import os
from pathlib import Path

import pytest

from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory import contents, purging
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError

LINKS = [
    "kubeconfig",
    "cluster.json",
    "store.db",
    "store.db-wal",
    "pki",
    "pki/ca.key",
    "pki/sa.key",
    "kubeconfigs",
    "kubeconfigs/controller-manager.kubeconfig",
    "logs",
    "logs/supervisor.log",
    "logs/pods",
    "run",
    "run/lock",
    "run/state.json",
    ".cluster.json.12.tmp",
]


def picture(directory: Path) -> dict[str, tuple[int, int, str]]:
    return {
        str(path): (status.st_mode, status.st_mtime_ns, os.fspath(path.resolve()))
        for path in (directory, *directory.rglob("*"))
        for status in (path.lstat(),)
    }


def refusal(rundir: RunDir) -> str:
    """What `prepare` and the start say; that they change nothing is checked here."""
    before = picture(rundir.root)
    with pytest.raises(LauncherError) as refused:
        rundir.prepare()
    with pytest.raises(LauncherError):
        lifecycle.begin(rundir, lifecycle.new_settings(nodes=0))
    assert picture(rundir.root) == before
    return str(refused.value)


def test_a_new_directory_is_private_and_ours(tmp_path: Path):
    rundir = RunDir(tmp_path / "a" / "herd")
    assert not rundir.is_ours()
    assert rundir.prepare()
    assert rundir.is_ours()
    assert rundir.root.stat().st_mode & 0o777 == 0o700
    assert not rundir.prepare()


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o500 | 0o200])
def test_an_empty_directory_is_taken_and_keeps_its_mode(tmp_path: Path, mode: int):
    root = tmp_path / "empty"
    root.mkdir()
    root.chmod(mode)
    rundir = RunDir(root)
    assert rundir.prepare()
    assert root.stat().st_mode & 0o777 == mode
    assert rundir.pki.stat().st_mode & 0o777 == 0o700
    assert rundir.purge() == []
    assert root.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    "name", ["thesis.txt", "cluster.json", "pki", "logs", ".hidden", "store.db"]
)
def test_a_directory_with_something_in_it_is_somebodys(tmp_path: Path, name: str):
    (tmp_path / name).write_text("")
    assert "is not empty and not the directory of a cluster" in refusal(RunDir(tmp_path))


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777, 0o702])
def test_a_directory_that_others_may_write_to(tmp_path: Path, mode: int):
    root = tmp_path / "open"
    root.mkdir()
    root.chmod(mode)
    assert "other users may write to" in refusal(RunDir(root))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user(tmp_path: Path):
    rundir = RunDir(tmp_path / "herd")
    rundir.prepare()
    os.close(rundir.acquire_lock())
    os.chown(rundir.root, 65534, 65534)
    assert "belongs to another user (uid 65534)" in refusal(rundir)
    before = picture(rundir.root)
    with pytest.raises(LauncherError, match="another user"):
        lifecycle.shut_down(rundir, lambda _state: None)
    with pytest.raises(LauncherError, match="another user"):
        rundir.purge()
    assert picture(rundir.root) == before


@pytest.mark.parametrize("name", LINKS)
def test_a_link_in_the_place_of_something_of_ours(tmp_path: Path, name: str):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    rundir = RunDir(tmp_path / "herd")
    rundir.prepare()
    place = rundir.root / name
    if place.is_dir():
        place.rename(tmp_path / "moved")
        victim = tmp_path / "moved"
    place.symlink_to(victim)
    assert f"{place} is a symbolic link" in refusal(rundir)
    rundir.root.rename(tmp_path / "aside")  # and purge takes neither the link nor what it leads to
    left = purging.delete_made(str(tmp_path / "aside"), contents.layout())
    assert left == [name]
    assert victim.exists()


def test_links_of_another_name_are_nobodys_business(tmp_path: Path):
    rundir = RunDir(tmp_path / "herd")
    rundir.prepare()
    (rundir.root / "shortcut").symlink_to(tmp_path)
    assert not rundir.prepare()
    assert rundir.purge() == ["shortcut"]


def test_what_a_killed_up_leaves_is_ours(tmp_path: Path):
    """Whatever was made before the kill: made in this order, one thing more each time."""
    steps = [
        ".",
        contents.MARKER,
        "pki/",
        "kubeconfigs/",
        "logs/",
        "logs/pods/",
        "run/",
        "run/lock",
    ]
    for made in range(1, len(steps) + 1):
        root = tmp_path / str(made)
        for step in steps[:made]:
            if step.endswith(("/", ".")):
                (root / step).mkdir()
            else:
                (root / step).touch()
        rundir = RunDir(root)
        rundir.prepare()
        assert rundir.is_ours()
        assert rundir.purge() == []
        assert list(root.iterdir()) == []


def test_a_cluster_from_before_the_marker_is_ours(tmp_path: Path):
    rundir = RunDir(tmp_path / "herd")
    rundir.prepare()
    rundir.save_settings(lifecycle.new_settings(nodes=1))
    os.close(rundir.acquire_lock())
    (rundir.root / contents.MARKER).unlink()
    assert rundir.is_ours()
    assert not rundir.prepare()
    assert rundir.purge() == []
    assert not rundir.root.exists()


def test_a_refused_start_leaves_no_new_directory_and_no_old_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lifecycle, "port_is_free", lambda *_: False)
    settings = lifecycle.new_settings(nodes=0, port=7001)
    for root, made in ((tmp_path / "new", ()), (tmp_path / "old", ("store.db",))):
        rundir = RunDir(root)
        for name in made:
            rundir.prepare()
            (root / name).write_text("all that is left of a cluster")
        with pytest.raises(LauncherError, match=r"port 7001 of .* is in use"):
            lifecycle.begin(rundir, settings)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old" / "store.db").exists()


def test_a_lock_on_a_deleted_file_is_no_lock(tmp_path: Path):
    rundir = RunDir(tmp_path / "herd")
    rundir.prepare()
    first = rundir.acquire_lock()
    assert rundir.is_locked_by(first)
    rundir.lock.unlink()
    assert not rundir.is_locked_by(first)
    second = rundir.acquire_lock()
    assert rundir.is_locked_by(second)
    for descriptor in (first, second):
        os.close(descriptor)


def test_a_purge_of_what_runs_is_refused(tmp_path: Path):
    rundir = RunDir(tmp_path / "herd")
    rundir.prepare()
    rundir.save_settings(lifecycle.new_settings(nodes=1))
    lock = rundir.acquire_lock()
    before = picture(rundir.root)
    with pytest.raises(LauncherError, match="already running"):
        rundir.purge()
    assert picture(rundir.root) == before
    os.close(lock)
