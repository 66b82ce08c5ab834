"""Frames of HTTP/2 (RFC 9113, 4 and 6): bytes to frames and back. Pure."""

from collections.abc import Iterator
from struct import Struct
from typing import Final

DATA: Final = 0
HEADERS: Final = 1
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
_PADDED: Final = 0x8
_PRIORITY: Final = 0x20

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first."""

MAX_FRAME_BYTES: Final = 16384
"""The largest payload, unless somebody allows more; we do not."""

_HEAD: Final = Struct(">HBBBI")
_SETTING: Final = Struct(">HI")
_NUMBER: Final = Struct(">I")


class Garbled(Exception):
    """What came is not HTTP/2, or not as it has to be. The connection is of no use any more."""


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """The bytes of a frame."""
    length = len(payload)
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream_id) + payload


def settings(values: dict[int, int]) -> bytes:
    """A frame with settings of ours."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*item) for item in values.items()))


def number(kind: int, stream_id: int, value: int) -> bytes:
    """A frame whose payload is one number: WINDOW_UPDATE and RST_STREAM."""
    return frame(kind, 0, stream_id, _NUMBER.pack(value))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """The settings of a frame in their order. Garbled."""
    if len(payload) % _SETTING.size:
        raise Garbled("settings of a wrong length")
    return [(key, value) for key, value in _SETTING.iter_unpack(payload)]


def read_number(payload: bytes) -> int:
    """The number that a frame begins with, 31 bits. Garbled."""
    if len(payload) < _NUMBER.size:
        raise Garbled("a frame that is too short")
    return int(_NUMBER.unpack_from(payload)[0]) & 0x7FFF_FFFF


def content(kind: int, flags: int, payload: bytes) -> bytes:
    """The payload of a frame of DATA or HEADERS without what may be around it. Garbled."""
    if not flags & (_PADDED | _PRIORITY):
        return payload
    start = end = 0
    if flags & _PADDED:
        start, end = 1, payload[0] if payload else 1
    if kind == HEADERS and flags & _PRIORITY:
        start += 5
    if start + end > len(payload):
        raise Garbled("a frame with more padding than it has room for")
    return payload[start : len(payload) - end]


class FrameReader:
    """Cuts what comes into frames; keeps less than one frame."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Kind, flags, stream and payload of each frame that is complete now. Garbled."""
        if self._rest:
            data = self._rest + data
        begin, size = 0, len(data)
        while size - begin >= _HEAD.size:
            high, low, kind, flags, stream_id = _HEAD.unpack_from(data, begin)
            length = high << 8 | low
            if length > MAX_FRAME_BYTES:
                raise Garbled("a frame that is larger than allowed")
            payload_at = begin + _HEAD.size
            if size - payload_at < length:
                break
            begin = payload_at + length
            yield kind, flags, stream_id & 0x7FFF_FFFF, data[payload_at:begin]
        self._rest = data[begin:]
