"""What the commands of faults ask of the cluster's API server, as the cluster's administrator."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.kinds import NODES, PODS
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.cli.api import client_of
from kubeherd.cluster.cli.eventloop import run
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults.chaosmesh import Deletion
from kubeherd.cluster.launcher.faults.chaosmeshselectors import PodKey, PodSeen, Seen

T = TypeVar("T")

TIMEOUT_S = 30.0


def nodes_with(rundir: RunDir, selector: str) -> set[str]:
    """The names of the Nodes with these labels; ApiError for a selector that is none."""

    async def read() -> set[str]:
        async with client_of(rundir) as client:
            listed = await client.list(NODES, Node, label_selector=selector)
        return {node.metadata.name for node in listed.items}

    return _answered(read)


def seen(rundir: RunDir) -> Seen:
    """The nodes and the pods that have one, for those who select among them."""

    async def read() -> Seen:
        async with client_of(rundir) as client:
            nodes = await client.list(NODES, Node)
            pods = await client.list(PODS, Pod)
        return Seen(
            nodes={node.metadata.name: node.metadata.labels for node in nodes.items},
            pods=[_pod(pod) for pod in pods.items if pod.spec.node_name],
        )

    return _answered(read)


def delete_pods(rundir: RunDir, deletions: Sequence[Deletion]) -> None:
    """Delete pods; those that are gone already are no error."""

    async def delete() -> None:
        async with client_of(rundir) as client:
            for one in deletions:
                with contextlib.suppress(NotFound):
                    await client.delete(
                        PODS, one.pod.name, one.pod.namespace, grace_period_s=one.grace_period_s
                    )

    _answered(delete)


def _pod(pod: Pod) -> PodSeen:
    return PodSeen(
        key=PodKey(pod.metadata.namespace, pod.metadata.name),
        node=pod.spec.node_name,
        phase=pod.status.phase,
        labels=pod.metadata.labels,
        annotations=pod.metadata.annotations,
        containers=tuple(container.name for container in pod.spec.containers),
    )


def _answered(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    async def in_time() -> T:
        async with asyncio.timeout(TIMEOUT_S):
            return await ask()

    try:
        return run(in_time)
    except TimeoutError:
        raise LauncherError("the API server did not answer in time") from None
