"""Connections that break while they are made, on uvloop: none is closed twice."""

import asyncio
import gc
import socket
import struct
import threading
import warnings
from contextlib import suppress

import pytest
import uvloop
from patience import PATIENCE_S

from kubeherd.cluster.client.http.transport import HttpTransport
from kubeherd.cluster.client.kubeconfig import ClusterAccess
from kubeherd.cluster.client.transport import TransportError

ATTEMPTS = 400
_RESET = struct.pack("ii", 1, 0)


def refuse(listening: socket.socket) -> None:
    """Reset every connection, as the kernel does with those that a dead server did not accept."""
    with suppress(OSError):
        while True:
            client, _ = listening.accept()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()


async def attempts(port: int) -> None:
    access = ClusterAccess(server=f"https://127.0.0.1:{port}", skip_tls_verify=True)
    transport = HttpTransport(access)

    async def one() -> None:
        with pytest.raises(TransportError):
            await transport.request("GET", "/api/v1/nodes")

    for _ in range(ATTEMPTS // 20):
        await asyncio.gather(*(one() for _ in range(20)))
    await transport.close()


def test_a_socket_of_a_connection_that_broke_is_not_closed_again_when_it_is_forgotten():
    """Its number may be another connection's by then."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
            server = threading.Thread(target=refuse, args=(listening,), daemon=True)
            server.start()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(attempts(listening.getsockname()[1]))
            listening.shutdown(socket.SHUT_RDWR)
            server.join(PATIENCE_S)
        gc.collect()
    assert [str(one.message) for one in caught if "unclosed" in str(one.message)] == []
