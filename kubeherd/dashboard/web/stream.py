"""Server-sent events: the state, and from then on what changes, compressed if the browser can."""

import asyncio
import zlib
from collections.abc import Mapping
from typing import Final

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from kubeherd.dashboard.feed import Feed

LOOK_S: Final = 0.1
"""How often it is looked whether something has changed."""
_BEATS_S: Final = 1.0
"""How often heartbeats are told if nothing else happens."""
_SILENCE_S: Final = 15.0
_WRITE_TIMEOUT_S: Final = 30.0
_GZIP: Final = 31
_LEVEL: Final = 5


async def serve(request: BaseRequest, feed: Feed, headers: Mapping[str, str]) -> StreamResponse:
    """Tell one browser of the feed until it goes away, does not read, or this is cancelled."""
    zipped = "gzip" in request.headers.get("Accept-Encoding", "")
    answer = StreamResponse(headers={**headers, "Content-Type": "text/event-stream"})
    if zipped:
        answer.headers["Content-Encoding"] = "gzip"
    await answer.prepare(request)
    out = _Out(answer, zipped=zipped)
    try:
        await _tell(feed, out)
    except (OSError, TimeoutError):  # it has gone
        request.protocol.force_close()
    return answer


class _Out:
    """Writes events to one browser; OSError, TimeoutError when it does not take them."""

    def __init__(self, answer: StreamResponse, *, zipped: bool) -> None:
        self._answer = answer
        self._zip = zlib.compressobj(_LEVEL, wbits=_GZIP) if zipped else None

    async def write(self, text: bytes) -> None:
        if self._zip is not None:
            text = self._zip.compress(text) + self._zip.flush(zlib.Z_SYNC_FLUSH)
        async with asyncio.timeout(_WRITE_TIMEOUT_S):
            await self._answer.write(text)

    async def event(self, name: str, sequence: int, data: bytes) -> None:
        await self.write(b"event: %s\nid: %d\ndata: %s\n\n" % (name.encode(), sequence, data))


async def _tell(feed: Feed, out: _Out) -> None:
    loop = asyncio.get_running_loop()
    state, seen = feed.state(), feed.seen()
    await out.event("state", state.sequence, feed.encode(state))
    told_s = loop.time()
    while True:
        await asyncio.sleep(LOOK_S)
        silent_s = loop.time() - told_s
        if feed.differs(seen) or (silent_s >= _BEATS_S and feed.beats(seen)):
            change, seen = feed.change(seen), feed.seen()
            if change is None:
                state = feed.state()
                await out.event("state", state.sequence, feed.encode(state))
            else:
                await out.event("change", change.sequence, feed.encode(change))
        elif silent_s >= _SILENCE_S:
            await out.write(b": nothing new\n\n")
        else:
            continue
        told_s = loop.time()
