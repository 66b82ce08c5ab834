"""GET pods/<n>/log: what the fake containers wrote (spec api-machinery, section 9).

An agent started with ``--pod-log-dir`` keeps ``<dir>/<pod uid>/<container>.log`` and, of the
container before the last restart, ``<container>.previous.log``, at most 64 KiB each; a server that
was told the directory serves them. Invariant: a followed log ends with its container.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import msgspec

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.edge import parameters
from kubeherd.cluster.apiserver.edge.messages import ApiResponse, WatchResponse
from kubeherd.cluster.apiserver.handlers import podtarget
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.read import logtext
from kubeherd.cluster.runtime.clock import Clock

_TEXT = "text/plain"
_MAX_FILE_BYTES = 1024 * 1024
_FOLLOW_EVERY_S = 1.0
_FOLLOW_LIMIT_S = 3600.0
_MAX_SINCE_S = 10**9


class _Options(msgspec.Struct, frozen=True):
    follow: bool
    timestamps: bool
    tail_lines: int | None
    limit_bytes: int | None
    since: datetime | None


async def log(call: Call) -> ApiResponse | WatchResponse:
    """The lines of one container, once or followed."""
    route, query = call.route, call.request.query
    options = _options(query, call.services.clock.now(), route.name)
    pod = call.services.registry.get(kinds.PODS, route.namespace, route.name)
    if pod is None:
        raise errors.not_found(kinds.PODS, route.name)
    spec = podtarget.container_spec(pod, query.get("container", ""))
    if not (pod.get("spec") or {}).get("nodeName"):
        return ApiResponse(204, b"", "")
    previous = parameters.boolean(query, "previous")
    container = str(spec["name"])
    entry = podtarget.container_status(pod, container)
    _check_started(entry, route.name, container, previous=previous)
    file = await asyncio.to_thread(_open, call.services.pod_log_dir, pod, container, previous)
    if file is None:
        podtarget.check_ours(pod, entry)
    told = [] if file is not None else logtext.told(pod, spec, entry, previous=previous)
    if options.follow and not previous:
        return WatchResponse(_followed(call, entry, file, told, options), _TEXT)
    lines = told if file is None else await asyncio.to_thread(_read_once, file)
    return ApiResponse(200, _rendered(lines, options), _TEXT)


async def output_from_now(
    call: Call, pod: JsonObject, spec: JsonObject
) -> AsyncGenerator[bytes, None]:
    """What a running container writes from now on, until it ends."""
    container = str(spec["name"])
    entry = podtarget.container_status(pod, container)
    file = await asyncio.to_thread(_open, call.services.pod_log_dir, pod, container, False)
    told = [] if file is not None else logtext.told(pod, spec, entry, previous=False)
    options = _Options(follow=True, timestamps=False, tail_lines=0, limit_bytes=None, since=None)
    async for chunk in _followed(call, entry, file, told, options):
        yield chunk


def _options(query: Mapping[str, str], now: datetime, name: str) -> _Options:
    """The checked options; Invalid (422) in the words of Kubernetes' ValidatePodLogOptions."""
    since = parameters.moment(query, "sinceTime")
    seconds = parameters.integer(query, "sinceSeconds")
    tail_lines = parameters.integer(query, "tailLines")
    limit_bytes = parameters.integer(query, "limitBytes")
    causes: list[Cause] = []
    if tail_lines is not None and tail_lines < 0:
        causes.append(_invalid("tailLines", tail_lines, "must be greater than or equal to 0"))
    if limit_bytes is not None and limit_bytes < 1:
        causes.append(_invalid("limitBytes", limit_bytes, "must be greater than 0"))
    if seconds is not None and since is not None:
        text = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        causes.append(Cause("FieldValueForbidden", text))
    elif seconds is not None and seconds < 1:
        causes.append(_invalid("sinceSeconds", seconds, "must be greater than 0"))
    if query.get("stream"):
        causes.append(Cause("FieldValueForbidden", "Forbidden: may not be specified", "stream"))
    if causes:
        raise errors.invalid("", "PodLogOptions", name, causes)
    if seconds is not None:
        since = now - timedelta(seconds=min(seconds, _MAX_SINCE_S))
    return _Options(
        follow=parameters.boolean(query, "follow"),
        timestamps=parameters.boolean(query, "timestamps"),
        tail_lines=tail_lines,
        limit_bytes=limit_bytes,
        since=since,
    )


