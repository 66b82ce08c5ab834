"""`kubeherd snapshot`: what it says; bad input ends with one line and nothing half done."""

import asyncio
import json
import lzma
import os
import socket
from pathlib import Path

import msgspec
import orjson
import pytest
from click.testing import CliRunner, Result

from kubeherd.cluster.apiserver.server import attrs_of
from kubeherd.cluster.cli.main import main
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.settings import ExecKind, StoreKind
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.sqlite.engine import SqliteEngine
from kubeherd.cluster.store.store import running
from kubeherd.snapshot import fileformat, planning
from kubeherd.snapshot.adapting import Adapted
from kubeherd.snapshot.model import Origin, Snapshot, SnapshotError

RECORDED = Path(__file__).parents[2] / "data" / "etcd-snapshot.db.xz"


def snapshot(*args: str | Path, given: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["snapshot", *map(str, args)], input=given)


def refused(result: Result) -> str:
    """The one line of a failure."""
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture
def stopped(tmp_path: Path) -> RunDir:
    """A cluster of one node with one object, which does not run."""
    rundir = RunDir(tmp_path / "stopped")
    rundir.prepare()
    rundir.save_settings(lifecycle.new_settings(nodes=1, port=7001, seed=4))

    async def write() -> None:
        async with running(LocalStore(SqliteEngine(rundir.root / "store.db"), attrs_of)) as store:
            metadata = {"name": "node-0", "uid": "u"}
            tree = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
            await store.committed(store.put("nodes", "", "node-0", lambda _: orjson.dumps(tree)))

    asyncio.run(write())
    return rundir


@pytest.fixture
def etcd(tmp_path: Path) -> Path:
    file = tmp_path / "etcd.db"
    file.write_bytes(lzma.decompress(RECORDED.read_bytes()))
    return file


def test_a_stopped_cluster_is_saved_shown_and_restored(stopped: RunDir, tmp_path: Path):
    file = tmp_path / "a.snapshot"
    saved = snapshot("save", file, "--dir", stopped.root)
    assert saved.stderr == f"1 objects at revision 2 are in {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    shown = json.loads(snapshot("status", file, "-o", "json").stdout)
    assert shown | {"saved": "", "savedBy": ""} == {
        "origin": "kubeherd",
        "revision": 2,
        "saved": "",
        "savedBy": "",
        "objects": 1,
        "resources": {"nodes": 1},
        "notes": [],
    }
    assert "nodes" in snapshot("status", file).stdout
    new = tmp_path / "new"
    restored = snapshot("restore", file, "--dir", new)
    assert restored.stderr.splitlines() == [
        f"restored 1 objects and 1 node into {new}; revisions go on after 1000000002",
        f"`kubeherd up --dir {new}` starts the cluster",
    ]
    settings = RunDir(new).load_settings()
    assert (settings.node_names, settings.seed) == (["node-0"], 4)
    assert settings.port != 7001
    again = snapshot("save", tmp_path / "b.snapshot", "--dir", new)
    assert again.stderr.startswith("1 objects at revision 1000000002")


def test_what_would_be_done_is_told_and_not_done(etcd: Path, tmp_path: Path):
    new = tmp_path / "new"
    told = snapshot("restore", etcd, "--dir", new, "--dry-run").stderr.splitlines()
    assert told[-1] == f"would restore 71 objects and 2 nodes into {new}"
    assert any("validatingwebhookconfigurations" in line for line in told)
    assert not new.exists()
    assert list(tmp_path.iterdir()) == [etcd]


