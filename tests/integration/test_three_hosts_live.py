"""A cluster whose nodes are on other hosts, one of which is cut off and comes back."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import threehosts
from kills import netns
from patience import PATIENCE_S
from threehosts import Host

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS, DEPLOYMENTS, NODES, PODS
from kubeherd.cluster.client.http.blocking import BlockingClient, BlockingTransport
from kubeherd.cluster.client.kubeconfig import load_kubeconfig
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir

pytestmark = [pytest.mark.integration]

UNREACHABLE = "node.kubernetes.io/unreachable"


class ControlPlane:
    """The host with the API server, and questions to that, over one connection of that host."""

    def __init__(self, host: Host, transport: BlockingTransport) -> None:
        self._host = host
        self._api = BlockingClient(transport, 5.0)
        self._connected = False

    def send(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        try:
            if self._connected:
                return self._api.send(method, path, body)
            answer = self._host.run(lambda: self._api.send(method, path, body))
        except TransportError:
            self._connected = False
            raise
        self._connected = True
        return answer

    def nodes(self) -> dict[str, JsonObject]:
        return {one["metadata"]["name"]: one for one in self.send("GET", NODES.path())["items"]}

    def pods(self, app: str) -> list[JsonObject]:
        """Those of an app that are not on their way out."""
        return [
            one
            for one in self.send("GET", PODS.path("default"))["items"]
            if one["metadata"]["labels"]["app"] == app
            and "deletionTimestamp" not in one["metadata"]
        ]

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            with contextlib.suppress(TransportError, ApiError):
                if condition():
                    return
            time.sleep(0.2)
        pytest.fail(f"{what}: not within {PATIENCE_S:g} s")


def ready(node: JsonObject) -> tuple[str, str]:
    """What is said of its readiness, and since when."""
    condition = next(one for one in node["status"]["conditions"] if one["type"] == "Ready")
    return condition["status"], condition["lastTransitionTime"]


def runs(pod: JsonObject) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def workload(kind: str, name: str, **spec: object) -> JsonObject:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "containers": [{"name": "c", "image": "app"}],
            "terminationGracePeriodSeconds": 1,
            "tolerations": [
                {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute",
                 "tolerationSeconds": 10}
            ],
        },
    }  # fmt: skip
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host, Host]]:
    if why := netns.impossible():
        pytest.skip(why)
    with threehosts.three_hosts() as made:
        yield made


@pytest.fixture
def cluster(hosts: tuple[Host, Host, Host], tmp_path: Path) -> Iterator[ControlPlane]:
    """The API server on the first host; two nodes on each of the others."""
    first, *others = hosts
    directories = [tmp_path / name for name in ("a", "b", "c")]
    try:
        own, *elsewhere = directories
        first.kubeherd(own, "up", "--nodes", "0", "--store", "memory", "--speed", "20",
                       "--listen", first.address)  # fmt: skip
        printed = first.kubeherd(own, "token", "create", "--print-join-command").split()
        assert printed[2].startswith(f"https://{first.address}:")
        for host, directory in zip(others, elsewhere, strict=True):
            host.kubeherd(directory, *printed[1:], "--nodes", "2", "--name-prefix", directory.name)
        with BlockingTransport(load_kubeconfig(own / "kubeconfig")) as transport:
            yield ControlPlane(first, transport)
    finally:
        for directory in reversed(directories):  # sockets in directories are the same everywhere
            lifecycle.shut_down(RunDir(directory), lambda _state: None)


def test_a_host_that_is_cut_off_loses_its_pods_and_comes_back(
    hosts: tuple[Host, Host, Host], cluster: ControlPlane
) -> None:
    third = hosts[2]
    cluster.send("POST", DAEMONSETS.path("default"), workload("DaemonSet", "everywhere"))
    cluster.send("POST", DEPLOYMENTS.path("default"), workload("Deployment", "some", replicas=4))

    def places(app: str) -> set[str]:
        return {pod["spec"]["nodeName"] for pod in cluster.pods(app) if runs(pod)}

    cluster.until(lambda: places("everywhere") == {"b-0", "b-1", "c-0", "c-1"}, "a pod everywhere")
    cluster.until(lambda: bool(places("some") & {"c-0", "c-1"}), "a pod on the third host")
    cluster.until(lambda: len([*filter(runs, cluster.pods("some"))]) == 4, "all pods run")
    before = cluster.nodes()
    assert {ready(node)[0] for node in before.values()} == {"True"}

    third.cable("down")
    cluster.until(
        lambda: (
            {n: ready(one)[0] for n, one in cluster.nodes().items() if n[0] == "c"}
            == {"c-0": "Unknown", "c-1": "Unknown"}
        ),
        "the nodes of the third host are Unknown",
    )
    cluster.until(
        lambda: all(
            UNREACHABLE in {taint["key"] for taint in one["spec"].get("taints") or ()}
            for name, one in cluster.nodes().items()
            if name[0] == "c"
        ),
        "they are tainted",
    )
    cluster.until(
        lambda: (
            len([*filter(runs, cluster.pods("some"))]) == 4 and not places("some") & {"c-0", "c-1"}
        ),
        "the pods of the Deployment run on the second host",
    )
    assert {pod["spec"]["nodeName"] for pod in cluster.pods("everywhere")} == set(before)
    assert all(ready(one) == ready(before[n]) for n, one in cluster.nodes().items() if n[0] == "b")

    third.cable("up")
    cluster.until(
        lambda: {ready(node)[0] for node in cluster.nodes().values()} == {"True"}, "all are Ready"
    )
    cluster.until(lambda: len(places("everywhere")) == 4, "a pod everywhere again")
    cluster.until(
        lambda: len(cluster.send("GET", PODS.path("default"))["items"]) == 8,
        "the pods that were evicted are gone",
    )
