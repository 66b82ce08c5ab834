"""Leases of objects that go by themselves: one for many, because each costs etcd a good deal.

Source: apiserver/pkg/storage/etcd3/lease_manager.go v1.36. A lease lives a little longer than is
asked for, and serves all who want about the same time until that little is used up.
"""

import asyncio

from kubeherd.cluster.store.etcd.client import EtcdClient
from kubeherd.cluster.store.etcd.member import Call
from kubeherd.cluster.store.etcd.messages import rpc

REUSED_S = 60
REUSED_PART = 0.05
"""A lease is used for so long at the most, and for this part of its time."""

MAX_OBJECTS = 1000


class Leases:
    """Keeps the newest lease, because those who want one all want the same time."""

    def __init__(self, client: EtcdClient) -> None:
        self._client = client
        self._granting = asyncio.Lock()
        self._lease_id = 0
        self._ends_s = 0.0
        self._objects = 0

    async def lease(self, ttl_s: int) -> int:
        """The id of a lease that ends in `ttl_s` real seconds or up to 5 % later. StoreError."""
        async with self._granting:
            now_s = asyncio.get_running_loop().time()
            spare_s = min(int(REUSED_PART * ttl_s), REUSED_S)
            self._objects += 1
            fits = now_s + ttl_s < self._ends_s < now_s + ttl_s + spare_s
            if not fits or self._objects > MAX_OBJECTS:
                request = rpc.LeaseGrantRequest(TTL=ttl_s + spare_s)
                answer = await self._client.ask(Call.GRANT, request)
                self._lease_id, self._objects = answer.ID, 1
                self._ends_s = now_s + ttl_s + spare_s
            return self._lease_id

    def forget(self) -> None:
        """etcd does not know the newest one any more."""
        self._ends_s = 0.0
