"""`kubeherd snapshot restore --store etcd`: a directory and an etcd, or one line and neither."""

import asyncio
import lzma
import signal
import ssl
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from etcdserver import EtcdMember, find_etcd

from kubeherd.cluster.cli.main import main
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.processes import etcd as process
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.settings import StoreKind
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import StoreError
from kubeherd.snapshot import planning, sharing
from kubeherd.snapshot.adapting import Adapted
from kubeherd.snapshot.model import Origin, Snapshot

pytest.importorskip("hpack", reason="the extra etcd is not installed")
pytestmark = pytest.mark.skipif(find_etcd() is None, reason="there is no etcd")
RECORDED = Path(__file__).parents[2] / "data" / "etcd-snapshot.db.xz"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "etcd.db"
    file.write_bytes(lzma.decompress(RECORDED.read_bytes()))
    return file


@pytest.fixture
def member(tmp_path: Path):
    member = EtcdMember(tmp_path / "theirs", "one")
    member.start()
    yield member
    member.kill()


def restore(file: Path, *options: str) -> Result:
    new = file.parent / "new"
    words = ["snapshot", "restore", str(file), "--dir", str(new), "--store", "etcd", *options]
    return CliRunner().invoke(main, words)


def refused(result: Result, root: Path) -> str:
    """The last line of a failure, after which there is nothing."""
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert not [one for one in root.iterdir() if "new" in one.name]
    return result.stderr.splitlines()[-1]


def names_in(member: EtcdMember) -> set[str]:
    async def ask() -> set[str]:
        from kubeherd.cluster.store.etcd.engine import EtcdEngine  # noqa: PLC0415 - an extra
        from kubeherd.cluster.store.etcd.target import EtcdTarget  # noqa: PLC0415

        engine = EtcdEngine(EtcdTarget((member.endpoint,)), Rng(1))
        rows = await engine.load(await engine.open())
        await engine.close()
        return {row.name for row in rows}

    return asyncio.run(ask())


def test_an_etcd_that_is_given_is_filled_once(file: Path, member):
    given = ("--etcd-endpoints", member.endpoint)
    done = restore(file, *given)
    assert done.exit_code == 0, done.output
    settings = RunDir(file.parent / "new").load_settings()
    assert (settings.store, settings.etcd_endpoints) == (StoreKind.ETCD, (member.endpoint,))
    before = names_in(member)
    assert {"web", "pw"} <= before
    RunDir(file.parent / "new").purge()
    line = refused(restore(file, *given), file.parent)
    assert line.startswith(f"Error: cannot restore into {file.parent}/new: etcd has objects of")
    assert names_in(member) == before


def test_a_directory_that_cannot_be_moved_leaves_the_given_etcd_as_it_was(
    file: Path, member, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Path, "rename", refuse)
    line = refused(restore(file, "--etcd-endpoints", member.endpoint), file.parent)
    assert line == f"Error: cannot restore into {file.parent}/new: Directory not empty"
    assert names_in(member) == set()


def refuse(*_args: object) -> None:
    raise OSError(39, "Directory not empty")


def test_an_etcd_that_is_down_or_of_another_scheme_is_told_in_one_line(
    file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kubeherd.cluster.store.etcd.client.PATIENCE_S", 0.1)
    line = refused(restore(file, "--etcd-endpoints", "http://127.0.0.1:1"), file.parent)
    assert "nothing listens there: is etcd running?" in line
    assert "must look like https" in refused(restore(file, "--etcd-endpoints", "x"), file.parent)
    line = refused(restore(file, "--etcd-cafile", str(file)), file.parent)
    assert "are for one that is given with --etcd-endpoints" in line


def test_its_own_etcd_ends_with_the_restore_and_has_ports_and_certificates(file: Path):
    done = restore(file)
    assert done.exit_code == 0, done.output
    rundir = RunDir(file.parent / "new")
    settings = rundir.load_settings()
    assert settings.has_own_etcd
    assert len({settings.port, settings.etcd_port, settings.etcd_peer_port} - {0}) == 3
    assert osproc.marked(file.parent) == []
    assert (rundir.etcd / "member" / "snap" / "db").is_file()
    ssl.create_default_context(cafile=str(rundir.pki / "etcd-ca.crt"))
    assert rundir.purge() == []


FATAL = '{"level": "fatal", "msg": "no space", "error": "disk is full"}'


def test_its_own_etcd_that_does_not_start_is_told(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program = tmp_path / "broken"
    program.write_text(f"#!/bin/sh\necho '{FATAL}'; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv(process.BINARY_VARIABLE, str(program))
    line = refused(restore(file), tmp_path)
    assert line.endswith("new: etcd could not start: no space: disk is full")
    monkeypatch.setenv(process.BINARY_VARIABLE, str(tmp_path / "gone"))
    assert "which is no program" in refused(restore(file), tmp_path)


def test_its_own_etcd_that_dies_meanwhile_is_told(file: Path, monkeypatch: pytest.MonkeyPatch):
    """As it does when the disk is full."""
    monkeypatch.setattr("kubeherd.cluster.store.etcd.client.PATIENCE_S", 0.1)
    fill = sharing.fill

    async def filled(engine, snapshot):
        children = osproc.marked(next(file.parent.glob(".new.restoring.*")))

        def all_die() -> None:
            for child in children:
                die(file, child)

        return await fill(engine, snapshot, all_die)

    monkeypatch.setattr(sharing, "fill", filled)
    line = refused(restore(file), file.parent)
    assert line.endswith("new: etcd ended: no space: disk is full")


def die(file: Path, child: osproc.ProcessId) -> None:
    (log,) = file.parent.glob(".new.restoring.*/logs/etcd.log")
    with log.open("a") as text:
        text.write(FATAL + "\n")
    osproc.send_signal(child, signal.SIGKILL)
    raise StoreError("it broke")


def test_a_missing_package_is_named(file: Path, member, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "kubeherd.cluster.store.etcd.engine", None)
    line = refused(restore(file, "--etcd-endpoints", member.endpoint), file.parent)
    assert line.endswith("pip install 'kubeherd[etcd]'")


@pytest.mark.parametrize(("store", "servers"), [(StoreKind.ETCD, 3), (StoreKind.SQLITE, 1)])
def test_api_servers_come_back_where_they_can_share(store, servers):
    whole = {"nodes": [{"name": "a", "agent": "a"}], "port": 7001, "store": "etcd"}
    found = Snapshot(
        origin=Origin.KUBEHERD, revision=1, entries=[], settings={**whole, "apiservers": 3}
    )
    wanted = planning.Wanted(store=store)
    settings, _ = planning.settings_of(Adapted(found, ["a"], []), wanted)
    assert (settings.apiservers, settings.store) == (servers, store)
