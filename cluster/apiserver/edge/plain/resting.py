"""Connections that bring nothing but heartbeats, many a second, are looked at now and then.

A process that stands for many nodes renews their Leases on a few connections, one every few
milliseconds. Each that comes alone wakes this process, which costs more than the renewal. So the
kernel is told not to report such a connection before much has come on it (SO_RCVLOWAT), and those
on which something has come go on at one time.

How often, looking itself tells: on a connection that is looked at a little more often than it
brings something there is nothing now and then, so with each look that finds something the time to
the next one becomes a little shorter, and with each that finds nothing longer. So a client that
sends its heartbeats at times of its own loses none, and one that waits for each answer first is
soon kept waiting little longer than it is silent by itself.

Invariants: nobody waits for a look longer than `MAX_LOOK_S`; one that brings anything but a
heartbeat does not rest again before several heartbeats in a row; more than `LOW_WATER_BYTES`, or
the end of a connection, are reported at once. Where there is no such option (it is Linux's), nobody
rests.
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
"""How soon the first look is, of the time for which it is silent while it does not rest."""
SHORTER: Final = 0.98
LONGER: Final = 1.3
"""After a look with something, with nothing: they are even when one in fifteen finds nothing."""
LONGER_FOR_ALL: Final = 1.1
"""After one with nothing from anybody: maybe something holds up all clients, or this process."""
APART: Final = 2.0
"""Who is slower than the quickest is not let go further: it must not wait when that one ends."""
RESOLUTION_S: Final = 0.001
"""Of the event loop's timers."""
MIN_SILENT_S: Final = 0.01
MAX_SILENT_S: Final = 1.0
"""Who is silent for longer is not worth looking at; who is for less is in a hurry."""
STREAK: Final = 3
"""So many heartbeats in a row show that a connection brings nothing else."""
MIN_RESTING: Final = 4
"""Fewer cost less if they are reported one by one."""
MAX_RESTING: Final = 256
LOW_WATER_BYTES: Final = 16 * 1024


def look_s_of(silent_s: float, streak: int) -> float:
    """How soon a connection must be looked at that had been silent for so long before the last of
    so many heartbeats in a row; 0: it cannot rest."""
    if streak < STREAK or not MIN_SILENT_S <= silent_s <= MAX_SILENT_S:
        return 0.0
    return min(MAX_LOOK_S, SHARE * silent_s)


def silence_s(before_s: float, silent_s: float, streak: int) -> float:
    """The silence that counts after one of `silent_s`; before it were so many heartbeats. A long
    one among short ones counts for little: somebody was held up."""
    return min(silent_s, APART * max(before_s, RESOLUTION_S)) if streak else silent_s


class Rhythm(msgspec.Struct, gc=False):
    """What the heartbeats of a connection tell of how it may rest."""

    look_s: float = 0.0
    """How soon it must be looked at; 0: it cannot rest."""
    _silent_s: float = 0.0
    """For how long it is silent while it does not rest."""
    _count: int = 0
    """So many heartbeats in a row."""

    def beat(self, silent_s: float, look_s: float | None) -> None:
        """A heartbeat after such a silence; `look_s`: as of `Resting.leave`."""
        if look_s is not None:
            self.look_s = look_s
            self._count = self._count + 1 if look_s else 0
            return
        self._silent_s = silence_s(self._silent_s, silent_s, self._count)
        self._count += 1
        self.look_s = look_s_of(self._silent_s, self._count)

    def breaks(self) -> None:
        """It brings something else."""
        self.look_s, self._count = 0.0, 0


def next_look_s(within_s: float, passed_s: float, *, found: bool, anything: bool) -> float:
    """How soon the next look must be at a connection that was to be looked at within `within_s`,
    after one that came `passed_s` after the one before; 0: it cannot rest any more. `anything`:
    whether something was found on any."""
    if not found:
        longer = LONGER if anything else LONGER_FOR_ALL
        return min(longer * within_s, APART * passed_s, MAX_LOOK_S)
    shorter_s = SHORTER * within_s
    return shorter_s if shorter_s >= SHARE * MIN_SILENT_S else 0.0


class _Rest(msgspec.Struct):
    """`quiet`: the kernel does not report the socket."""

    within_s: float
    until_s: float
    """When something must have come, or it rests no more; event loop's time."""
    quiet: bool = False
    looked_at: bool = False
    """It was quiet, and has been let go on."""
    passed_over: bool = False
    """It had nothing at a look; that it has nothing at the next one either tells nothing more."""


class Resting:
    """The sockets that rest, and the time of the next look at them."""

    def __init__(self) -> None:
        self._rests: dict[socket.socket, _Rest] = {}
        self._timer: asyncio.Handle | None = None
        """uvloop's has no time if it is due at once."""
        self._due_s = 0.0
        self._looked_s = 0.0
        """When the last look was; event loop's time."""
        self._size = array("i", [0])

    def rest(self, sock: socket.socket, within_s: float) -> None:
        """Let a socket rest that is to be looked at this often."""
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
        """A socket rests no more. If it was looked at, rather than reported, how soon it must be
        next time; 0: it cannot rest any more."""
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
        """Let go on those on which something has come."""
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
                soonest_s = its.within_s  # also of those that go on: they are soon back
        if soonest_s:
            self._look_at(now_s + soonest_s)

    def _has_data(self, sock: socket.socket) -> bool:
        """Whether something can be read, or it is closed."""
        try:
            ioctl(sock, FIONREAD, self._size)
        except (OSError, ValueError):
            return True
        return self._size[0] > 0


def _set_low_water(sock: socket.socket, size_bytes: int) -> bool:
    """Let the kernel report a socket when so much has come; False if it is closed."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size_bytes)
    except OSError:
        return False
    return True
