"""Keeps a node's mirror pods in the API: made where missing, made again when somebody deletes them.

Source: spec node-lifecycle 17. Imported by nodes with a manifest path only.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
import yaml

from kubeherd.agents.pods.staticpods import NoPod, is_mirror_of, mirror_pod, static_pod
from kubeherd.cluster.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.client.backoff import Backoff
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

RETRY_BASE_S = 1.0
RETRY_CAP_S = 60.0
AGAIN_S: Final = 3.0
"""So long the name of a mirror pod that is gone stays free. Decision: Kubernetes makes the next one
at once; then an older kubectl (1.32, say), which looks every 0.1 real seconds whether there is a
pod of this name, waits for ever. Enough for that at the speed 10 of tests, too."""

_log = structlog.get_logger(__name__)


def read_manifests(directory: Path, node: str, seen: str) -> list[JsonObject]:
    """The static pods of a directory; what is no pod is logged and left out, as a kubelet does."""
    pods = []
    for path in sorted(directory.glob("*.yaml")):
        try:
            manifest = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
            pods.append(static_pod(manifest, node, str(path), seen))
        except (OSError, yaml.YAMLError, NoPod) as error:
            _log.error("static_pod_unusable", file=str(path), error=str(error))
    return pods


class MirrorPods:
    """The mirror pods of one node."""

    def __init__(
        self,
        client: ApiClient,
        pods: Sequence[JsonObject],
        node_uid: Callable[[], str],
        *,
        seen: Callable[[str, str], Pod | None],
        clock: Clock,
        rng: Rng,
    ) -> None:
        """`seen(namespace, name)`: the node's pods as far as the watch knows them."""
        self.client = client
        self._pods = pods
        self._node_uid = node_uid
        self._seen = seen
        self._clock = clock
        self._backoff = Backoff(rng, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S)
        self._names = {(p["metadata"]["namespace"], p["metadata"]["name"]) for p in pods}
        self._changed = asyncio.Event()
        self._gone = False

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """What the watch says; pods of other nodes and names do not matter."""
        pod = new or old
        if pod is not None and (pod.metadata.namespace, pod.metadata.name) in self._names:
            self._gone |= new is None
            self._changed.set()

    def look_again(self) -> None:
        """Anything may have changed."""
        self._changed.set()

    async def run(self) -> None:
        """Look at the start and after every change, until cancelled."""
        while True:
            while self._gone:
                self._gone = False
                await self._clock.sleep(AGAIN_S)
            self._changed.clear()
            try:
                for pod in self._pods:
                    await self._reconcile(pod)
            except (ApiError, TransportError) as error:
                _log.warning("mirror_pod_failing", error=str(error))
                await self._clock.sleep(self._backoff.next_s())
                continue
            self._backoff.reset()
            await self._changed.wait()

    async def _reconcile(self, pod: JsonObject) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        known = self._seen(namespace, name)
        if known is None:
            if node_uid := self._node_uid():
                with suppress(AlreadyExists):  # the watch is behind
                    await self.client.create(PODS, mirror_pod(pod, node_uid))
        elif known.metadata.deletion_timestamp is not None or not is_mirror_of(
            known.metadata.annotations, pod
        ):
            uid = known.metadata.uid
            with suppress(NotFound, Conflict):
                await self.client.delete(PODS, name, namespace, grace_period_s=0, uid=uid)
