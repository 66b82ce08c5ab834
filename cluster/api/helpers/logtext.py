"""Lines of a container's log file, and what a client is shown of them. Pure.

A line is `<RFC 3339 time> stdout F <text>` as container runtimes write them (CRI); a client gets
the text, after the time with nine digits where it asked for that (v1.36, pkg/kubelet/kuberuntime/
logs).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from kubeherd.cluster.api.helpers import commands, environment
from kubeherd.cluster.api.helpers.scripts import scripted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.timestamps import parse_time

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


def told(pod: JsonObject, spec: JsonObject, entry: JsonObject, *, previous: bool) -> list[bytes]:
    """The lines of a container that left no file, from its status.

    An agent with many nodes writes down only what containers are scripted to say; that a container
    started and ended stands in its status as well. A container whose output is known says nothing
    else.
    """
    annotations = pod["metadata"].get("annotations") or {}
    name = str(spec["name"])
    command, args = spec.get("command") or (), spec.get("args") or ()
    plain = commands.program(command, args, environment.of_trees(pod, spec))
    if plain is not None or scripted(annotations, name, "log") is not None:
        return []
    state, last = entry.get("state") or {}, entry.get("lastState") or {}
    ended = (last if previous or "waiting" in state else state).get("terminated")
    began = ended or state.get("running") or {}
    lines = []
    if began.get("startedAt"):
        attempt = int(entry.get("restartCount") or 0) + (not previous)
        text = f"started (attempt {attempt}, image {entry.get('image', '')})"
        lines.append(f"{began['startedAt']} stdout F {text}\n".encode())
    if ended and ended.get("finishedAt"):
        text = f"exited with code {ended.get('exitCode', 0)}"
        lines.append(f"{ended['finishedAt']} stdout F {text}\n".encode())
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
