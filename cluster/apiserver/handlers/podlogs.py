"""GET pods/<n>/log: what the fake containers wrote (spec api-machinery, section 9).

An agent started with ``--pod-log-dir`` keeps ``<dir>/<pod uid>/<container>.log``, lines
``<time> stdout F <text>``, at most 64 KiB each; a server that was told the directory serves them.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.cluster.apiserver.edge import parameters
from kubeherd.cluster.apiserver.edge.messages import ApiResponse, WatchResponse
from kubeherd.cluster.apiserver.handlers.services import Call
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
    container = _container(pod, route.name, query.get("container", ""))
    if not (pod.get("spec") or {}).get("nodeName"):
        return ApiResponse(204, b"", _TEXT)
    _check_started(pod, route.name, container, previous=parameters.boolean(query, "previous"))
    directory = call.services.pod_log_dir
    path = directory / pod["metadata"]["uid"] / f"{container}.log" if directory else None
    if options.follow:
        chunks = _followed(call, path, options, container)
        return WatchResponse(chunks, _TEXT)
    lines = await asyncio.to_thread(_read, path)
    return ApiResponse(200, _rendered(lines, options), _TEXT)


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


def _container(pod: JsonObject, name: str, asked: str) -> str:
    """The container meant; BadRequest where it is unknown or not clear."""
    spec = pod.get("spec") or {}
    names = [
        str(container["name"])
        for group in ("initContainers", "containers", "ephemeralContainers")
        for container in spec.get(group) or ()
    ]
    if asked:
        if asked not in names:
            raise errors.BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    if len(names) != 1:
        raise errors.BadRequest(
            f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
        )
    return names[0]


def _check_started(pod: JsonObject, name: str, container: str, *, previous: bool) -> None:
    entry = _container_status(pod, container)
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


def _container_status(pod: JsonObject, container: str) -> JsonObject:
    status = pod.get("status") or {}
    groups = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    for group in groups:
        for entry in status.get(group) or ():
            if entry.get("name") == container:
                return dict(entry)
    return {}


def _read(path: Path | None) -> list[bytes]:
    """The raw lines of a log file; none where there is no file."""
    if path is None:
        return []
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES).splitlines(keepends=True)
    except OSError:
        return []


def _rendered(lines: list[bytes], options: _Options) -> bytes:
    shown = []
    for line in lines:
        time, _, rest = line.partition(b" ")
        text = rest.split(b" ", 2)[-1]
        if options.since is not None and not _newer(time, options.since):
            continue
        shown.append(time + b" " + text if options.timestamps else text)
    if options.tail_lines is not None:
        shown = shown[len(shown) - min(options.tail_lines, len(shown)) :]
    return b"".join(shown)[: options.limit_bytes]


def _newer(time: bytes, since: datetime) -> bool:
    try:
        return parse_time(time.decode()) >= since
    except ValueError:
        return True


async def _followed(
    call: Call, path: Path | None, options: _Options, container: str
) -> AsyncGenerator[bytes, None]:
    """What is there, then what comes, until the container or pod ends or an hour is over."""
    clock: Clock = call.services.clock
    end_s = clock.monotonic_s() + _FOLLOW_LIMIT_S
    lines = await asyncio.to_thread(_read, path)
    yield _rendered(lines, options)
    rest = _Options(True, options.timestamps, None, options.limit_bytes, None)
    while clock.monotonic_s() < end_s:
        route = call.route
        pod = call.services.registry.get(kinds.PODS, route.namespace, route.name)
        state = {} if pod is None else _container_status(pod, container).get("state") or {}
        await clock.sleep(_FOLLOW_EVERY_S)
        seen = lines[-1] if lines else b""
        lines = await asyncio.to_thread(_read, path)
        # The file drops its older half when it is full: go on after the last line that was sent.
        start = len(lines) - lines[::-1].index(seen) if seen in lines else 0
        if lines[start:]:
            yield _rendered(lines[start:], rest)
        if "running" not in state:
            return