def _invalid(field: str, value: int, why: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {value}: {why}", field)


def _check_started(entry: JsonObject, name: str, container: str, *, previous: bool) -> None:
    state = entry.get("state") or {}
    if previous:
        if "terminated" not in (entry.get("lastState") or {}):
            raise errors.BadRequest(
                f'previous terminated container "{container}" in pod "{name}" not found'
            )
        return
    if not {"running", "terminated"} & (state.keys() | (entry.get("lastState") or {}).keys()):
        reason = (state.get("waiting") or {}).get("reason", "ContainerCreating")
        raise errors.BadRequest(
            f'container "{container}" in pod "{name}" is waiting to start: {reason}'
        )


def _open(
    directory: Path | None, pod: JsonObject, container: str, previous: bool
) -> BinaryIO | None:
    """The log file, None where there is none. Open, it stays that of its container: the agent
    renames it when the container is restarted."""
    if directory is None:
        return None
    name = f"{container}.previous.log" if previous else f"{container}.log"
    try:
        return Path(directory, str(pod["metadata"]["uid"]), name).open("rb", buffering=0)
    except OSError:
        return None


def _read(file: BinaryIO) -> list[bytes]:
    """All raw lines of a log file; none where it cannot be read."""
    try:
        return os.pread(file.fileno(), _MAX_FILE_BYTES, 0).splitlines(keepends=True)
    except OSError:
        return []


def _read_once(file: BinaryIO) -> list[bytes]:
    with file:
        return _read(file)


def _rendered(lines: list[bytes], options: _Options) -> bytes:
    shown = logtext.shown(lines, since=options.since, timestamps=options.timestamps)
    if options.tail_lines is not None:
        shown = shown[len(shown) - min(options.tail_lines, len(shown)) :]
    return b"".join(shown)[: options.limit_bytes]


async def _followed(
    call: Call, entry: JsonObject, file: BinaryIO | None, told: list[bytes], options: _Options
) -> AsyncGenerator[bytes, None]:
    """What is there, then what comes, until the container ends, the limit or an hour is reached."""
    clock: Clock = call.services.clock
    end_s = clock.monotonic_s() + _FOLLOW_LIMIT_S
    limit = options.limit_bytes
    seen = b""
    lines = told
    try:
        while clock.monotonic_s() < end_s:
            # The state before the lines: what the container wrote last is there when it has ended.
            pod, runs = _look(call, entry)
            if file is None and pod is not None:
                file = await asyncio.to_thread(
                    _open, call.services.pod_log_dir, pod, entry["name"], False
                )
            if file is not None:
                lines = await asyncio.to_thread(_read, file)
            text = _rendered(logtext.after(lines, seen), options)[:limit]
            if text:
                yield text
                if limit is not None and (limit := limit - len(text)) <= 0:
                    return
            seen = lines[-1] if lines else seen
            options = _Options(True, options.timestamps, None, None, None)
            if not runs:
                return
            await clock.sleep(_FOLLOW_EVERY_S)
    finally:
        if file is not None:
            file.close()


def _look(call: Call, entry: JsonObject) -> tuple[JsonObject | None, bool]:
    """The pod as it is now, and whether the same container still runs in it."""
    route = call.route
    pod = call.services.registry.get(kinds.PODS, route.namespace, route.name)
    now = {} if pod is None else podtarget.container_status(pod, entry["name"])
    same = now.get("containerID") == entry.get("containerID")
    return pod, same and "running" in (now.get("state") or {})
