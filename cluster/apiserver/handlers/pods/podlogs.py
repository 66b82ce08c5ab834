"""GET pods/<n>/log: what the fake containers wrote (spec api-machinery, section 9).

A server that was told the agents' ``--pod-log-dir`` serves the files in it. Invariant: a followed
log ends with its container.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime, timedelta
from functools import partial

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.helpers import logtext, podtarget
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.edge import parameters
from kubeherd.cluster.apiserver.edge.messages import ApiResponse, WatchResponse
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.runtime import logfiles
from kubeherd.cluster.runtime.logfiles import LogOptions, LogSource

_TEXT = "text/plain"
_MAX_SINCE_S = 10**9


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
    podtarget.check_started(entry, route.name, container, previous=previous)
    source = await _source(call, pod, spec, previous=previous)
    if source.file is None:
        podtarget.check_ours(pod, entry)
    if options.follow and not previous:
        return WatchResponse(logfiles.followed(source, options, call.services.clock), _TEXT)
    return ApiResponse(200, await logfiles.once(source, options), _TEXT)


async def output_from_now(
    call: Call, pod: JsonObject, spec: JsonObject
) -> AsyncGenerator[bytes, None]:
    """What a running container writes from now on, until it ends."""
    source = await _source(call, pod, spec, previous=False)
    options = LogOptions(follow=True, tail_lines=0)
    async for chunk in logfiles.followed(source, options, call.services.clock):
        yield chunk


async def _source(call: Call, pod: JsonObject, spec: JsonObject, *, previous: bool) -> LogSource:
    entry = podtarget.container_status(pod, str(spec["name"]))
    open_log = partial(
        logfiles.open_log,
        call.services.pod_log_dir,
        str(pod["metadata"]["uid"]),
        str(spec["name"]),
        previous=previous,
    )
    file = await asyncio.to_thread(open_log)
    age_s = call.services.clock.age_s

    async def runs() -> bool:
        route = call.route
        now = call.services.registry.get(kinds.PODS, route.namespace, route.name)
        return podtarget.still_runs(now, entry)

    return LogSource(
        file, partial(logtext.told, pod, spec, entry, age_s, previous=previous), open_log, runs
    )


def _options(query: Mapping[str, str], now: datetime, name: str) -> LogOptions:
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
    return LogOptions(
        follow=parameters.boolean(query, "follow"),
        timestamps=parameters.boolean(query, "timestamps"),
        tail_lines=tail_lines,
        limit_bytes=limit_bytes,
        since=since,
    )


def _invalid(field: str, value: int, why: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {value}: {why}", field)
