"""Nodes that join a cluster from another directory, as from another machine: with a token."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from patience import PATIENCE_S

import kubeherd
from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import Forbidden
from kubeherd.cluster.cli.main import main
from kubeherd.cluster.client.certificates import time_left
from kubeherd.cluster.client.http.blocking import BlockingClient, BlockingTransport
from kubeherd.cluster.client.kubeconfig import ClusterAccess, load_kubeconfig
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.joining.rotation import LOOK_INTERVAL_S, Rotation
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.pytest_plugin.clusters import Clusters

pytestmark = pytest.mark.integration

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
TOKEN = "abcdef.0123456789abcdef"
HASH = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def cluster(kubeherd_factory: Clusters) -> Iterator[kubeherd.Cluster]:
    with kubeherd_factory(nodes=1, speed=10, store="memory") as cluster:
        assert run(cluster.directory, "token", "create", TOKEN).stdout == f"{TOKEN}\n"
        yield cluster


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory for nodes that join; nothing runs there afterwards."""
    directory = tmp_path / "elsewhere"
    yield directory
    if directory.exists():
        run(directory, "down")
    assert osproc.marked(directory) == []


def run(directory: Path, *args: str) -> Result:
    return CliRunner().invoke(main, args, env={"KUBEHERD_DIR": str(directory)})


def done(directory: Path, *args: str) -> str:
    """What a command printed; if it fails, so does the test, with what it said."""
    result = run(directory, *args)
    assert result.exit_code == 0, result.output
    return result.stdout


def command(cluster: kubeherd.Cluster, *options: str) -> list[str]:
    """What the administrator is told to type elsewhere."""
    printed = done(cluster.directory, "token", "create", "--print-join-command", *options)
    return printed.split()[1:]


def status(directory: Path) -> dict[str, bool]:
    told = json.loads(done(directory, "status", "-o", "json"))
    return {node["name"]: node["ready"] for node in told["nodes"]}


def asked(access: ClusterAccess) -> str:
    """Who one is for the cluster."""
    with BlockingTransport(access) as transport:
        answer = BlockingClient(transport).send("POST", WHOAMI, {})
    return str(answer["status"]["userInfo"]["username"])


