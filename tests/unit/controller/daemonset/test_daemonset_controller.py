"""The shell: one sync against a scripted server, caches filled by hand (spec sections 1 to 3)."""

from typing import TypeVar

import msgspec
import pytest
from daemonset_world import EPOCH, daemonset, nodes, pod
from scripted_transport import Answer, ScriptedTransport

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS, NODES, PODS
from kubeherd.cluster.api.objects import DaemonSet, DaemonSetStatus, Node, Pod
from kubeherd.cluster.client.cache import HasMetadata
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.daemonset.controller import DaemonSetController
from kubeherd.controller.daemonset.status import WRITE_INTERVAL_S
from kubeherd.controller.informers import Informers
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import ReconcileError
from kubeherd.simulation.virtualtime import VirtualClock

KEY = ("ns", "ds")

T = TypeVar("T", bound=HasMetadata)


class Shell:
    """A controller whose caches the test fills and whose server it scripts."""

    def __init__(self) -> None:
        self.create_error: Exception | None = None
        self.status_error: Exception | None = None
        self.creates_allowed = 1000
        self.created = 0
        self.statuses: list[JsonObject] = []
        transport = ScriptedTransport(self.answer)
        clock, rng = VirtualClock(EPOCH), Rng(1)
        client = ApiClient(transport, clock, private_features=False)
        context = Context(client, clock, rng, Informers(client, clock, rng), "host")
        self.transport = transport
        self.controller = DaemonSetController(context)
        self.daemonsets = context.informers.get(DAEMONSETS, DaemonSet)
        self.pods = context.informers.get(PODS, Pod)
        self.nodes = context.informers.get(NODES, Node)

    def answer(self, method: str, path: str, body: JsonObject) -> Answer:
        if method == "POST" and path.endswith("/pods"):
            return self._pod_created(body)
        if path.endswith("/status"):
            if self.status_error is None:
                self.statuses.append(body["status"])
            return self.status_error or body
        if "controllerrevisions" in path:
            return {"kind": "ControllerRevision", "metadata": {"resourceVersion": "0"}}
        if method == "GET":
            return {"metadata": {"name": "ds", "namespace": "ns", "uid": "ds-uid"}}
        return body

    def _pod_created(self, body: JsonObject) -> Answer:
        if self.create_error is not None and self.created >= self.creates_allowed:
            return self.create_error
        self.created += 1
        name = f"p{self.created}"
        labels = body["metadata"]["labels"]
        terms = body["spec"]["affinity"]["nodeAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]["nodeSelectorTerms"]
        node_name = terms[0]["matchFields"][0]["values"][0]
        made = pod(name, node_name, labels=labels, resource_version=str(self.created))
        change(self.pods, made)
        return {"kind": "Pod", "metadata": {"name": name, "resourceVersion": str(self.created)}}

    async def sync(self) -> float | None:
        return await self.controller.sync(KEY)

    @property
    def status(self) -> DaemonSetStatus:
        """What was written last."""
        return msgspec.convert(self.statuses[-1], DaemonSetStatus)


def ready(found: Pod) -> Pod:
    """The pod, ready."""
    name, where, labels = found.metadata.name, found.spec.node_name, found.metadata.labels
    version = found.metadata.resource_version
    return pod(name, where, ready=True, labels=labels, resource_version=version)


def change(reflector: Reflector[T], obj: T) -> None:
    """An object arrives by watch."""
    reflector._there(obj)
    revision = obj.metadata.resource_version
    reflector._advance(int(revision or 0))


@pytest.fixture
def shell() -> Shell:
    made = Shell()
    change(made.daemonsets, daemonset())
    for found in nodes(20):
        change(made.nodes, found)
    return made


async def test_a_sync_creates_pods_and_counts_them(shell: Shell) -> None:
    await shell.sync()
    assert shell.created == 20
    assert shell.statuses[-1]["currentNumberScheduled"] == 20
    assert shell.statuses[-1]["observedGeneration"] == 1


async def test_the_status_is_written_even_when_pods_cannot_be_created(shell: Shell) -> None:
    shell.create_error = errors.forbidden(PODS, "p", "exceeded quota")
    shell.creates_allowed = 10
    with pytest.raises(ReconcileError, match="exceeded quota"):
        await shell.sync()
    status = shell.statuses[-1]
    assert (status["desiredNumberScheduled"], status["currentNumberScheduled"]) == (20, 10)
    assert status["updatedNumberScheduled"] == 10


async def test_numbers_alone_may_wait_but_the_end_of_a_rollout_is_told_at_once(
    shell: Shell,
) -> None:
    await shell.sync()
    change(shell.daemonsets, msgspec.structs.replace(daemonset(), status=shell.status))
    pods = list(shell.pods.cache.values())
    change(shell.pods, ready(pods[0]))
    written = len(shell.statuses)
    again_s = await shell.sync()
    assert again_s is not None
    assert 0 < again_s <= WRITE_INTERVAL_S
    assert len(shell.statuses) == written
    for one in pods[1:]:
        change(shell.pods, ready(one))
    assert await shell.sync() is None
    assert len(shell.statuses) == written + 1
    assert shell.statuses[-1]["numberAvailable"] == 20


async def test_what_could_not_be_done_is_told_at_once(shell: Shell) -> None:
    await shell.sync()
    change(shell.daemonsets, msgspec.structs.replace(daemonset(), status=shell.status))
    shell.create_error = errors.forbidden(PODS, "p", "exceeded quota")
    shell.creates_allowed = 20
    for found in nodes(22)[20:]:
        change(shell.nodes, found)
    with pytest.raises(ReconcileError, match="exceeded quota"):
        await shell.sync()
    assert shell.statuses[-1]["desiredNumberScheduled"] == 22


async def test_failed_creates_are_not_waited_for(shell: Shell) -> None:
    shell.create_error = errors.InternalError("boom")
    shell.creates_allowed = 0
    for _ in range(2):
        with pytest.raises(ReconcileError, match="boom"):
            await shell.sync()
    assert shell.transport.methods("/api/v1/namespaces/ns/pods") == ["POST", "POST"]


async def test_errors_of_sync_and_status(shell: Shell) -> None:
    shell.status_error = errors.Conflict("status boom")
    with pytest.raises(ReconcileError, match=r"^error storing status"):
        await shell.sync()
    shell.create_error = errors.InternalError("pod boom")
    shell.creates_allowed = 20
    change(shell.nodes, nodes(21)[20])
    with pytest.raises(ReconcileError, match=r"^pod boom; error storing status"):
        await shell.sync()
    shell.create_error = shell.status_error = None
    await shell.sync()


async def test_a_deleted_daemonset_is_looked_at_once_more(shell: Shell) -> None:
    await shell.sync()
    shell.daemonsets._gone(daemonset())
    assert await shell.sync() is None
    assert await shell.controller._queue.get() == KEY


async def test_a_recreated_daemonset_starts_clean(shell: Shell) -> None:
    await shell.sync()
    change(shell.daemonsets, daemonset(uid="other"))
    await shell.sync()
    assert shell.created == 40
