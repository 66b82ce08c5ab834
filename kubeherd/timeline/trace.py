"""A picture as a trace that Perfetto and chrome://tracing open. Pure.

Source: the JSON of the Trace Event Format: a row is a process, a lane a thread, a piece of a bar a
complete event, a heartbeat, a step or a violation an instant. Times are nominal microseconds.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from kubeherd.timeline.model import Picture, Row

_STATE, _BEATS, _FAULTS, _BARS = 0, 1, 2, 10
"""Threads of a row: its background, its heartbeats, the faults; from the last on its lanes."""
_US: Final = 1e6


def trace(picture: Picture) -> bytes:
    """The trace as JSON."""
    speed = picture.speed or 1.0
    events = [*_marks(picture, speed)]
    for number, row in enumerate(picture.rows, 1):
        events += _named(number, row)
        events += _row(number, row, picture, speed * _US)
    document = {"traceEvents": events, "otherData": {"title": picture.title}}
    return msgspec.json.encode(document)


def _marks(picture: Picture, speed: float) -> Iterator[dict[str, Any]]:
    yield {"ph": "M", "pid": 0, "name": "process_name", "args": {"name": picture.title}}
    for mark in picture.marks:
        name = mark.text.split(":")[0]
        yield {
            "ph": "i", "s": "g", "pid": 0, "tid": 0, "ts": mark.at * speed * _US, "cat": mark.what,
            "name": name, "args": {"text": mark.text},
        }  # fmt: skip


def _named(pid: int, row: Row) -> Iterator[dict[str, Any]]:
    yield {"ph": "M", "pid": pid, "name": "process_name", "args": {"name": row.name}}
    yield {"ph": "M", "pid": pid, "name": "process_sort_index", "args": {"sort_index": pid}}
    names = {_STATE: str(row.kind), _BEATS: "heartbeats", _FAULTS: "faults"}
    names |= {_BARS + lane: f"pods {lane + 1}" for lane in range(row.lanes)}
    for tid, name in names.items():
        yield {"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": name}}


def _row(pid: int, row: Row, picture: Picture, us: float) -> Iterator[dict[str, Any]]:
    for piece in row.background:
        yield _complete(pid, _STATE, str(piece.look), piece.begin * us, piece.end * us)
    for beat in row.beats:
        yield {"ph": "i", "s": "t", "pid": pid, "tid": _BEATS, "ts": beat * us, "name": "heartbeat"}
    for shade in row.faults:
        yield _complete(pid, _FAULTS, shade.label, shade.begin * us, shade.end * us)
    for bar in row.bars:
        revision = picture.revisions[bar.colour] if bar.colour < len(picture.revisions) else ""
        about = {"about": bar.about, "revision": revision}
        for piece in bar.pieces:
            event = _complete(pid, _BARS + bar.lane, bar.label, piece.begin * us, piece.end * us)
            yield {**event, "cat": str(piece.look), "args": {**about, "state": str(piece.look)}}


def _complete(pid: int, tid: int, name: str, begin: float, end: float) -> dict[str, Any]:
    return {"ph": "X", "pid": pid, "tid": tid, "name": name, "ts": begin, "dur": end - begin}
