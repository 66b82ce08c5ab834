"""Clusters with several API servers and an etcd: which processes they have, what is refused."""

import asyncio
import importlib.util
import os
import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

from kubeherd.cluster.launcher import lifecycle, plan
from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults.carriers import Carriers, carriers
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.processes import etcd
from kubeherd.cluster.launcher.settings import Settings, StoreKind, add_nodes
from kubeherd.cluster.launcher.supervisor import front
from kubeherd.cluster.runtime.sockets.listening import given_away, listen, taken
from kubeherd.faults import Clients, Component, Fault, effects

ETCD = Settings(port=7001, store=StoreKind.ETCD, apiservers=3, etcd_port=7002, etcd_peer_port=7003)
GIVEN = Settings(port=7001, store=StoreKind.ETCD, etcd_endpoints=("https://a:2379", "https://b:1"))


def test_etcd_comes_first_and_all_servers_serve_at_one_address(rundir: RunDir) -> None:
    found = plan.processes(ETCD, rundir)
    assert [(one.name, one.role) for one in found] == [
        ("etcd", Role.ETCD),
        ("apiserver", Role.APISERVER),
        ("apiserver-2", Role.APISERVER),
        ("apiserver-3", Role.APISERVER),
        ("controller-manager", Role.CONTROLLER_MANAGER),
    ]
    root = rundir.root
    assert " ".join(found[2].args) == (
        f"--dir {root} --name apiserver-2 --port 0 --front {root}/run/front.sock --store etcd "
        f"--etcd-servers https://127.0.0.1:7002 --etcd-cafile {root}/pki/etcd-ca.crt "
        f"--etcd-certfile {root}/pki/etcd-client.crt --etcd-keyfile {root}/pki/etcd-client.key "
        "--speed 1 --seed 0"
    )
    assert found[2].log == rundir.log("apiserver-2")
    assert ETCD.server == "https://127.0.0.1:7001"


def test_etcd_lets_nobody_in_without_a_certificate_of_its_own_authority(rundir: RunDir) -> None:
    args = plan.etcd(ETCD, rundir).args
    assert {"--client-cert-auth", "--peer-client-cert-auth"} <= {*args}
    urls = [arg.partition("=")[2] for arg in args if "-urls=" in arg]
    assert urls == ["https://127.0.0.1:7002"] * 2 + ["https://127.0.0.1:7003"] * 2
    trusted = [arg.partition("=")[2] for arg in args if "trusted-ca-file" in arg]
    assert trusted == [f"{rundir.pki}/etcd-ca.crt"] * 2


def test_one_server_on_an_etcd_that_is_given_listens_by_itself(rundir: RunDir) -> None:
    first, *others = plan.processes(GIVEN, rundir)
    assert (first.name, [one.name for one in others]) == ("apiserver", ["controller-manager"])
    assert " ".join(first.args) == (
        f"--dir {rundir.root} --port 7001 --store etcd "
        "--etcd-servers https://a:2379,https://b:1 --speed 1 --seed 0"
    )


def test_each_server_records_into_a_file_of_its_own(rundir: RunDir) -> None:
    recorded = replace(ETCD, record=settings_module.Recorded.WRITES)
    files = [
        Path(spec.args[spec.args.index("--record") + 1]).name
        for spec in plan.api_servers(recorded, rundir)
    ]
    names = ["history.jsonl", "history-apiserver-2.jsonl", "history-apiserver-3.jsonl"]
    assert files == names


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Settings(port=1, apiservers=2), "2 API servers cannot share the sqlite store"),
        (Settings(port=1, apiservers=2, store=StoreKind.MEMORY), "cannot share the memory store"),
        (Settings(port=1, etcd_endpoints=("http://a:1",)), "are for a cluster with --store etcd"),
        (
            Settings(port=1, store=StoreKind.ETCD, etcd_cafile="/ca"),
            "are for one that is given with --etcd-endpoints",
        ),
        (replace(GIVEN, etcd_certfile="/c"), "belong together"),
        (replace(GIVEN, etcd_endpoints=("a:1",)), '"a:1" is no endpoint'),
        (Settings(port=1, store=StoreKind.ETCD, apiservers=10), "cluster.json is not readable"),
    ],
)
def test_what_makes_no_cluster_is_refused(wrong: Settings, why: str) -> None:
    with pytest.raises(LauncherError, match=why):
        settings_module.check(wrong)


