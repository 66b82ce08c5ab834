"""A client that speaks SPDY/3.1, as a `Socket` or by the bytes it sends."""

import asyncio
import struct
import zlib

from kubeherd.cluster.apiserver.streams import spdy

FIN = 1


class Peer:
    """A client that opens streams, and its end of the connection."""

    def __init__(self) -> None:
        self._compress = zlib.compressobj(zdict=spdy.DICTIONARY)
        self.says: list[bytes] = []
        self.heard = bytearray()
        self.closed = False

    def opens(self, stream: int, *, fin: bool = False, **headers: str) -> bytes:
        block = struct.pack(">I", len(headers))
        for text in (text for pair in headers.items() for text in pair):
            block += struct.pack(">I", len(text)) + text.encode()
        packed = self._compress.compress(block) + self._compress.flush(zlib.Z_SYNC_FLUSH)
        payload = struct.pack(">IIH", stream, 0, 0) + packed
        return struct.pack(">HHI", 0x8003, 1, fin << 24 | len(payload)) + payload

    def connects(self, number: int, port: str) -> bytes:
        """The two streams of one connection: kubectl writes nothing on the one for errors."""
        error, data, request = 4 * number + 1, 4 * number + 3, str(number)
        return self.opens(
            error, fin=True, streamtype="error", port=port, requestid=request
        ) + self.opens(data, streamtype="data", port=port, requestid=request)

    async def send(self, data: bytes | str) -> None:
        assert isinstance(data, bytes)
        self.heard += data

    async def receive(self) -> bytes | None:
        """What is said, one after the other; goes when it was answered, which needs no wait."""
        if self.says:
            return self.says.pop(0)
        for _ in range(20):
            await asyncio.sleep(0)
        return None

    async def close(self, last: bytes | str | None = None) -> None:
        if last is not None:
            await self.send(last)
        self.closed = True


def data_frame(stream: int, data: bytes, *, fin: bool = False) -> bytes:
    return struct.pack(">II", stream, fin << 24 | len(data)) + data
