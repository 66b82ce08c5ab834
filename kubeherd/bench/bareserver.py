"""What this machine needs to tell many watchers: a server that does nothing else.

    python -m kubeherd.bench.bareserver --pki DIR

It speaks as much of the API over TLS as `kubeherd.bench.watchers` asks for: who watches gets one
event, then one of the same size after each write, in a loop of nothing but `send`. What it is
slower than by any way of serving is the machine's: sockets, encryption, and whoever reads. Prints
its port in a JSON line; ends with its standard input.
"""

import argparse
import json
import select
import socket
import ssl
import sys
from pathlib import Path
from typing import Final

_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
_EVENT_BYTES: Final = 1200
_START: Final = b'{"type":"MODIFIED"}'
_READ_BYTES: Final = 65536
_TIMEOUT_S: Final = 30.0


class BareServer:
    """One thread: new connections one after the other, and whoever writes."""

    def __init__(self, pki: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._watching: list[ssl.SSLSocket] = []
        self._writing: list[ssl.SSLSocket] = []
        event = _START.ljust(_EVENT_BYTES)
        self._chunk = b"%x\r\n%b\r\n" % (len(event), event)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listening.getsockname()[1]
        return port

    def run(self) -> None:
        """Serve until the standard input ends."""
        while True:
            ready, _, _ = select.select([sys.stdin, self._listening, *self._writing], [], [])
            if sys.stdin in ready:
                return
            if self._listening in ready:
                self._accept()
            for one in self._writing:
                if one in ready:
                    self._answer(one)

    def _accept(self) -> None:
        plain, _ = self._listening.accept()
        plain.settimeout(_TIMEOUT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one = self._context.wrap_socket(plain, server_side=True)
        if one.recv(_READ_BYTES).startswith(b"GET "):
            one.sendall(_HEAD + self._chunk)
            self._watching.append(one)
        else:
            one.sendall(_ANSWER)
            self._writing.append(one)

    def _answer(self, writing: ssl.SSLSocket) -> None:
        """After a write: an event to all."""
        if not writing.recv(_READ_BYTES):
            self._writing.remove(writing)
            return
        chunk = self._chunk
        for one in self._watching:
            one.send(chunk)
        writing.sendall(_ANSWER)


def main() -> int:
    """Say where, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pki", type=Path, required=True)
    server = BareServer(parser.parse_args().pki)
    print(json.dumps({"port": server.port}), flush=True)
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
