"""`kubeherd record` and `replay` with the real kubectl: what was recorded is what it shows."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kubectl_runner import NEEDS_KUBECTL, Kubectl
from liveherd import Herd
from patience import PATIENCE_S

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import from_kubeconfig
from kubeherd.cluster.launcher.control import Op
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.faults import Nodes
from kubeherd.history import FaultBegan, Process, Write
from kubeherd.history.files import read

pytestmark = NEEDS_KUBECTL

COLLECTIONS = [
    "/api/v1/pods",
    "/api/v1/nodes",
    "/apis/apps/v1/daemonsets",
    "/apis/apps/v1/controllerrevisions",
    "/apis/example.com/v1/widgets",
]
WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Cluster
  names: {kind: Widget, plural: widgets}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
"""
WIDGET = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: "


async def shown(client: ApiClient, **query: str) -> list[JsonObject]:
    """All objects of some collections, but for who owns their fields: watching does not tell."""
    lists = [await client.request("GET", path, query=query) for path in COLLECTIONS]
    items: list[JsonObject] = [item for one in lists for item in one["items"]]
    for item in items:
        item["metadata"].pop("managedFields", None)
    return items


async def shown_by(kubeconfig: Path) -> list[JsonObject]:
    transport = from_kubeconfig(kubeconfig)
    try:
        return await shown(ApiClient(transport, LoopClock()))
    finally:
        await transport.close()


@contextmanager
def command(
    *arguments: str, says: str, until: signal.Signals = signal.SIGINT
) -> Iterator["subprocess.Popen[str]"]:
    """A command of ours that runs until the block is left, then the signal, Ctrl-C if nothing else
    is said; it has said `says` before."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kubeherd", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )
    assert process.stdout is not None
    said = ""
    try:
        while says not in said:
            line = process.stdout.readline()
            assert line, f"{arguments} ended: {said}"
            said += line
        yield process
        process.send_signal(until)
        rest, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said + rest
    finally:
        process.kill()
        process.communicate()


def failure_of(*arguments: str) -> str:
    """What a command of ours says that fails."""
    command = [sys.executable, "-m", "kubeherd", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    return done.stderr


def has_widget(history: Path, name: str) -> bool:
    writes = (one for one in read(history) if isinstance(one, Write))
    return any((one.resource, one.name) == ("widgets.example.com", name) for one in writes)


@contextmanager
def replayed(
    history: Path, place: Path, *options: str, until: signal.Signals = signal.SIGINT
) -> Iterator[Kubectl]:
    arguments = ("replay", str(history), "--dir", str(place), *options)
    with command(*arguments, says="Ctrl-C ends it", until=until):
        yield Kubectl(place / "kubeconfig")
    assert not place.exists()


@pytest.mark.kubeherd(nodes=2, record="writes")
async def test_a_run_is_shown_as_it_was(
    herd: Herd, daemonset: Callable[..., JsonObject], tmp_path: Path
) -> None:
    outside, place = tmp_path / "outside.jsonl.gz", tmp_path / "replay"
    live = Kubectl(herd.kubeconfig)
    with command("record", str(outside), "--dir", str(herd.handle.rundir.root), says="recording"):
        live.done("apply -f -", stdin=WIDGETS)
        live.done("wait --for=condition=Established crd/widgets.example.com")
        live.done("create -f -", stdin=WIDGET + "first}")
        await herd.apply(daemonset("web"))
        await herd.until_running("web", "node-0", "node-1")
        middle = str(
            (await herd.client.request("GET", "/api/v1/pods"))["metadata"]["resourceVersion"]
        )
        before = await shown(herd.client, resourceVersion=middle, resourceVersionMatch="Exact")
        await herd.set_image("web", "app:2")
        await herd.until_running("web", "node-0", "node-1")
        await herd.node(Op.NODE_KILL, "node-1")
        version = "-o jsonpath={.metadata.resourceVersion}"
        last = live.done(f"create -f - {version}", stdin=WIDGET + "last}")
        after = await shown(herd.client, resourceVersion=last, resourceVersionMatch="Exact")
        async with asyncio.timeout(PATIENCE_S):
            while not has_widget(outside, "last"):  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.1)

    own = herd.handle.rundir.history
    with replayed(own, place, "--at", middle) as kubectl:
        assert await shown_by(place / "kubeconfig") == before
        refused = kubectl.ends(1, "delete pod --all")
        assert "(MethodNotAllowed): this is a replay of history.jsonl: read only" in refused
        pod = kubectl.done("get pods -o name").split()[0]
        assert "nothing runs in its pods" in kubectl.ends(1, f"logs {pod}")
        assert "1         <none>" in kubectl.done("rollout history daemonset/web")
    with replayed(outside, place, "--at", last, until=signal.SIGHUP) as kubectl:
        assert await shown_by(place / "kubeconfig") == after
        assert "web-" in kubectl.done("describe node node-1")
    with replayed(own, place, "--at", middle, "--speed", "20", until=signal.SIGTERM) as kubectl:
        done = kubectl.done(
            "wait daemonset/web --for=jsonpath={.status.observedGeneration}=2 --timeout=60s"
        )
        assert "condition met" in done

    said = failure_of("replay", str(own), "--at", "1000000")
    assert re.fullmatch(r"Error: cannot replay: .*history\.jsonl ends with revision \d+\n", said)

    told = list(read(herd.handle.rundir.supervisor_history))
    targets = [one.fault.target for one in told if isinstance(one, FaultBegan)]
    assert targets == [Nodes(("node-1",))]
    assert [one.name for one in told if isinstance(one, Process) and one.why == "down"] == [
        "node-1"
    ]
