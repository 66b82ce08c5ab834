"""A node's registration with the API server, once per agent process (spec node-lifecycle 2.1).

POST; if the Node exists already it is taken over: its addresses and boot id are kept, labels and
annotations that the agent owns are put right. Invariant: after success nothing here is called
again, so a Node deleted later is not re-created until the agent restarts.
"""

import hashlib
import uuid
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
import structlog

from kubeherd.agents.node import addresses
from kubeherd.agents.node import nodestatus as node
from kubeherd.agents.node.nodestatus import CIDR_ANNOTATION, NodeConfig, NodeIdentity
from kubeherd.cluster.api.errors import AlreadyExists, ApiError, Forbidden, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import NODES
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.client.backoff import Backoff
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

RETRY_BASE_S: Final = 0.1
RETRY_CAP_S: Final = 7.0

StatusOf = Callable[[NodeIdentity], JsonObject]

_log = structlog.get_logger(__name__)


class Registered(NamedTuple):
    """What registration found out."""

    identity: NodeIdentity
    uid: str
    created: bool
    rebooted: bool
    """The Node knew another boot id: its containers are gone."""


class Registrar:
    """Registers nodes; one per process, so that nodes of a fleet never claim the same index."""

    def __init__(self, clock: Clock, rng: Rng) -> None:
        self._clock = clock
        self._rng = rng
        self._taken: dict[str, int] = {}
        """The index of each node, ..."""
        self._indexes: set[int] = set()
        """... and all of them."""

    async def register(
        self, client: ApiClient, config: NodeConfig, *, reboot: bool, status_of: StatusOf
    ) -> tuple[Registered, JsonObject]:
        """Try until it works, 100 ms doubling to 7 s between tries. Returns the Node, too, as the
        API server has it; it is large, nobody should keep it."""
        backoff = Backoff(self._rng, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S, jitter=0.1)
        failing = False
        while True:
            try:
                return await self._try(client, config, reboot=reboot, status_of=status_of)
            except (ApiError, TransportError) as error:
                if not failing and not client.unreachable:
                    failing = True
                    _log.warning("registration_failing", node=config.name, error=str(error))
                await self._clock.sleep(backoff.next_s())

    async def _try(
        self, client: ApiClient, config: NodeConfig, *, reboot: bool, status_of: StatusOf
    ) -> tuple[Registered, JsonObject]:
        index = await self._claim(client, config)
        identity = NodeIdentity(
            pod_cidr=config.annotations.get(CIDR_ANNOTATION) or addresses.pod_cidr(index),
            ip=config.kubelet.address if config.kubelet else addresses.node_ip(index),
            boot_id=self._rng.uuid4(),
        )
        tree = node.node_object(config, identity, status_of(identity))
        try:
            stored = await client.create(NODES, tree)
        except (AlreadyExists, Forbidden) as error:
            try:
                existing = await client.request("GET", NODES.path(name=config.name))
            except NotFound:
                raise error from None
            return await self._take_over(client, config, identity, existing, reboot=reboot)
        return Registered(identity, str(stored["metadata"]["uid"]), True, False), stored

    async def _claim(self, client: ApiClient, config: NodeConfig) -> int:
        name = config.name
        if name in self._taken:
            return self._taken[name]
        others = set() if addresses.is_numbered(name) else await self._others(client, name)
        index = addresses.index_for(name, self._indexes | others if others else self._indexes)
        self._taken[name] = index
        self._indexes.add(index)
        return index

    async def _others(self, client: ApiClient, name: str) -> set[int]:
        """The indexes of the other nodes; none if this identity may not list nodes."""
        try:
            listed = await client.list(NODES, PartialObject)
        except Forbidden:
            return set()
        found = (
            addresses.index_of(item.metadata.annotations.get(CIDR_ANNOTATION, ""))
            for item in listed.items
            if item.metadata.name != name
        )
        return {index for index in found if index is not None}

    async def _take_over(
        self,
        client: ApiClient,
        config: NodeConfig,
        fresh: NodeIdentity,
        existing: JsonObject,
        *,
        reboot: bool,
    ) -> tuple[Registered, JsonObject]:
        metadata = existing["metadata"]
        identity = adopted_identity(existing, fresh, reboot=reboot)
        if config.kubelet:
            identity = msgspec.structs.replace(identity, ip=config.kubelet.address)
        known_boot = _boot_id(existing)
        patch = node.reconcile_patch(
            config,
            identity,
            metadata.get("labels") or {},
            metadata.get("annotations") or {},
        )
        if patch:
            existing = await client.patch(
                NODES, config.name, {"metadata": patch}, subresource="status"
            )
            _log.info("node_reconciled", node=config.name, changed=sorted(patch))
        rebooted = bool(known_boot) and known_boot != identity.boot_id
        return Registered(identity, str(metadata["uid"]), False, rebooted), existing


def adopted_identity(existing: JsonObject, fresh: NodeIdentity, *, reboot: bool) -> NodeIdentity:
    """The identity of a node that exists already: its range, IP and boot stay where it has them."""
    metadata = existing["metadata"]
    spec = existing.get("spec") or {}
    status = existing.get("status") or {}
    cidr = spec.get("podCIDR") or (metadata.get("annotations") or {}).get(CIDR_ANNOTATION)
    ips = [a["address"] for a in status.get("addresses") or () if a.get("type") == "InternalIP"]
    boot_id = _boot_id(existing)
    if boot_id and reboot:
        # Made from the one before: a seeded Rng gives the same first boot id in every life.
        boot_id = str(uuid.UUID(bytes=hashlib.sha256(boot_id.encode()).digest()[:16], version=4))
    return NodeIdentity(
        pod_cidr=str(cidr or fresh.pod_cidr),
        ip=str(ips[0]) if ips else fresh.ip,
        boot_id=boot_id or fresh.boot_id,
    )


def _boot_id(existing: JsonObject) -> str:
    info = (existing.get("status") or {}).get("nodeInfo") or {}
    return str(info.get("bootID") or "")
