"""The directory of nodes whose cluster is elsewhere: what runs there, what can be asked of it."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from kubeherd.cluster.client import certificates
from kubeherd.cluster.client.kubeconfig import load_kubeconfig
from kubeherd.cluster.launcher import lifecycle, plan
from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults.carriers import Carriers, carriers
from kubeherd.cluster.launcher.joining import authorities, nodes, rotation
from kubeherd.cluster.launcher.joining.rotation import RETRY_CAP_S, Rotation
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.launcher.settings import ClusterOptions, Settings
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults import Component, Fault, Nodes, effects
from kubeherd.faults.targets import Target

URL = "https://10.0.0.5:7001"


def settings(nodes_per_agent: int = 1) -> Settings:
    base = lifecycle.new_settings(
        ClusterOptions(nodes_per_agent=nodes_per_agent), nodes=0, port=7001, seed=1
    )
    joined = msgspec.structs.replace(base, joined=URL)
    return settings_module.add_nodes(joined, ["x-0", "x-1"])


def test_only_agents_run_there_each_node_with_its_own_identity(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path)
    for per_agent, agents in ((1, ["x-0", "x-1"]), (2, ["agent-0"])):
        made = settings(per_agent)
        assert [process.name for process in plan.processes(made, rundir)] == agents
        assert all("--kubeconfig-dir" in one.args for one in plan.processes(made, rundir))
        assert (made.server, made.public_server, made.is_exposed) == (URL, URL, False)
        assert settings_module.decode(settings_module.encode(made)) == made


def test_faults_of_the_cluster_are_not_begun_there() -> None:
    made = settings()

    def carried(effect: effects.Effect, target: Target) -> Carriers:
        return carriers(Fault(id="f", effect=effect, target=target), made, [])

    node = Nodes(("x-0",))
    assert carried(effects.Crash(), node).signalled == ("x-0",)
    assert set(carried(effects.Partition(), node).told) == {"x-0"}
    with pytest.raises(LauncherError, match="happens at the API server, which is elsewhere"):
        carried(effects.ApiError(code=503), node)
    with pytest.raises(LauncherError, match='no process "apiserver"'):
        carried(effects.Crash(), Component("apiserver"))


def test_the_hash_of_an_authority_is_kubeadms(rundir: RunDir) -> None:
    ClusterPki.ensure(rundir, URL)
    pem = rundir.pki / "ca.crt"
    shell = f"openssl x509 -pubkey -in {pem} | openssl pkey -pubin -outform der | sha256sum"
    done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True)
    assert authorities.hashes_of(pem.read_bytes()) == [f"sha256:{done.stdout.split()[0]}"]


def test_a_certificate_that_is_still_good_is_kept(
    rundir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    ClusterPki.ensure(rundir, URL).ensure_nodes(["x-0"])
    assert nodes.without_identity(rundir, URL, ["x-0", "x-1"]) == ["x-1"]
    assert nodes.without_identity(rundir, "https://10.0.0.6:7001", ["x-0"]) == ["x-0"]
    nodes.check_identities(rundir, URL, ["x-0"])
    left = timedelta(seconds=-1)
    monkeypatch.setattr(certificates, "time_left", lambda *_: left)
    with pytest.raises(LauncherError, match=r'node "x-0" has no certificate any more that is good'):
        nodes.check_identities(rundir, URL, ["x-0"])


async def test_a_cluster_that_is_away_is_asked_again_and_the_certificate_stays(
    rundir: RunDir,
) -> None:
    class Late(LoopClock):
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(days=3600)

    ClusterPki.ensure(rundir, "https://127.0.0.1:1").ensure_nodes(["x-0"])
    before = load_kubeconfig(rundir.node_kubeconfig("x-0"))
    tried = Rotation(rundir, lambda: ["x-0", "none"], Late(), Rng(1))
    rests_s = [await tried.advance() for _ in range(7)]
    assert rests_s[0] < rests_s[1] < rests_s[2]
    assert rotation.RETRY_BASE_S <= rests_s[0] <= 1.1 * rotation.RETRY_BASE_S
    assert RETRY_CAP_S <= rests_s[-1] <= 1.1 * RETRY_CAP_S
    assert load_kubeconfig(rundir.node_kubeconfig("x-0")) == before


def test_a_join_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path / "new")

    def found(made: Settings) -> None:
        (rundir.kubeconfigs / f"{made.node_names[0]}.kubeconfig").write_text("{}")
        raise LauncherError("the disk is full")

    with pytest.raises(LauncherError, match="the disk is full"):
        lifecycle.begin(rundir, settings(), found=found)
    assert not rundir.root.exists()