def test_a_dump_comes_from_standard_input(tmp_path: Path):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "x"},
        "spec": {"nodeName": "worker-1", "containers": [{"name": "c", "image": "i"}]},
    }
    result = snapshot("restore", "-", "--dir", tmp_path / "new", given=json.dumps(pod).encode())
    assert result.exit_code == 0, result.output
    assert RunDir(tmp_path / "new").load_settings().node_names == ["worker-1"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"hello", "is neither a snapshot nor a dump of kubectl, nor a snapshot of etcd"),
        (b"a: [", "is neither a snapshot nor a dump of kubectl, nor a snapshot of etcd (line"),
        (b"\x00\xff", "is neither a snapshot nor a dump of kubectl, nor a snapshot of etcd ("),
        (b"kind: List\nitems: [5]", "is no dump of kubectl: something in its list is no object"),
        (b"kind: List\nitems: [{kind: Pod}]", "is no dump of kubectl: its object 1 has no name"),
        (b"kind: List\nitems: []", "holds no objects of Kubernetes"),
        (b"\x1f\x8bhello", "is not complete: its end is missing"),
        (b"\x1f\x8b" + b"\xff" * 40, "is damaged: "),
        (b"SQLite format 3\x00", "is a database of SQLite: "),
    ],
)
@pytest.mark.parametrize("command", ["status", "restore"])
def test_a_file_that_is_no_snapshot_is_refused_in_one_line(command, content, why, tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(content)
    where = ["--dir", str(tmp_path / "new")] if command == "restore" else []
    assert refused(snapshot(command, file, *where)).startswith(f"Error: {file} {why}")
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("cut", [100, 4096, 9000, -32 - 4096, -33, -1])
def test_a_snapshot_of_etcd_that_was_cut_short_is_refused(etcd: Path, cut):
    etcd.write_bytes(etcd.read_bytes()[:cut])
    assert refused(snapshot("status", etcd)).startswith(f"Error: {etcd} is damaged: ")


def test_a_file_that_is_not_there_or_not_ours_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert refused(snapshot("status", tmp_path / "gone")) == (
        f"Error: cannot read {tmp_path}/gone: No such file or directory"
    )

    def refuse(*_args: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied")

    file = tmp_path / "file"
    file.write_bytes(b"x")
    monkeypatch.setattr(Path, "open", refuse)
    assert refused(snapshot("status", file)) == f"Error: cannot read {file}: Permission denied"


def test_where_a_snapshot_cannot_be_written_nothing_is_left(
    stopped: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    missing = snapshot("save", tmp_path / "no" / "file", "--dir", stopped.root)
    assert missing.exit_code == 2
    assert "does not exist" in missing.stderr

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    file = tmp_path / "file"
    file.write_bytes(b"an older one")
    assert refused(snapshot("save", file, "--dir", stopped.root)) == (
        f"Error: cannot write {file}: No space left on device"
    )
    assert file.read_bytes() == b"an older one"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "stopped"]


def test_a_directory_in_use_a_taken_port_and_a_missing_cluster(
    etcd: Path, stopped: RunDir, tmp_path: Path
):
    assert refused(snapshot("restore", etcd, "--dir", stopped.root)) == (
        f"Error: {stopped.root} has a cluster: choose another directory with --dir"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused(snapshot("restore", etcd, "--dir", tmp_path / "new", "--port", str(port)))
    assert line == f"Error: port {port} of 127.0.0.1 is in use: choose another with --port"
    assert not (tmp_path / "new").exists()
    joined = RunDir(tmp_path / "joined")
    joined.prepare()
    joined.save_settings(msgspec.structs.replace(stopped.load_settings(), joined="https://x:1"))
    assert refused(snapshot("save", tmp_path / "file", "--dir", joined.root)) == (
        f"Error: the cluster of {joined.root} is at https://x:1: save it there"
    )
    nowhere = refused(snapshot("save", tmp_path / "file", "--dir", tmp_path / "nowhere"))
    assert nowhere == f"Error: no cluster in {tmp_path}/nowhere"


def of_settings(**more: object) -> Adapted:
    whole = {"nodes": [{"name": "a", "agent": "a"}], "seed": 4, "speed": 2.0, "port": 7001, **more}
    found = Snapshot(origin=Origin.KUBEHERD, revision=1, entries=[], settings=whole)
    return Adapted(fileformat.decode(fileformat.encode(found)), ["a", "b"], [])


def test_what_a_file_may_not_decide_comes_not_back():
    adapted = of_settings(
        exec="local", audit_policy="/etc/passwd", store="memory", listen="0.0.0.0", record="writes"
    )
    settings, told = planning.settings_of(adapted, planning.Wanted(speed=5.0))
    assert not settings.is_exposed
    memory = planning.Wanted(store=StoreKind.MEMORY)
    assert planning.settings_of(adapted, memory)[0].store is StoreKind.MEMORY
    assert (settings.exec, settings.audit_policy) == (ExecKind.SCRIPT, "")
    assert (settings.store, settings.seed, settings.speed) == (StoreKind.SQLITE, 4, 5.0)
    assert told == ["1 nodes (b) were not of the cluster's own and get no agent"]


def test_settings_that_are_not_readable_are_refused():
    with pytest.raises(SnapshotError, match="settings in the snapshot cannot be used"):
        planning.settings_of(of_settings(nodes=5), planning.Wanted())


@pytest.mark.parametrize(("count", "wanted", "agents"), [(20, None, 20), (21, None, 3), (4, 2, 2)])
def test_many_nodes_share_processes(count, wanted, agents):
    found = Snapshot(origin=Origin.ETCD, revision=1, entries=[])
    adapted = Adapted(found, [f"n{at}" for at in range(count)], [])
    settings, _ = planning.settings_of(adapted, planning.Wanted(nodes_per_agent=wanted))
    assert len(settings.agents()) == agents
    assert len(settings.node_names) == count


def test_names_that_no_node_of_ours_can_have_are_told():
    found = Snapshot(origin=Origin.ETCD, revision=1, entries=[])
    names = ["n1", "x" * 60, "apiserver", "B", "y" * 60]
    settings, told = planning.settings_of(Adapted(found, names, []), planning.Wanted())
    assert settings.node_names == ["n1"]
    (line,) = told
    assert line.startswith(f"4 nodes ({'x' * 60}, apiserver, B and 1 more) cannot be the names")


def test_a_kubeconfig_that_cannot_be_used_is_told_in_one_line(tmp_path: Path):
    file = tmp_path / "kubeconfig"
    line = refused(snapshot("save", tmp_path / "file", "--kubeconfig", file))
    assert line == f"Error: cannot read kubeconfig {file}: No such file or directory"
    entries = {
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "x", "user": {"exec": {"command": "aws"}}}],
        "current-context": "x",
    }
    file.write_text(json.dumps(entries))
    assert "run `kubectl proxy`" in refused(
        snapshot("save", tmp_path / "file", "--kubeconfig", file)
    )
    assert list(tmp_path.iterdir()) == [file]
