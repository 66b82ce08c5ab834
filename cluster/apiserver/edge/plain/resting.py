"""Connections that carry many heartbeats a second and nothing else are polled together.

A process that stands for many nodes renews their Leases on a few connections, one every few
milliseconds. To be woken for each renewal costs more than the renewal itself. So such a connection
rests: the kernel is told not to report it before much has arrived on it (SO_RCVLOWAT), and now and
then this module looks at all that rest, and lets those go on on which something has arrived.

The time between two looks is found by looking. It should be a little shorter than the time between
two heartbeats, so that a look finds nothing now and then: with each look that finds a heartbeat the
time becomes a little shorter, with each that finds none longer. So a client that sends heartbeats
at times of its own does not fall behind, and one that waits for each answer is soon delayed by
little more than the pause that it makes itself.

Invariants: no request waits for a look longer than `MAX_LOOK_S`; a connection on which anything but
a heartbeat came rests again only after several heartbeats in a row; more than `LOW_WATER_BYTES`, or
the end of a connection, are reported at once. SO_RCVLOWAT works like this on Linux only; elsewhere
no connection rests.
"""

import asyncio
import socket
import sys
from array import array
from typing import Final

import msgspec

if sys.platform == "linux":
    from fcntl import ioctl
    from termios import FIONREAD

MAX_LOOK_S: Final = 0.15
SHARE: Final = 0.9
"""The time until the first look, as a share of the time between two heartbeats."""
SHORTER: Final = 0.98
LONGER: Final = 1.3
"""How the time to the next look changes after one that found a heartbeat, and after one that found
none: they balance when one look in fifteen finds none."""
LONGER_FOR_ALL: Final = 1.1
"""The change after a look that found nothing on any connection: then it may be this process, or all
clients, that were held up."""
APART: Final = 2.0
"""The time to the next look at a connection is at most so many times the time since the last look.
Else a slow one would wait for long when the quickest, for which there are looks, ends."""
RESOLUTION_S: Final = 0.001
"""Of the event loop's timers."""
MIN_SILENT_S: Final = 0.01
MAX_SILENT_S: Final = 1.0
"""A connection rests only if the time between two heartbeats is between these: shorter means that
the client is in a hurry, and longer that there is nothing to save."""
STREAK: Final = 3
"""So many heartbeats in a row are taken as a sign that there will be nothing else."""
MIN_RESTING: Final = 4
"""With fewer connections it costs less to be woken for each."""
MAX_RESTING: Final = 256
LOW_WATER_BYTES: Final = 16 * 1024


def look_s_of(silent_s: float, streak: int) -> float:
    """How soon the first look at a connection must be that was silent for so long before the last
    heartbeat, which was one of `streak` in a row; 0: it must not rest."""
    if streak < STREAK or not MIN_SILENT_S <= silent_s <= MAX_SILENT_S:
        return 0.0
    return min(MAX_LOOK_S, SHARE * silent_s)


def silence_s(before_s: float, silent_s: float, streak: int) -> float:
    """The time between two heartbeats, as it is assumed after one of `silent_s`; `before_s` was
    assumed before. A single long one does not count in full: the client, or this process, may have
    been held up."""
    return min(silent_s, APART * max(before_s, RESOLUTION_S)) if streak else silent_s


class Rhythm(msgspec.Struct, gc=False):
    """What was learnt from the heartbeats of one connection about how it can rest."""

    look_s: float = 0.0
    """How soon the next look at it must be; 0: it must not rest."""
    _silent_s: float = 0.0
    """The time between two heartbeats, while it does not rest."""
    _count: int = 0
    """Heartbeats in a row."""

    def beat(self, silent_s: float, look_s: float | None) -> None:
        """A heartbeat came after `silent_s`; `look_s` is what `Resting.leave` returned."""
        if look_s is not None:
            self.look_s = look_s
            self._count = self._count + 1 if look_s else 0
            return
        self._silent_s = silence_s(self._silent_s, silent_s, self._count)
        self._count += 1
        self.look_s = look_s_of(self._silent_s, self._count)

    def breaks(self) -> None:
        """Something else came."""
        self.look_s, self._count = 0.0, 0


