"""/metrics: what the server counts, by the names and labels of Kubernetes v1.36.

Source: apiserver/pkg/endpoints/metrics and pkg/storage/etcd3/metrics. As there a request is counted
once it has reached its handler: what was refused before (no such path, no right) is not. Counting
takes about a microsecond per request; the text is made when somebody scrapes.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncGenerator, Iterable

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.edge.messages import (
    ApiRequest,
    ApiResponse,
    Response,
    WatchResponse,
)
from kubeherd.cluster.apiserver.edge.routing import Route
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.runtime.metrics import (
    CONTENT_TYPE,
    REQUEST_BOUNDS_S,
    Family,
    Histogram,
    Kind,
    exponential,
    exposition,
    stopwatch_s,
)
from kubeherd.cluster.store.state import EventType
from kubeherd.cluster.store.store import Store

MAX_SERIES = 10_000
"""Kinds come and go with their definitions: beyond so many, the oldest counts are forgotten."""
PEAK_WINDOW_S = 1.0
_BYTES = exponential(1000, 10.0, 7)
_VERBS = {
    "get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT",
    "patch": "PATCH", "apply": "APPLY", "delete": "DELETE", "deletecollection": "DELETE",
}  # fmt: skip
_CONNECTS = frozenset({"log", "exec", "portforward", "attach", "proxy"})
_SIZED = frozenset({"GET", "LIST"})
_LASTING = frozenset({"WATCH", "CONNECT"})
_COMPONENT = "apiserver"
_OK, _SWITCHED, _BROKEN = 200, 101, 500
_APPLY = "application/apply-patch+yaml"
_SYSTEM_CLIENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
_REQUEST_LABELS = ("group", "version", "resource", "subresource", "scope", "component")
_OPERATIONS = {EventType.ADDED: "create", EventType.MODIFIED: "update", EventType.DELETED: "delete"}

_Key = tuple[str, str, str, str, str, str, str]
"""Verb and dry run as they are shown; group, version, plural, subresource, scope."""
_Shape = tuple[ServedKind, str, str, bool, bool, str]
"""What can be told of a request at once: kind, verb, subresource, whether it has no namespace and
no name, dry run."""


class UnderWay:
    """The number of requests that are being handled, and its maximum since the last scrape."""

    __slots__ = ("now", "peak")

    def __init__(self) -> None:
        self.now = self.peak = 0

    def taken_peak(self) -> int:
        """The maximum; from now on the next one is determined."""
        peak, self.peak = self.peak, self.now
        return peak


class Series:
    """Counts the requests that have all labels but the code in common.

    Every request is counted here, so this does without calls of small functions.
    """

    __slots__ = (
        "codes", "dry_run", "labels", "latency", "short", "sizes", "under_way", "verb",
    )  # fmt: skip

    def __init__(
        self, verb: str, dry_run: str, labels: tuple[str, ...], under_way: UnderWay
    ) -> None:
        """`labels`: group, version, resource, subresource, scope and component."""
        self.verb = verb
        self.dry_run = dry_run
        self.labels = labels
        self.codes: dict[str, dict[int, int]] = {"": {}}
        """The number of answers by client (a component, or "" for any other) and status code."""
        self.short = 0
        """The number of those that were short writes (`handlers.begun`)."""
        self.latency = Histogram(REQUEST_BOUNDS_S)
        self.sizes = Histogram(_BYTES)
        self.under_way = under_way

    def answered(self, request: ApiRequest, started_s: float, response: Response) -> None:
        """Count a request that began at `started_s` of the stopwatch, by its answer; a stream is
        counted when it ends."""
        if isinstance(response, ApiResponse):
            if self.verb in _SIZED:
                sizes, size = self.sizes, len(response.content)
                sizes.counts[bisect_left(_BYTES, size)] += 1
                sizes.total += size
            self._end(request, started_s, response.status)
        elif isinstance(response, WatchResponse):
            response.chunks = self._streamed(response.chunks, request, started_s)
        else:
            self._end(request, started_s, _SWITCHED)

    def failed(self, request: ApiRequest, started_s: float, error: BaseException) -> None:
        """Count a request that ended with an exception; a cancelled one has no code to count."""
        if isinstance(error, Exception):
            status = error.status_code if isinstance(error, ApiError) else _BROKEN
            self._end(request, started_s, status)
        else:
            self.under_way.now -= 1

    def _end(self, request: ApiRequest, started_s: float, status: int) -> None:
        took_s = stopwatch_s() - started_s
        self.under_way.now -= 1
        latency = self.latency
        latency.counts[bisect_left(REQUEST_BOUNDS_S, took_s)] += 1
        latency.total += took_s
        agent = request.headers.get("user-agent", "")
        client = _system_client(agent) if agent.startswith("kube-") else ""
        codes = self.codes.setdefault(client, {})
        codes[status] = codes.get(status, 0) + 1

    async def _streamed(
        self, chunks: AsyncGenerator[bytes, None], request: ApiRequest, started_s: float
    ) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            self._end(request, started_s, _OK)
            await chunks.aclose()


class Metrics:
    """All counts of one server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._series: dict[_Key, Series] = {}
        self._found: dict[_Shape, Series] = {}
        self._reading = UnderWay()
        self._writing = UnderWay()
        self._watched: Counter[tuple[str, str, str]] = Counter()

    def begin(self, request: ApiRequest, route: Route, kind: ServedKind) -> Series:
        """The series that a request for a resource belongs to; it is being handled from now on."""
        subresource, query, verb, dry_run = route.subresource, request.query, route.verb, ""
        if query and "dryRun" in query:
            dry_run = "All" if query["dryRun"] == "All" else "invalid"
        if verb == "patch" and request.headers.get("content-type") == _APPLY:
            verb = "apply"
        shape = (
            kind, verb, "" if subresource is None else subresource.name, not route.namespace,
            not route.name, dry_run,
        )  # fmt: skip
        series = self._found.get(shape)
        if series is None:
            series = self._first_of(shape)
        under_way = series.under_way
        under_way.now += 1
        if under_way.now > under_way.peak:
            under_way.peak = under_way.now
        return series

    def begin_path(self, path: str) -> Series:
        """As `begin` for a path that is no resource; Kubernetes reports it as a subresource."""
        series = self._of(("GET", "", "", "", "", path, ""))
        series.under_way.now += 1
        return series

    def _first_of(self, shape: _Shape) -> Series:
        kind, verb, subresource, no_namespace, no_name, dry_run = shape
        reported = "CONNECT" if subresource in _CONNECTS else _VERBS[verb]
        scope = "cluster" if no_namespace else "namespace"
        if verb == "create" or not no_name:
            scope = "resource"
        resource = kind.resource
        series = self._of((
            reported, dry_run, resource.group, resource.version, resource.plural, subresource,
            scope,
        ))  # fmt: skip
        if resource.custom is not None:
            return series  # the shape has the kind, and so would keep old definitions: megabytes
        if len(self._found) >= MAX_SERIES:
            self._found.clear()
        self._found[shape] = series
        return series

    def _of(self, key: _Key) -> Series:
        found = self._series.get(key)
        if found is None:
            if len(self._series) >= MAX_SERIES:
                del self._series[next(iter(self._series))]
                self._found.clear()
            verb, dry_run, *labels = key
            if verb in _LASTING:
                under_way = UnderWay()
            else:
                under_way = self._reading if verb in _SIZED else self._writing
            found = Series(verb, dry_run, (*labels, _COMPONENT), under_way)
            self._series[key] = found
        return found

    def events(self, resource: Resource, count: int) -> None:
        """Count events that were sent to a watcher."""
        self._watched[resource.group, resource.version, resource.plural] += count

    def answer(self) -> ApiResponse:
        """The answer to a scrape."""
        return ApiResponse(200, exposition(self.families()), CONTENT_TYPE)

    def families(self) -> Iterable[Family]:
        """All metrics."""
        yield from self._requests()
        yield Family(
            "apiserver_current_inflight_requests",
            Kind.GAUGE,
            "Most requests at once since the last scrape; watches and the like do not count.",
            ("request_kind",),
            [
                (("mutating",), self._writing.taken_peak()),
                (("readOnly",), self._reading.taken_peak()),
            ],
        )
        yield Family(
            "apiserver_watch_events_total",
            Kind.COUNTER,
            "Events sent to watching clients.",
            ("group", "version", "resource"),
            self._watched.items(),
        )
        yield from self._storage()

    def _requests(self) -> Iterable[Family]:
        every = list(self._series.values())
        yield Family(
            "apiserver_request_total",
            Kind.COUNTER,
            "Answered requests.",
            ("verb", "dry_run", *_REQUEST_LABELS, "code", "system_client"),
            (
                ((one.verb, one.dry_run, *one.labels, str(status), client), number)
                for one in every
                for client, codes in one.codes.items()
                for status, number in codes.items()
            ),
        )
        yield Family(
            "kubeherd_apiserver_short_writes_total",
            Kind.COUNTER,
            "Of apiserver_request_total: writes that went the short way.",
            ("verb", *_REQUEST_LABELS),
            (((one.verb, *one.labels), one.short) for one in every if one.short),
        )
        yield Family(
            "apiserver_request_duration_seconds",
            Kind.HISTOGRAM,
            "From a request's arrival to its answer, of a watch to its end.",
            ("verb", "dry_run", *_REQUEST_LABELS),
            (
                ((one.verb, one.dry_run, *one.labels), one.latency)
                for one in every
                if any(one.latency.counts)
            ),
        )
        yield Family(
            "apiserver_request_sli_duration_seconds",
            Kind.HISTOGRAM,
            "The same without dry runs; the time of webhooks is not taken off.",
            ("verb", *_REQUEST_LABELS),
            (
                ((one.verb, *one.labels), one.latency)
                for one in every
                if any(one.latency.counts) and not one.dry_run
            ),
        )
        yield Family(
            "apiserver_response_sizes",
            Kind.HISTOGRAM,
            "Bytes of answers to reads.",
            ("verb", *_REQUEST_LABELS),
            (((one.verb, *one.labels), one.sizes) for one in every if any(one.sizes.counts)),
        )
        yield Family(
            "apiserver_longrunning_requests",
            Kind.GAUGE,
            "Watches, logs that are followed and sessions that are open now.",
            ("verb", *_REQUEST_LABELS),
            (
                ((one.verb, *one.labels), one.under_way.now)
                for one in every
                if one.verb in _LASTING and one.under_way.now
            ),
        )

    def _storage(self) -> Iterable[Family]:
        store = self._store
        counts = [(key, len(store.list(key))) for key in sorted(store.resource_keys())]
        yield Family(
            "apiserver_storage_objects",
            Kind.GAUGE,
            "Stored objects (as apiserver_resource_objects, which followed it).",
            ("resource",),
            (((key,), number) for key, number in counts),
        )
        yield Family(
            "apiserver_resource_objects",
            Kind.GAUGE,
            "Stored objects.",
            ("group", "resource"),
            ((_group_resource(key), number) for key, number in counts),
        )
        yield Family(
            "etcd_request_duration_seconds",
            Kind.HISTOGRAM,
            "Of writes: how long the commit took that made them durable. Reads need none.",
            ("operation", "group", "resource"),
            (
                ((_OPERATIONS[type_], *_group_resource(key)), seconds)
                for (type_, key), seconds in store.commit_seconds.items()
            ),
        )
        for name, text, number in (
            ("apiserver_watchers", "Open watches and long-polls.", store.hub.watchers),
            ("store_revision", "The newest revision.", store.revision),
            ("store_compacted_revision", "The oldest kept revision.", store.compacted),
        ):
            yield Family(name, Kind.GAUGE, text, (), [((), number)])


def _system_client(agent: str) -> str:
    """Which component of the control plane asks, by its User-Agent; "" for all others."""
    name, slash, _ = agent.partition("/")
    return name if slash and name in _SYSTEM_CLIENTS else ""


def _group_resource(key: str) -> tuple[str, str]:
    """Group and plural of a storage key (``daemonsets.apps``)."""
    plural, _, group = key.partition(".")
    return group, plural
