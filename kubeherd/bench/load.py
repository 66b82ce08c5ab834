"""A load generator that costs far less than the server it measures; one JSON line.

    python -m kubeherd.bench.load --kubeconfig FILE --mode get|post|list [--connections 32]

Speaks HTTP/1.1 over TLS by hand: requests are encoded beforehand, answers are only counted (status
and length are read, bodies are not). `depth` requests are under way on each connection, so that the
server always has work. The line has `requests`, `errors`, `seconds` and this process's `cpu_s`.
"""

import argparse
import asyncio
import json
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import count, islice, repeat
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

from kubeherd.cluster.client.http.tls import tls_context
from kubeherd.cluster.client.kubeconfig import load_kubeconfig

ITEMS_PATH = "/api/v1/namespaces/default/configmaps"
PAYLOAD = "x" * 850
_LENGTH = b"Content-Length: "
_END = b"\r\n\r\n"


class Load(asyncio.Protocol):
    """One connection that, once started, keeps `depth` requests under way until it is stopped."""

    def __init__(self, requests: Iterator[bytes], expected: bytes) -> None:
        self.answers = 0
        self.errors = 0
        self.ended = asyncio.Event()
        self._running = True
        self._requests = requests
        self._expected = expected
        self._under_way = 0
        self._buffer = b""
        self._skip = 0  # bytes of the current body that are still to come
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _: Exception | None) -> None:
        """A connection lasts as long as the measurement, or it is an error."""
        self.errors += not self.ended.is_set()
        self.ended.set()

    def start(self, depth: int) -> None:
        """Send the first requests."""
        self._send(depth)

    def stop(self) -> None:
        """Send no more; `ended` is set when all answers are there."""
        self._running = False

    def data_received(self, data: bytes) -> None:
        """Count the answers that are complete, and send as many requests."""
        if self._skip >= len(data):
            self._skip -= len(data)
            answered = 1 if self._skip == 0 else 0
        else:
            answered = 1 if self._skip else 0
            answered += self._heads(self._buffer + data[self._skip :])
        if answered:
            self.answers += answered
            self._under_way -= answered
            self._send(answered)

    def _send(self, number: int) -> None:
        requests = list(islice(self._requests, number)) if self._running else []
        self._under_way += len(requests)
        if requests:
            self._transport.write(b"".join(requests))
        elif not self._under_way:
            self.ended.set()

    def _heads(self, data: bytes) -> int:
        """Go over answers in `data`; returns how many are complete."""
        complete, at = 0, 0
        self._buffer, self._skip = b"", 0
        while at < len(data):
            end = data.find(_END, at)
            if end < 0:
                self._buffer = data[at:]
                return complete
            if not data.startswith(self._expected, at):
                self.errors += 1
            start = data.index(_LENGTH, at, end) + len(_LENGTH)
            body_end = end + len(_END) + int(data[start : data.index(b"\r\n", start)])
            if body_end > len(data):
                self._skip = body_end - len(data)
                return complete
            complete, at = complete + 1, body_end
        return complete


def gets(host: str, first: int) -> Iterator[bytes]:
    """GET of one object, for ever."""
    path = f"{ITEMS_PATH}/item-{first}"
    return repeat(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode())


def lists(host: str, _: int) -> Iterator[bytes]:
    """GET of the collection, for ever."""
    return repeat(f"GET {ITEMS_PATH} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode())


def posts(host: str, first: int) -> Iterator[bytes]:
    """POST of new objects of 1 KB, for ever."""
    head = (
        f"POST {ITEMS_PATH} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: load/1\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    )
    for number in count(first):
        body = json.dumps({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"item-{number}"},
            "data": {"payload": PAYLOAD},
        })  # fmt: skip
        yield f"{head}{len(body)}\r\n\r\n{body}".encode()


MODES = {
    "get": (gets, b"HTTP/1.1 200"),
    "list": (lists, b"HTTP/1.1 200"),
    "post": (posts, b"HTTP/1.1 201"),
}


async def run(options: argparse.Namespace) -> dict[str, float]:
    """Load the server for a while."""
    access = load_kubeconfig(options.kubeconfig)
    context: ssl.SSLContext = tls_context(access)
    url = urlsplit(access.server)
    make, expected = MODES[options.mode]
    requests = islice(make(url.netloc, options.first), options.requests or None)
    host, port = url.hostname or "", url.port or 443
    loop = asyncio.get_running_loop()
    loads = []
    for _ in range(options.connections):
        make_load = partial(Load, requests, expected)
        _, load = await loop.create_connection(make_load, host, port, ssl=context)
        loads.append(load)
    began_s, cpu_s = time.monotonic(), time.process_time()
    for load in loads:
        load.start(options.depth)
    with suppress(TimeoutError):
        async with asyncio.timeout(None if options.requests else options.seconds):
            await asyncio.gather(*(load.ended.wait() for load in loads))
    result = {
        "requests": sum(load.answers for load in loads),
        "errors": sum(load.errors for load in loads),
        "seconds": time.monotonic() - began_s,
        "cpu_s": time.process_time() - cpu_s,
    }
    for load in loads:
        load.stop()
    await asyncio.gather(*(load.ended.wait() for load in loads))
    return result


def main() -> int:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--mode", choices=list(MODES), required=True)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--depth", type=int, default=1, help="requests under way on each")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--requests", type=int, default=0, help="so many, instead of for seconds")
    parser.add_argument("--first", type=int, default=0, help="number of the (first) object")
    result = uvloop.run(run(parser.parse_args()))
    print(json.dumps({key: round(value, 3) for key, value in result.items()}))
    return 1 if result["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
