"""Compaction of etcd, by whichever of the servers that share it is the first to want it.

Source: apiserver/pkg/storage/etcd3/compact.go v1.36, with which it gets along: all take turns by
the version of one key, so a real API server counts as one of them. Who wants it later than another
leaves it be, and learns from the key whose turn comes next.
"""

from contextlib import suppress

from kubeherd.cluster.store.etcd import messages
from kubeherd.cluster.store.etcd.client import EtcdClient
from kubeherd.cluster.store.etcd.member import Call
from kubeherd.cluster.store.etcd.messages import rpc
from kubeherd.cluster.store.sharedengine import Compacted

KEY = b"compact_rev_key"
"""Its value is the revision of the newest compaction, in digits."""


class Compactor:
    """One of those who take turns."""

    def __init__(self, client: EtcdClient) -> None:
        self._client = client
        self._turn = 0

    async def compact(self, revision: int) -> bool:
        """Compact up to `revision`, if it is our turn; whether it was. StoreError."""
        our_turn = rpc.Compare(key=KEY, target=messages.VERSION, version=self._turn)
        request = rpc.TxnRequest(
            compare=[our_turn],
            success=[rpc.RequestOp(request_put=rpc.PutRequest(key=KEY, value=b"%d" % revision))],
            failure=[rpc.RequestOp(request_range=rpc.RangeRequest(key=KEY))],
        )
        answer = await self._client.ask(Call.TXN, request)
        if not answer.succeeded:
            found = answer.responses[0].response_range.kvs
            self._turn = found[0].version if found else 0
            return False
        self._turn += 1
        with suppress(Compacted):  # somebody else went further, in another way
            await self._client.ask(Call.COMPACT, rpc.CompactionRequest(revision=revision))
        return True
