"""Who asks the API server for what, how often, and how it ends: from its audit log. Pure."""

from collections.abc import Iterable
from typing import Final

import msgspec

from kubeherd.checks.objects import seconds

MAX_ROWS: Final = 500
HINT: Final = (
    "the API server writes no audit log: begin the cluster with `kubeherd up --audit-policy FILE`, "
    "where FILE says for example {apiVersion: audit.k8s.io/v1, kind: Policy, "
    "omitStages: [RequestReceived], rules: [{level: Metadata}]}"
)
_COMPLETE: Final = "ResponseComplete"


class Row(msgspec.Struct):
    """One kind of request of one client. Latencies are real milliseconds; 0 for watches."""

    who: str
    verb: str
    resource: str
    count: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    last: float = 0.0
    """When the newest came, in seconds since the epoch."""


class Requests(msgspec.Struct):
    """What the page gets; the busiest rows first."""

    source: str
    """``audit``, or ``none`` if there is no audit log."""
    hint: str
    rows: list[Row] = []
    window_s: float = 0.0
    """How long a time the rows are of."""


class _User(msgspec.Struct, frozen=True):
    username: str = ""


class _Reference(msgspec.Struct, frozen=True):
    resource: str = ""
    group: str = msgspec.field(name="apiGroup", default="")
    subresource: str = ""


class _Status(msgspec.Struct, frozen=True):
    code: int = 0


class _Event(msgspec.Struct, frozen=True, rename="camel"):
    stage: str = ""
    verb: str = ""
    user: _User = _User()
    user_agent: str = ""
    object_ref: _Reference | None = None
    response_status: _Status = _Status()
    request_received_timestamp: str = ""
    stage_timestamp: str = ""
    request_uri: str = msgspec.field(name="requestURI", default="")


_decoder: Final = msgspec.json.Decoder(_Event)


def summary(lines: Iterable[str]) -> Requests:
    """The events of an audit log, by client, verb and resource."""
    rows: dict[tuple[str, str, str], Row] = {}
    took: dict[tuple[str, str, str], list[float]] = {}
    first = float("inf")
    for line in lines:
        try:
            event = _decoder.decode(line)
        except msgspec.DecodeError:
            continue
        if event.stage != _COMPLETE:
            continue
        key = _who(event), event.verb, _what(event)
        row = rows.setdefault(key, Row(*key))
        begun, ended = seconds(event.request_received_timestamp), seconds(event.stage_timestamp)
        first, row.last = min(first, begun), max(row.last, begun)
        _count(row, event.response_status.code)
        if event.verb != "watch":
            took.setdefault(key, []).append(max(ended - begun, 0.0) * 1000)
    for key, times in took.items():
        rows[key].p50_ms, rows[key].p99_ms = _percentiles(times)
    newest = max((row.last for row in rows.values()), default=0.0)
    busiest = sorted(rows.values(), key=lambda row: (-row.count, row.who, row.verb, row.resource))
    window_s = newest - first if rows else 0.0
    return Requests("audit", "", busiest[:MAX_ROWS], window_s)


def _count(row: Row, code: int) -> None:
    row.count += 1
    row.errors_4xx += 400 <= code < 500
    row.errors_5xx += code >= 500


def _who(event: _Event) -> str:
    """The user, and the program by the first word of its User-Agent."""
    return " ".join(filter(None, [event.user.username, *event.user_agent.split()[:1]]))


def _what(event: _Event) -> str:
    of = event.object_ref
    if of is None:
        return event.request_uri.partition("?")[0]
    name = f"{of.resource}.{of.group}" if of.group else of.resource
    return f"{name}/{of.subresource}" if of.subresource else name


def _percentiles(times: list[float]) -> tuple[float, float]:
    times.sort()
    last = len(times) - 1
    return round(times[last // 2], 3), round(times[last * 99 // 100], 3)
