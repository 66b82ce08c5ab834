"""Lines of a container's log file, and what a client is shown of them. Pure.

A line is `<RFC 3339 time> stdout F <text>` as container runtimes write them (CRI); a client gets
the text, after the time with nine digits where it asked for that (v1.36, pkg/kubelet/kuberuntime/
logs).
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from kubeherd.cluster.api.helpers import commands, environment
from kubeherd.cluster.api.helpers.containeroutput import Output, output
from kubeherd.cluster.api.helpers.scripts import parse_seconds, scripted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.timestamps import format_micro_time, parse_time

MAX_LINES: Final = 1000
"""So many are told of a container that left no file."""
_LATE_S: Final = 2.0
"""Real seconds after which it is told what a running container should have written."""
_FRACTION_DIGITS: Final = 9


def shown(lines: Iterable[bytes], *, since: datetime | None, timestamps: bool) -> list[bytes]:
    """The text of the lines that are no older than `since`."""
    out = []
    for line in lines:
        time, _, rest = line.partition(b" ")
        if since is not None and not _newer(time, since):
            continue
        text = rest.split(b" ", 2)[-1]
        out.append(_nine_digits(time) + b" " + text if timestamps else text)
    return out


def told(
    pod: JsonObject,
    spec: JsonObject,
    entry: JsonObject,
    age_s: Callable[[datetime], float],
    *,
    previous: bool,
) -> list[bytes]:
    """The lines of a container that left no file here, from its status and its script.

    An agent on another machine keeps its files there; one with many nodes writes down only what
    containers are scripted to say. That a container started and ended stands in its status; one
    whose output is known says nothing else. `age_s`: nominal seconds since a moment.
    """
    state, last = entry.get("state") or {}, entry.get("lastState") or {}
    ended = (last if previous or "waiting" in state else state).get("terminated")
    began = ended or state.get("running") or {}
    known = _output(pod, spec)
    if known is not None:
        return _written(known, began, age_s)
    lines = []
    if began.get("startedAt"):
        attempt = int(entry.get("restartCount") or 0) + (not previous)
        text = f"started (attempt {attempt}, image {entry.get('image', '')})"
        lines.append(f"{began['startedAt']} stdout F {text}\n".encode())
    if ended and ended.get("finishedAt"):
        text = f"exited with code {ended.get('exitCode', 0)}"
        lines.append(f"{ended['finishedAt']} stdout F {text}\n".encode())
    return lines


def _output(pod: JsonObject, spec: JsonObject) -> Output | None:
    """What a container is known to write."""
    annotations, name = pod["metadata"].get("annotations") or {}, str(spec["name"])
    log = scripted(annotations, name, "log")
    interval_s = parse_seconds(scripted(annotations, name, "log-interval-seconds"))
    command, args = spec.get("command") or (), spec.get("args") or ()
    plain = commands.program(command, args, environment.of_trees(pod, spec))
    return output(None if log is None else log.splitlines(), interval_s or 0.0, plain)


def _written(known: Output, began: JsonObject, age_s: Callable[[datetime], float]) -> list[bytes]:
    """The last lines of what was due between a start and an end, or until a moment ago."""
    second = timedelta(seconds=1)
    try:
        start = parse_time(began["startedAt"])
        end = parse_time(began["finishedAt"]) if began.get("finishedAt") else None
    except (KeyError, ValueError):
        return []
    speed = round(age_s(start) - age_s(start + second), 3) or 1.0
    # Statuses have whole seconds. Where there is a file, each line is in it before it is told.
    until_s = _LATE_S * speed if end is None else age_s(end + second)
    count = known.written(age_s(start) - until_s)
    lines = []
    for number in range(max(0, count - MAX_LINES), count):
        at = start + second * ((known.due_s(number) or 0.0) / speed)
        lines.append(f"{format_micro_time(at)} stdout F {known.text(number)}\n".encode())
    return lines


def after(lines: list[bytes], seen: bytes) -> list[bytes]:
    """The lines after the last one that was seen: all of them when it is no longer there."""
    return lines[len(lines) - lines[::-1].index(seen) :] if seen in lines else lines


def _newer(time: bytes, since: datetime) -> bool:
    try:
        return parse_time(time.decode()) >= since
    except ValueError:
        return True


def _nine_digits(time: bytes) -> bytes:
    whole, _, fraction = time.removesuffix(b"Z").partition(b".")
    return whole + b"." + fraction.ljust(_FRACTION_DIGITS, b"0") + b"Z"