def log_of_a_pod_on(cluster: kubeherd.Cluster, node: str) -> str:
    """What `kubectl logs` shows of a pod there as soon as it shows something."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {
            "nodeName": node,
            "containers": [
                {"name": "c", "image": "i", "command": ["sh", "-c", "echo hello; sleep 9999"]}
            ],
        },
    }
    deadline_s = time.monotonic() + PATIENCE_S
    with BlockingTransport(load_kubeconfig(cluster.kubeconfig)) as transport:
        BlockingClient(transport).send("POST", kinds.PODS.path("default"), pod)
        while time.monotonic() < deadline_s:
            answer = transport.request("GET", kinds.PODS.path("default", "p", "log"))
            if answer.status == 200 and answer.body:
                return answer.body.decode()
            time.sleep(0.05)
    return ""


def test_nodes_join_die_and_come_back(cluster: kubeherd.Cluster, elsewhere: Path) -> None:
    words = command(cluster)
    assert words[-2:] == ["--speed", "10"]
    done(elsewhere, *words, "--nodes", "2", "--name-prefix", "edge")
    rundir = RunDir(elsewhere)
    access = load_kubeconfig(rundir.node_kubeconfig("edge-0"))
    assert asked(access) == "system:node:edge-0"
    assert status(elsewhere) == {"edge-0": True, "edge-1": True}
    assert status(cluster.directory) == {"node-0": True, "edge-0": True, "edge-1": True}
    shown = run(cluster.directory, "status").stdout
    assert "nodes elsewhere, Ready: 2/2" in shown
    assert not {"ca.key", "sa.key"} & {path.name for path in elsewhere.rglob("*")}
    assert not rundir.kubeconfig.exists()
    assert TOKEN not in "".join(path.read_text() for path in elsewhere.rglob("*.json"))
    with BlockingTransport(access) as transport, pytest.raises(Forbidden):
        BlockingClient(transport).send("GET", kinds.NODES.path())
    assert log_of_a_pod_on(cluster, "edge-0") == "hello\n"

    done(elsewhere, "node", "kill", "edge-1")
    cluster.wait_not_ready("edge-1")
    done(elsewhere, "node", "start", "edge-1")
    done(elsewhere, "down")
    done(elsewhere, "up")
    assert status(elsewhere) == {"edge-0": True, "edge-1": True}
    assert load_kubeconfig(rundir.node_kubeconfig("edge-0")) == access, "the same certificate"

    added = run(elsewhere, "node", "add")
    assert (added.exit_code, added.stderr) == (
        1, "Error: nodes of another cluster join it: `kubeherd join`\n",
    )  # fmt: skip
    assert "stays at https" in run(elsewhere, "node", "rm", "edge-1").stderr
    done(elsewhere, "down", "--purge")
    assert not elsewhere.exists()


async def test_certificates_are_renewed_before_they_end(
    cluster: kubeherd.Cluster, elsewhere: Path
) -> None:
    class Later(LoopClock):
        """When nine tenths of a year are over."""

        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(days=340 if late else 0)

    late = False
    words = [*command(cluster), "--name-prefix", "old"]
    done(elsewhere, *words)
    rundir = RunDir(elsewhere)
    path = rundir.node_kubeconfig("old-0")
    first = load_kubeconfig(path)
    assert timedelta(days=364) < time_left(first.certificate_pem, datetime.now(UTC))
    rotation = Rotation(rundir, lambda: ["old-0"], Later(), Rng(1))
    assert await rotation.advance() == LOOK_INTERVAL_S
    assert load_kubeconfig(path) == first
    late = True
    assert await rotation.advance() == LOOK_INTERVAL_S
    second = load_kubeconfig(path)
    assert second.certificate_pem != first.certificate_pem
    assert second.key_pem != first.key_pem
    assert asked(second) == "system:node:old-0"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def given(cluster: kubeherd.Cluster, **other: str) -> list[str]:
    """The words of a join with something else in it."""
    _, url, _, token, _, ca_hash, *_ = command(cluster)
    facts = {"url": url, "token": token, "hash": ca_hash, "prefix": "x"} | other
    return ["join", facts["url"], "--token", facts["token"], "--ca-hash", facts["hash"],
            "--name-prefix", facts["prefix"]]  # fmt: skip


BAD_JOINS: list[tuple[str, Callable[[kubeherd.Cluster], dict[str, str]], str]] = [
    ("no URL", lambda _: {"url": "localhost:6443"}, "is not of the form https://HOST:PORT"),
    ("no TLS", lambda _: {"url": "http://localhost:6443"}, "is not of the form https://HOST:PORT"),
    ("no host", lambda _: {"url": "https://a_b:1"}, "neither an IP address nor a DNS name"),
    ("no token", lambda _: {"token": "secret-of-mine"}, "--token: a token is six characters"),
    ("no hash", lambda _: {"hash": "sha256:0"}, "is no hash"),
    ("no name", lambda _: {"prefix": "A_"}, '"A_-0" is not a node name'),
    ("nobody there", lambda _: {"url": f"https://127.0.0.1:{free_port()}"},
     "does not answer: Connection refused"),
    ("another address", lambda c: {"url": c.server.replace("127.0.0.1", "127.0.0.2")},
     "does not answer: Connection refused"),
    ("another secret", lambda _: {"token": "abcdef.0000000000000000"},
     "the token abcdef has another secret"),
    ("another cluster", lambda _: {"hash": HASH}, "this is another cluster, or the hash is wrong"),
    ("a name that is taken", lambda _: {"prefix": "node"}, 'has a node "node-0" already'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "why"), [line[1:] for line in BAD_JOINS], ids=[line[0] for line in BAD_JOINS]
)
def test_who_cannot_join_is_told_why_and_leaves_nothing(
    cluster: kubeherd.Cluster,
    elsewhere: Path,
    changed: Callable[[kubeherd.Cluster], dict[str, str]],
    why: str,
) -> None:
    result = run(elsewhere, *given(cluster, **changed(cluster)))
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert why in result.stderr
    assert not {"secret-of-mine", "0000000000000000\n"} & set(result.stderr.split())
    assert not elsewhere.exists()


@pytest.mark.parametrize("ends", ["by its time", "by command"])
def test_a_token_that_has_ended_lets_nobody_join(
    cluster: kubeherd.Cluster, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    monkeypatch.setattr("kubeherd.cluster.launcher.joining.discovery.SIGNATURE_TIMEOUT_S", 0.0)
    words = given(cluster)
    if ends == "by its time":
        token = run(cluster.directory, "token", "create", "--ttl", "1s").stdout.strip()
        words[words.index("--token") + 1] = token
    else:
        token = words[words.index("--token") + 1]
        done(cluster.directory, "token", "delete", token)
        again = run(cluster.directory, "token", "delete", token)
        assert again.stderr == f"Error: there is no token with the ID {token[:6]}\n"

    def is_gone(api: BlockingClient) -> bool:
        info = api.find(kinds.CONFIGMAPS, "kube-public", "cluster-info")
        secret = api.find(kinds.SECRETS, "kube-system", f"bootstrap-token-{token[:6]}")
        return secret is None and token[:6] not in json.dumps(info)

    with BlockingTransport(load_kubeconfig(cluster.kubeconfig)) as transport:
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_gone(BlockingClient(transport)):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
    result = run(elsewhere, *words)
    assert result.exit_code == 1
    assert f"does not know the token {token[:6]}: it is wrong, or its time is over" in result.stderr
    assert not elsewhere.exists()


def test_tokens_are_listed_and_named_once(cluster: kubeherd.Cluster) -> None:
    made = run(cluster.directory, "token", "create", "--ttl", "0", "--description", "lab").stdout
    listed = {
        one["token"]: one
        for one in json.loads(run(cluster.directory, "token", "list", "-o", "json").stdout)
    }
    group = "system:bootstrappers:kubeadm:default-node-token"
    assert listed[made.strip()] == {
        "token": made.strip(), "expires": "", "usages": ["authentication", "signing"],
        "groups": [group], "description": "lab",
    }  # fmt: skip
    left = datetime.fromisoformat(listed[TOKEN]["expires"]) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    assert f"{made.strip()}   <never>" in run(cluster.directory, "token", "list").stdout
    again = run(cluster.directory, "token", "create", TOKEN)
    assert (again.exit_code, again.stderr) == (
        1, "Error: there is a token with the ID abcdef already\n",
    )  # fmt: skip
    assert run(cluster.directory, "token", "create", "--ttl", "-1h").exit_code == 2


def test_a_directory_joins_one_cluster(cluster: kubeherd.Cluster, tmp_path: Path) -> None:
    other = RunDir(tmp_path / "own")
    other.prepare()
    other.save_settings(cluster_settings := RunDir(cluster.directory).load_settings())
    assert not cluster_settings.joined
    result = run(other.root, *given(cluster))
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: {other.root} has a cluster of its own: choose another directory with --dir\n",
    )
