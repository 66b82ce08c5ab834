"""How long an event takes to many watchers: a process that watches, writes and counts; a JSON line.

    python -m kubeherd.bench.watchers --kubeconfig FILE --watchers 1000 --events 30

Opens standard watch streams of the ConfigMaps of one namespace, one connection each, then writes
one of them again and again. The line has, for each write, the milliseconds until the last watcher
had the event (`delivered_ms`), and the same with one watcher (`alone_ms`): what the write takes. A
line before each says that its watchers are there. `--port`: another server of the same cluster's
certificate.
No event loop: what comes is decrypted and looked at, no more, so that it is the server that takes
the time.
"""

import argparse
import json
import select
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from kubeherd.bench.wire import message
from kubeherd.cluster.client.http.tls import tls_context
from kubeherd.cluster.client.kubeconfig import ClusterAccess, load_kubeconfig

_PATH: Final = "/api/v1/namespaces/default/configmaps"
_NAME: Final = "watched"
_PAYLOAD: Final = "x" * 850
_EVENT: Final = b'{"type":"'
_END: Final = b"\r\n\r\n"
_MERGE: Final = "application/merge-patch+json"
_PAUSE_S: Final = 0.05
"""Between two writes: the server has nothing else to do."""
_TIMEOUT_S: Final = 30.0
_READ_BYTES: Final = 65536


class Watchers:
    """Many watch streams on connections of their own, and one connection that writes."""

    def __init__(self, access: ClusterAccess, port: int) -> None:
        """`port`: where the server listens; 0: where the kubeconfig says."""
        url = urlsplit(access.server)
        self._context = tls_context(access)
        self._host, self._address = url.netloc, (url.hostname or "", port or url.port or 443)
        self._poll = select.epoll()
        self._streams: dict[int, ssl.SSLSocket] = {}
        self._writes = 0
        self._writer = self._connect()
        body = {"metadata": {"name": _NAME}, "data": {"payload": _PAYLOAD}}
        self._send("POST", _PATH, json.dumps(body).encode())
        _until_head(self._writer)

    def watch(self, count: int) -> None:
        """Open so many streams more. RuntimeError if one is refused."""
        request = message("GET", f"{_PATH}?watch=1", self._host, b"")
        for _ in range(count):
            stream = self._connect()
            stream.sendall(request)
            data = _until_head(stream)
            while _EVENT not in data:  # the object as it is
                data += stream.recv(_READ_BYTES)
            stream.setblocking(False)
            self._streams[stream.fileno()] = stream
            self._poll.register(stream.fileno(), select.EPOLLIN)

    def measured(self, events: int) -> Iterator[float]:
        """Write so many times, with pauses: `delivered_ms` of each."""
        for _ in range(events):
            time.sleep(_PAUSE_S)
            yield round(self._delivered_ms(), 2)

    def _delivered_ms(self) -> float:
        """Write once: the time until all have the event. TimeoutError, ConnectionError."""
        self._writes += 1
        body = json.dumps({"data": {"count": str(self._writes)}}).encode()
        began_s = time.perf_counter()
        self._send("PATCH", f"{_PATH}/{_NAME}", body, _MERGE)
        waiting = set(self._streams)
        while waiting:
            if time.perf_counter() > began_s + _TIMEOUT_S:
                raise TimeoutError(f"{len(waiting)} watchers got no event")
            for descriptor, _ in self._poll.poll(1.0):
                if _has_event(self._streams[descriptor]):
                    waiting.discard(descriptor)
        took_ms = 1e3 * (time.perf_counter() - began_s)
        _until_head(self._writer)
        return took_ms

    def _connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(self._address, timeout=_TIMEOUT_S)
        return self._context.wrap_socket(plain, server_hostname=self._address[0])

    def _send(
        self, verb: str, path: str, body: bytes, content_type: str = "application/json"
    ) -> None:
        self._writer.sendall(message(verb, path, self._host, body, content_type))


def _until_head(stream: ssl.SSLSocket) -> bytes:
    """What comes up to the end of an answer's head at least; RuntimeError for a refusal."""
    data = b""
    while _END not in data:
        data += stream.recv(_READ_BYTES)
    if not data.startswith(b"HTTP/1.1 20"):
        raise RuntimeError(f"refused: {data!r}")
    return data


def _has_event(stream: ssl.SSLSocket) -> bool:
    try:
        data = stream.recv(_READ_BYTES)
    except ssl.SSLWantReadError:  # a record of TLS without data
        return False
    if not data:
        raise ConnectionError("a watch has ended")
    return _EVENT in data


def main() -> int:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--watchers", type=int, required=True)
    parser.add_argument("--events", type=int, default=30)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    watchers = Watchers(load_kubeconfig(options.kubeconfig), options.port)
    measured: dict[str, list[float]] = {}
    for name, count in (("alone_ms", 1), ("delivered_ms", options.watchers - 1)):
        watchers.watch(count)
        print(json.dumps({"watchers": count}), flush=True)
        measured[name] = list(watchers.measured(options.events))
    print(json.dumps(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
