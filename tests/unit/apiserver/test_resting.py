"""Sockets of clients that only renew Leases are looked at together, and nothing on them is lost."""

import asyncio
import socket
import sys
from collections.abc import Callable, Iterator

import pytest
from patience import PATIENCE_S

from kubeherd.cluster.apiserver.edge import resting
from kubeherd.cluster.apiserver.edge.resting import LOW_WATER_BYTES, Resting, look_s, smoothed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="an option of Linux's sockets")
LONG_S = 3600.0
SOON_S = 0.01

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resting, "MIN_RESTING", 1)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The server's end and the client's."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as client,
        listening.accept()[0] as server,
    ):
        server.setblocking(False)
        yield server, client


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)


def low_water(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)


@pytest.mark.parametrize(
    ("silent_s", "streak", "within_s"),
    [(0.1, 3, 0.09), (0.9, 3, 0.15), (0.1, 2, 0.0), (0.001, 9, 0.0), (10.0, 9, 0.0)],
)
def test_who_comes_often_with_nothing_else_may_rest(
    silent_s: float, streak: int, within_s: float
) -> None:
    assert look_s(silent_s, streak) == pytest.approx(within_s)


def test_one_short_silence_counts_an_eighth() -> None:
    silent_s = 0.0
    for streak in range(9):
        silent_s = smoothed(silent_s, 0.1, streak)
    assert silent_s == pytest.approx(0.1)
    assert smoothed(silent_s, 0.02, 9) == pytest.approx(0.09)


async def test_what_comes_is_reported_at_the_next_look(pair: Pair) -> None:
    server, client = pair
    rests = Resting()
    rests.rest(server, SOON_S)
    assert low_water(server) == LOW_WATER_BYTES
    client.send(b"x")
    await until(lambda: low_water(server) == 1)
    assert rests.leave(server)
    assert server.recv(9) == b"x"


async def test_nothing_is_reported_before(pair: Pair) -> None:
    server, client = pair
    rests = Resting()
    rests.rest(server, LONG_S)
    client.send(b"x")
    reported = asyncio.Event()
    asyncio.get_running_loop().add_reader(server, reported.set)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not reported.is_set()
    rests.leave(server)
    async with asyncio.timeout(PATIENCE_S):
        await reported.wait()
    asyncio.get_running_loop().remove_reader(server)


@pytest.mark.parametrize("end", [False, True])
async def test_much_or_the_end_is_reported_at_once(pair: Pair, end: bool) -> None:
    server, client = pair
    rests = Resting()
    rests.rest(server, LONG_S)
    if end:
        client.close()
    else:
        client.send(b"x" * LOW_WATER_BYTES)
    reported = asyncio.Event()
    asyncio.get_running_loop().add_reader(server, reported.set)
    async with asyncio.timeout(PATIENCE_S):
        await reported.wait()
    asyncio.get_running_loop().remove_reader(server)
    rests.leave(server)


async def test_who_stays_silent_rests_no_more(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resting, "MAX_SILENT_S", 0.0)
    server, _ = pair
    Resting().rest(server, SOON_S)
    await until(lambda: low_water(server) == 1)


async def test_few_are_reported_one_by_one(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resting, "MIN_RESTING", 2)
    server, client = pair
    rests = Resting()
    rests.rest(server, LONG_S)
    assert low_water(server) == 1
    rests.rest(client, LONG_S)
    assert low_water(server) == low_water(client) == LOW_WATER_BYTES
    assert rests.leave(server)
    assert not rests.leave(server)


async def test_a_socket_that_is_closed_is_no_error(pair: Pair) -> None:
    server, _ = pair
    rests = Resting()
    rests.rest(server, SOON_S)
    server.close()
    rests.leave(server)
    rests.rest(server, SOON_S)
    assert not rests.leave(server)
