"""Sockets of clients that only renew Leases are looked at together, and nothing on them is lost."""

import asyncio
import itertools
import socket
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE_S

from kubeherd.cluster.apiserver.edge.plain import resting
from kubeherd.cluster.apiserver.edge.plain.resting import (
    LONGER,
    LOW_WATER_BYTES,
    MAX_LOOK_S,
    MIN_SILENT_S,
    Resting,
    Rhythm,
    look_s_of,
    next_look_s,
    silence_s,
)

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
    assert look_s_of(silent_s, streak) == pytest.approx(within_s)


def test_the_silence_that_counts_is_a_short_one() -> None:
    assert silence_s(0.0, 0.1, 0) == 0.1
    assert silence_s(0.1, 0.02, 1) == 0.02
    assert silence_s(0.02, 0.5, 2) == 0.04
    silent_s = 0.0
    for streak in range(1, 9):
        silent_s = silence_s(silent_s, 0.1, streak)
    assert silent_s == 0.1


class Clients:
    """Clients that are looked at together, and what becomes of their requests; seconds.

    `periods_s`: who sends at times of its own; `silences_s`: who waits for each answer, and then so
    long; the server needs `turn_s` to answer.
    """

    def __init__(self, periods_s: list[float], silences_s: list[float], turn_s: float) -> None:
        self._turn_s = turn_s
        self._periods_s = periods_s
        count = len(periods_s) + len(silences_s)
        self.looks_s = [look_s_of(silent_s, 3) for silent_s in (*periods_s, *silences_s)]
        self.due_s = [period_s * n / count for n, period_s in enumerate(periods_s)] + silences_s
        self._silences_s = silences_s
        self._free_s = [0.0] * count
        self._passed_over = [False] * count
        self.now_s = 0.0
        self.waited_s = [0.0] * count
        """The last wait for a look."""
        self.found = 0

    def look(self) -> None:
        passed_s = min(look_s for look_s in self.looks_s if look_s)
        self.now_s += passed_s
        sent_s = [max(pair) for pair in zip(self.due_s, self._free_s, strict=True)]
        self.found = sum(moment_s <= self.now_s for moment_s in sent_s)
        for n, look_s in enumerate(self.looks_s):
            found = sent_s[n] <= self.now_s
            if not self._passed_over[n]:
                anything = self.found > 0
                self.looks_s[n] = next_look_s(look_s, passed_s, found=found, anything=anything)
            self._passed_over[n] = not found
            if not found:
                continue
            self.waited_s[n] = self.now_s - sent_s[n]
            self._free_s[n] = self.now_s + self._turn_s
            if n < len(self._periods_s):
                self.due_s[n] += self._periods_s[n]
            else:
                self.due_s[n] = self._free_s[n] + self._silences_s[n - len(self._periods_s)]


@pytest.mark.parametrize("period_s", [0.03, 0.1, 0.14])
@pytest.mark.parametrize("turn_s", [0.001, 0.008])
def test_nearly_all_have_something_at_a_look_and_nobody_falls_behind(
    period_s: float, turn_s: float
) -> None:
    clients, found = Clients([period_s] * 16, [], turn_s), []
    for _ in range(2000):
        clients.look()
        found.append(clients.found)
        assert min(clients.due_s) > clients.now_s - 1.5 * period_s
    assert 14 < sum(found[1000:]) / 1000 < 15.5


@given(st.lists(st.floats(0.02, 0.9), min_size=1, max_size=8), st.floats(0.0, 0.01))
def test_who_sends_at_times_of_its_own_does_not_fall_behind(
    periods_s: list[float], turn_s: float
) -> None:
    clients = Clients(periods_s, [], turn_s)
    for _ in range(500):
        clients.look()
        for due_s, period_s in zip(clients.due_s, periods_s, strict=True):
            assert due_s > clients.now_s - 2 * period_s


@pytest.mark.parametrize("silent_s", [0.02, 0.05, 0.3])
def test_who_waits_for_answers_soon_waits_for_looks_as_long_as_it_is_silent(
    silent_s: float,
) -> None:
    clients = Clients([0.16] * 15, [silent_s], turn_s := 0.001)
    clients.looks_s[-1] = MAX_LOOK_S  # it was slower
    for look in range(1000):
        clients.look()
        assert look < 300 or clients.waited_s[-1] <= LONGER * (silent_s + turn_s)


def test_who_is_too_quick_rests_no_more() -> None:
    look_s, looks = MAX_LOOK_S, 0
    while look_s := next_look_s(look_s, look_s, found=True, anything=True):
        looks += 1
    assert looks < 300
    rhythm = Rhythm()
    for _ in range(3):
        rhythm.beat(0.1, None)
    assert rhythm.look_s
    rhythm.beat(0.1, 0.02)
    assert rhythm.look_s == 0.02
    rhythm.beat(0.1, 0.0)
    for _ in range(9):
        assert not rhythm.look_s
        rhythm.beat(MIN_SILENT_S / 2, None)


def test_what_is_no_heartbeat_ends_the_row() -> None:
    rhythm = Rhythm()
    for _ in range(3):
        rhythm.beat(0.1, None)
    rhythm.breaks()
    assert not rhythm.look_s
    rhythm.beat(0.1, None)
    assert not rhythm.look_s


async def test_what_comes_is_reported_at_the_next_look(pair: Pair) -> None:
    server, client = pair
    rests = Resting()
    rests.rest(server, SOON_S)
    assert low_water(server) == LOW_WATER_BYTES
    client.send(b"x")
    await until(lambda: low_water(server) == 1)
    assert rests.leave(server) == pytest.approx(0.98 * SOON_S)
    assert server.recv(9) == b"x"


async def test_what_had_nothing_at_a_look_is_looked_at_a_little_later(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, client = pair
    rests = Resting()
    looks = itertools.count(1)
    monkeypatch.setattr(rests, "_has_data", lambda sock: next(looks) > 2)
    rests.rest(server, SOON_S)
    await until(lambda: low_water(server) == 1)
    client.send(b"x")
    look_s = rests.leave(server)
    assert look_s is not None
    assert look_s > 1.05 * SOON_S


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
    rests = Resting()
    rests.rest(server, SOON_S)
    await until(lambda: low_water(server) == 1)
    assert rests.leave(server) == 0.0


async def test_few_are_reported_one_by_one(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resting, "MIN_RESTING", 2)
    server, client = pair
    rests = Resting()
    rests.rest(server, LONG_S)
    assert low_water(server) == 1
    rests.rest(client, LONG_S)
    assert low_water(server) == low_water(client) == LOW_WATER_BYTES
    assert rests.leave(server) is None
    assert low_water(server) == 1


async def test_a_socket_that_is_closed_is_no_error(pair: Pair) -> None:
    server, _ = pair
    rests = Resting()
    rests.rest(server, SOON_S)
    server.close()
    rests.leave(server)
    rests.rest(server, SOON_S)
    assert rests.leave(server) is None