@pytest.mark.parametrize("name", ["apiserver-2", "etcd"])
def test_nodes_are_not_called_like_these_processes(name: str) -> None:
    with pytest.raises(LauncherError, match="is the name of a process"):
        add_nodes(ETCD, [name])


def test_faults_of_clients_are_carried_out_by_every_server() -> None:
    components = (*ETCD.api_servers, "etcd", "controller-manager")

    def of(effect: effects.Effect, target: Clients | Component) -> Carriers:
        return carriers(Fault(id="f", target=target, effect=effect), ETCD, components)

    for target in (Clients(user="me"), Component("controller-manager")):
        told = of(effects.Partition(), target).told
        assert list(told) == ["apiserver", "apiserver-2", "apiserver-3"]
    assert list(of(effects.StoreFull(), Component("apiserver-2")).told) == ["apiserver-2"]
    assert of(effects.Freeze(), Component("etcd")) == Carriers(("etcd",))
    assert of(effects.Crash(), Component("apiserver-3")) == Carriers(("apiserver-3",))


def test_the_program_etcd_is_named_found_or_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "etcd"
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert etcd.binary() == program
    monkeypatch.setenv(etcd.BINARY_VARIABLE, str(tmp_path))
    with pytest.raises(LauncherError, match="which is no program"):
        etcd.binary()
    monkeypatch.delenv(etcd.BINARY_VARIABLE)
    program.unlink()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(LauncherError, match=r"there is no etcd: install .* etcd-server or"):
        etcd.binary()
    directory = tmp_path / "herd"
    with pytest.raises(LauncherError, match="there is no etcd"):
        lifecycle.begin(RunDir(directory), ETCD)
    assert not directory.exists()


def test_why_etcd_ended_is_found_among_what_it_says(tmp_path: Path) -> None:
    log = tmp_path / "etcd.log"
    assert etcd.complaint(log) == ""
    log.write_text('{"level": "fatal", "msg": "discovery failed", "error": "crc mismatch"}\n')
    assert etcd.complaint(log) == "discovery failed: crc mismatch"
    begin = log.stat().st_size
    with log.open("a") as file:
        file.write('{"level": "info", "msg": "closing"}\ngoroutine 1 [running]:\n[1]\n')
    assert etcd.complaint(log) == "discovery failed: crc mismatch"
    assert etcd.complaint(log, begin) == ""
    log.write_text('{"level": "fatal", "msg": "no", "error": "disk is full","stacktrace":"go.e')
    assert etcd.complaint(log) == "no: disk is full"


async def test_a_socket_that_is_given_away_outlives_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "front.sock"
    with listen("127.0.0.1", 0) as listener:
        async with given_away(path, listener):
            assert path.stat().st_mode & 0o777 == 0o600
            loop_free = asyncio.get_running_loop().run_in_executor
            first, second = [await loop_free(None, taken, path) for _ in range(2)]
        assert not path.exists()
        assert not os.get_inheritable(first.fileno())
        first.close()
        with socket.create_connection(listener.getsockname()), second:
            second.setblocking(True)
            second.accept()[0].close()


async def test_where_several_servers_cannot_listen_is_said(rundir: RunDir) -> None:
    with listen("127.0.0.1", 0) as somebody:
        port = somebody.getsockname()[1]
        settings = replace(ETCD, port=port)
        with pytest.raises(LauncherError, match=f"port {port} of 127.0.0.1: Address already in"):
            async with front.opened(settings, rundir):
                pass
