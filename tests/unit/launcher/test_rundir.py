"""The run directory: one supervisor at a time, clear refusals, whole files."""

import os
from pathlib import Path

import pytest

from kubeherd.cluster.launcher.directory.rundir import RunDir, write_private
from kubeherd.cluster.launcher.errors import LauncherError


def test_one_lock_holder(rundir: RunDir):
    assert not rundir.locked()
    lock = rundir.acquire_lock()
    assert rundir.locked()
    with pytest.raises(LauncherError, match="already running"):
        rundir.acquire_lock()
    os.close(lock)
    assert not rundir.locked()


def test_a_directory_without_cluster_says_so(tmp_path: Path):
    with pytest.raises(LauncherError, match=f"no cluster in {tmp_path}"):
        RunDir(tmp_path).load_settings()


def test_directory_below_a_file(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LauncherError, match=r"cannot write to .*/file.*: Not a directory"):
        RunDir(tmp_path / "file" / "herd").prepare()


def test_written_file_is_private_whole_and_alone(tmp_path: Path):
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_write_into_a_missing_directory(tmp_path: Path):
    with pytest.raises(LauncherError, match=r"cannot write .*: No such file or directory"):
        write_private(tmp_path / "no" / "file", b"")
