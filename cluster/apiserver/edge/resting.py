"""Connections that bring nothing but heartbeats, many a second, are looked at now and then.

A process that stands for many nodes renews their Leases on a few connections, one every few
milliseconds. Each that comes alone wakes this process, which costs more than the renewal. So the
kernel is told not to report such a connection before much has come on it (SO_RCVLOWAT), and those
on which something has come go on at one time.

Invariants: a client waits for the look no longer than nine times as long as it is silent by
itself, nor than `MAX_LOOK_S`; one that brings anything but a heartbeat does not rest again before
several heartbeats in a row; more than `LOW_WATER_BYTES`, or the end of a connection, are reported
at once. Where there is no such option (it is Linux's), nobody rests.
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
"""Of the time between two of its requests, which includes what it is kept waiting."""
REMEMBERED: Final = 8
"""So many silences make the one that counts: a look is for all, so the shortest would decide."""
MIN_SILENT_S: Final = 0.01
MAX_SILENT_S: Final = 1.0
"""Who is silent for longer is not worth looking at; who is for less is in a hurry."""
STREAK: Final = 3
"""So many heartbeats in a row show that a connection brings nothing else."""
MIN_RESTING: Final = 4
"""Fewer cost less if they are reported one by one."""
MAX_RESTING: Final = 256
LOW_WATER_BYTES: Final = 16 * 1024


def look_s(silent_s: float, streak: int) -> float:
    """How soon a connection must be looked at that had been silent for so long before the last of
    so many heartbeats in a row; 0: it cannot rest."""
    if streak < STREAK or not MIN_SILENT_S <= silent_s <= MAX_SILENT_S:
        return 0.0
    return min(MAX_LOOK_S, SHARE * silent_s)


def smoothed(before_s: float, silent_s: float, streak: int) -> float:
    """The silence that counts after one of `silent_s`; before it were so many heartbeats."""
    return before_s + (silent_s - before_s) / min(streak + 1, REMEMBERED)


class _Rest(msgspec.Struct):
    """`quiet`: the kernel does not report the socket."""

    within_s: float
    until_s: float
    """When something must have come, or it rests no more; event loop's time."""
    quiet: bool = False
    looked_at: bool = False
    """It was quiet, and has been let go on."""


class Resting:
    """The sockets that rest, and the time of the next look at them."""

    def __init__(self) -> None:
        self._rests: dict[socket.socket, _Rest] = {}
        self._timer: asyncio.Handle | None = None
        """uvloop's has no time if it is due at once."""
        self._due_s = 0.0
        self._size = array("i", [0])

    def rest(self, sock: socket.socket, within_s: float) -> None:
        """Let a socket rest that is to be looked at this often."""
        rests = self._rests
        if sys.platform != "linux" or len(rests) >= MAX_RESTING:
            return
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        rests[sock] = rest = _Rest(within_s, now_s + MAX_SILENT_S)
        if len(rests) > MIN_RESTING:
            rest.quiet = _set_low_water(sock, LOW_WATER_BYTES)
        elif len(rests) == MIN_RESTING:
            for one, its in rests.items():
                if not its.quiet and not its.looked_at:
                    its.quiet = _set_low_water(one, LOW_WATER_BYTES)
        else:
            return
        if self._timer is None or now_s + within_s < self._due_s:
            self._look_within(within_s)

    def leave(self, sock: socket.socket) -> bool:
        """A socket rests no more; whether it was looked at, rather than reported."""
        its = self._rests.pop(sock, None)
        if its is None:
            return False
        if its.quiet:
            _set_low_water(sock, 1)
        return its.quiet or its.looked_at

    def _look_within(self, within_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._due_s = loop.time() + within_s
        self._timer = loop.call_later(within_s, self._look)

    def _look(self) -> None:
        """Let go on those on which something has come."""
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        quiet = [(sock, its) for sock, its in self._rests.items() if its.quiet]
        for sock, its in quiet:
            if now_s > its.until_s or self._has_data(sock):
                its.quiet, its.looked_at = False, True
                _set_low_water(sock, 1)
        if quiet:
            self._look_within(min(its.within_s for _, its in quiet))

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
