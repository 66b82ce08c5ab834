"""The node's Lease: the heartbeat that tells the node lifecycle controller "alive".

Source: spec node-lifecycle 1. Invariants: a renewal is a PUT of the last seen object; the Lease is
created only while the Node exists, and owned by it.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from kubeherd.agents.equipment import Hindrance
from kubeherd.cluster.api.errors import ApiError, Conflict, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import LEASES
from kubeherd.cluster.api.timestamps import format_micro_time
from kubeherd.cluster.client.backoff import Backoff
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

NAMESPACE: Final = "kube-node-lease"
DURATION_S: Final = 40
JITTER: Final = 0.04
RENEW_TRIES: Final = 5
RETRY_BASE_S: Final = 0.2
RETRY_CAP_S: Final = 7.0

_log = structlog.get_logger(__name__)


def lease_object(name: str, node_uid: str, renew_time: str) -> JsonObject:
    """A new Lease of a node."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "ownerReferences": [_owner(name, node_uid)],
        },
        "spec": _spec(name, renew_time),
    }


def renewed(lease: JsonObject, name: str, node_uid: str, renew_time: str) -> JsonObject:
    """The Lease with a new renewTime; an owner is filled in only where there is none."""
    metadata = lease["metadata"]
    if not metadata.get("ownerReferences") and node_uid:
        metadata = {**metadata, "ownerReferences": [_owner(name, node_uid)]}
    return {
        **lease,
        "metadata": metadata,
        "spec": {**(lease.get("spec") or {}), **_spec(name, renew_time)},
    }


def _owner(name: str, node_uid: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node_uid}


def _spec(name: str, renew_time: str) -> JsonObject:
    return {
        "holderIdentity": name,
        "leaseDurationSeconds": DURATION_S,
        "renewTime": renew_time,
    }


class LeaseKeeper:
    """Keeps one node's Lease fresh, beat by beat (`agents.node.beat`)."""

    __slots__ = ("_every_s", "_failing", "_lease", "_name", "_new_node", "_node_uid", "_rng",
                 "client", "clock", "hindrance")  # fmt: skip

    def __init__(
        self,
        client: ApiClient,
        name: str,
        clock: Clock,
        rng: Rng,
        *,
        node_uid: Callable[[], str],
        every_s: Callable[[], float],
        new_node: bool,
    ) -> None:
        """`every_s`: how long between two renewals; `new_node`: the Lease cannot exist yet, so no
        GET for it."""
        self.client = client
        self._name = name
        self.clock = clock
        self._rng = rng
        self._node_uid = node_uid
        self._every_s = every_s
        self._new_node = new_node
        self.hindrance: Hindrance | None = None
        self._lease: bytes | None = None
        """As it was last seen, in msgpack: a quarter of the tree, of which there are thousands."""
        self._failing = False

    async def beat(self) -> None:
        """Renew the Lease; at first create it. One that was just created is not renewed at once, as
        upstream."""
        new_node, self._new_node = self._new_node, False
        if new_node and await self._attempt(self._create):
            return
        if self.hindrance is None or not await self.hindrance():
            await self._keep()

    def rests(self) -> bool:
        """Never: a heartbeat is a write."""
        return False

    def interval_s(self) -> float:
        """How long until the next renewal."""
        return self._rng.jittered(self._every_s(), JITTER)

    async def _keep(self) -> None:
        if self._lease is None or not await self._renew():
            await self._ensure()

    async def _renew(self) -> bool:
        for _ in range(RENEW_TRIES):
            if self._lease is None:
                return False
            if await self._attempt(self._put):
                return True
            if self._failing:
                return False
        return False

    async def _ensure(self) -> None:
        """GET or create until there is a Lease, 200 ms doubling to 7 s between tries."""
        backoff = Backoff(self._rng, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S, jitter=0.1)
        while not await self._attempt(self._get_or_create):
            await self.clock.sleep(backoff.next_s())

    async def _attempt(self, action: Callable[[], Awaitable[bool]]) -> bool:
        try:
            done = await action()
        except (ApiError, TransportError) as error:
            if not self._failing and not self.client.unreachable:
                self._failing = True
                _log.warning("lease_failing", node=self._name, error=str(error))
            return False
        if done and self._failing:
            self._failing = False
            _log.info("lease_recovered", node=self._name)
        return done

    async def _put(self) -> bool:
        lease = self._lease
        if lease is None:
            return False
        try:
            tree = renewed(msgspec.msgpack.decode(lease), self._name, self._node_uid(), self._now())
            self._saw(await self.client.update(LEASES, tree))
        except Conflict:
            self._saw(await self.client.request("GET", LEASES.path(NAMESPACE, self._name)))
            return False
        except NotFound:
            self._lease = None
            return False
        return True

    async def _get_or_create(self) -> bool:
        if not self._node_uid():
            return False
        try:
            self._saw(await self.client.request("GET", LEASES.path(NAMESPACE, self._name)))
        except NotFound:
            return await self._create()
        return await self._put()

    async def _create(self) -> bool:
        uid = self._node_uid()
        if not uid:
            return False
        lease = lease_object(self._name, uid, self._now())
        self._saw(await self.client.create(LEASES, lease))
        return True

    def _saw(self, lease: JsonObject) -> None:
        self._lease = msgspec.msgpack.encode(lease)

    def _now(self) -> str:
        return format_micro_time(self.clock.now())
