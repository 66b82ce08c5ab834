"""Purge deletes by knowledge: all names that kubeherd makes, and no other."""

import os
from pathlib import Path

import pytest

from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.directory import contents
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.settings import ClusterOptions

POD = "logs/pods/0a1b2c3d-1111-4222-8333-0123456789ab"
OURS = [
    "kubeconfig",
    ".kubeconfig.77.tmp",
    "cluster.json",
    "store.db",
    "store.db-wal",
    "store.db-shm",
    "store.db-mark",
    ".store.db-mark.77",
    "store.db-damaged-41/store.db",
    "store.db-damaged-41.2/store.db-wal",
    ".store.db.77",
    ".store.db.77-journal",
    "pki/ca.crt",
    "pki/.ca.key.1.tmp",
    "kubeconfigs/controller-manager.kubeconfig",
    "kubeconfigs/node-0.kubeconfig",
    "kubeconfigs/agent-0.kubeconfig",
    "manifests/etcd.yaml",
    "manifests/.kube-apiserver.yaml.77.tmp",
    "logs/supervisor.log",
    "logs/spawner.log",
    "logs/apiserver.log",
    "logs/agent-0.log",
    "logs/controller-manager-9.log",
    "logs/gone.log",
    "logs/audit.log",
    "logs/audit.log.3",
    f"{POD}/main.log",
    f"{POD}/main.previous.log",
    "run/state.json",
    "run/.state.json.9.tmp",
    "run/supervisor.sock",
    "run/faults.json",
    "history.jsonl",
    "history.jsonl.1",
    "history-apiserver-2.jsonl",
    "history-supervisor.jsonl",
    "history-supervisor.jsonl.1",
    "run/node-0.metrics",
    "run/node-0.faults",
    "run/apiserver.faults",
    "run/controller-manager-2.metrics",
    "run/lock",
]
THEIRS = [
    "thesis.txt",
    "store.dbx",
    "my-store.db",
    "kubeconfig.bak",
    ".kubeconfig.tmp",
    "pki/mine.key",
    "kubeconfigs/prod.kubeconfig",
    "kubeconfigs/controller-manager-2.kubeconfig",
    "store.db-damaged-41/notes.txt",
    "manifests/mine.yaml",
    "logs/notes.log",
    "logs/pods/README",
    f"{POD}/Notes.txt",
    "run/my.sock",
    "name with\nnewline",
]
THEIR_FOLDERS = ["src/", "pki/old/", "logs/pods/not-a-uid/", f"{POD}/deeper/"]


def settings() -> settings_module.Settings:
    made = lifecycle.new_settings(ClusterOptions(nodes_per_agent=2), nodes=0, port=7001)
    made = settings_module.add_nodes(made, ["node-0", "gone"])
    return settings_module.remove_node(made, "gone")


def write(root: Path, names: list[str]) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        elif not path.exists():
            path.write_text(name)


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


@pytest.fixture
def cluster(tmp_path: Path) -> RunDir:
    rundir = RunDir(tmp_path / "herd")
    rundir.prepare()
    rundir.save_settings(settings())
    write(rundir.root, OURS)
    return rundir


def test_all_of_ours_goes(cluster: RunDir):
    assert cluster.purge() == []
    assert not cluster.root.exists()


def test_nothing_of_theirs_goes_and_all_is_named(cluster: RunDir):
    write(cluster.root, [*THEIRS, *THEIR_FOLDERS])
    assert sorted(cluster.purge()) == sorted([*THEIRS, *THEIR_FOLDERS])
    assert files(cluster.root) == set(THEIRS)
    assert all((cluster.root / folder).is_dir() for folder in THEIR_FOLDERS)
    assert not cluster.is_ours()


@pytest.mark.parametrize("name", ["kubeconfig", "pki/ca.crt", "logs/supervisor.log"])
def test_a_folder_under_the_name_of_a_file_is_theirs(cluster: RunDir, name: str):
    (cluster.root / name).unlink(missing_ok=True)
    write(cluster.root, [f"{name}/", f"{name}/x"])
    assert cluster.purge() == [f"{name}/"]
    assert files(cluster.root) == {f"{name}/x"}


def test_a_purge_that_was_cut_short_is_finished(cluster: RunDir, monkeypatch: pytest.MonkeyPatch):
    """Killed before its first, second, ... deletion: what is left is still known to be ours."""

    class Killed(BaseException):
        pass

    unlink = os.unlink
    for allowed in range(len(OURS) + 2):
        deleted: list[str] = []

        def dying(name: str, *, dir_fd: int, most: int = allowed, done: list = deleted) -> None:
            if len(done) == most:
                raise Killed
            unlink(name, dir_fd=dir_fd)
            done.append(name)

        with monkeypatch.context() as patched:
            patched.setattr(os, "unlink", dying)
            try:
                assert cluster.purge() == []
            except Killed:
                assert cluster.is_ours()
                left = files(cluster.root) - {"run/lock", contents.MARKER}
                assert cluster.exists() == bool(left)  # names stay known while they are needed
            else:
                break
    assert allowed > 3
    assert not cluster.root.exists()


def test_damaged_settings_keep_what_only_they_could_name(cluster: RunDir):
    cluster.cluster_json.write_text("{")
    left = cluster.purge()
    assert "logs/agent-0.log" in left
    assert "kubeconfigs/node-0.kubeconfig" in left
    assert files(cluster.root) == set(left)


def test_many_names_are_looked_up_not_searched():
    """Ten thousand nodes: as many names against as many files."""
    names = [f"node-{number}" for number in range(10_000)]
    logs = contents.layout(names).folder("logs")
    assert logs is not None
    assert all(logs.makes_file(f"{name}.log") for name in names)
    assert not logs.makes_file("node-10000.log")