def next_look_s(within_s: float, passed_s: float, *, found: bool, anything: bool) -> float:
    """How soon the next look at a connection must be; 0: it must not rest any more. The last look
    was due within `within_s`, and was `passed_s` after the one before. `found`: it found something
    here, `anything`: it found something on any connection."""
    if not found:
        longer = LONGER if anything else LONGER_FOR_ALL
        return min(longer * within_s, APART * passed_s, MAX_LOOK_S)
    shorter_s = SHORTER * within_s
    return shorter_s if shorter_s >= SHARE * MIN_SILENT_S else 0.0


class _Rest(msgspec.Struct):
    """The rest of one socket, from one heartbeat to the next."""

    within_s: float
    """How soon the next look at it must be."""
    until_s: float
    """When a heartbeat must have come, else it rests no more; in the event loop's time."""
    quiet: bool = False
    """Whether the kernel was told not to report it."""
    looked_at: bool = False
    """Whether a look found something, and told the kernel to report it again."""
    passed_over: bool = False
    """Whether a look found nothing. That the next look finds nothing either says nothing more about
    the time between two heartbeats."""


class Resting:
    """The sockets that rest, and the timer for the next look at them."""

    def __init__(self) -> None:
        self._rests: dict[socket.socket, _Rest] = {}
        self._timer: asyncio.Handle | None = None
        """A handle, because uvloop's timers that are due at once do not know their time."""
        self._due_s = 0.0
        self._looked_s = 0.0
        """When the last look was, in the event loop's time."""
        self._size = array("i", [0])

    def rest(self, sock: socket.socket, within_s: float) -> None:
        """Let a socket rest; the next look at it must be within this time."""
        rests = self._rests
        if sys.platform != "linux" or len(rests) >= MAX_RESTING:
            return
        now_s = asyncio.get_running_loop().time()
        rests[sock] = rest = _Rest(within_s, now_s + MAX_SILENT_S)
        if len(rests) > MIN_RESTING:
            rest.quiet = _set_low_water(sock, LOW_WATER_BYTES)
        elif len(rests) == MIN_RESTING:
            for one, its in rests.items():
                if not its.quiet and not its.looked_at:
                    its.quiet = _set_low_water(one, LOW_WATER_BYTES)
        else:
            return
        due_s = self._looked_s + within_s
        if due_s < now_s:
            due_s = now_s + within_s
        if self._timer is None or due_s < self._due_s:
            self._look_at(due_s)

    def leave(self, sock: socket.socket) -> float | None:
        """End the rest of a socket, because something has arrived on it. If a look found that, how
        soon the next one must be (0: it must not rest any more); None if the kernel reported it."""
        its = self._rests.pop(sock, None)
        if its is None:
            return None
        if its.quiet:
            _set_low_water(sock, 1)
        return its.within_s if its.looked_at else None

    def _look_at(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due_s = due_s
        self._timer = asyncio.get_running_loop().call_at(due_s, self._look)

    def _look(self) -> None:
        """Look at all sockets that rest, and let those go on on which something has arrived."""
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        passed_s, self._looked_s = now_s - self._looked_s, now_s
        soonest_s = 0.0
        looks = [
            (sock, its, self._has_data(sock)) for sock, its in self._rests.items() if its.quiet
        ]
        anything = any(found for _, _, found in looks)
        for sock, its, found in looks:
            if not its.passed_over:
                within_s = its.within_s
                its.within_s = next_look_s(within_s, passed_s, found=found, anything=anything)
                its.passed_over = not found
            if not found and now_s > its.until_s:
                its.within_s = 0.0
            if found or not its.within_s:
                its.quiet, its.looked_at = False, True
                _set_low_water(sock, 1)
            if its.within_s and not 0.0 < soonest_s < its.within_s:
                soonest_s = its.within_s  # also of those that go on: they will soon rest again
        if soonest_s:
            self._look_at(now_s + soonest_s)

    def _has_data(self, sock: socket.socket) -> bool:
        """Whether there is something to read, or the socket is closed."""
        try:
            ioctl(sock, FIONREAD, self._size)
        except (OSError, ValueError):
            return True
        return self._size[0] > 0


def _set_low_water(sock: socket.socket, size_bytes: int) -> bool:
    """Let the kernel report a socket when so much has arrived; False if the socket is closed."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size_bytes)
    except OSError:
        return False
    return True
