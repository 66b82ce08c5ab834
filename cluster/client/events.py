"""The event recorder: says what happened to an object as an Event in the cluster.

Recording never waits and never fails: events go into a bounded queue (the oldest is dropped when
it is full), `run` correlates them (`cluster.client.correlate`) and writes them a few at a time.
Invariants: writes of one event series happen in order; an event that the server refuses is
dropped, one that it could not answer is tried again a few times.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from enum import Enum, auto

import msgspec
import structlog

from kubeherd.cluster.api.errors import AlreadyExists, ApiError, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import EVENTS, EVENTS_V1, Resource
from kubeherd.cluster.api.timestamps import format_micro_time, format_time
from kubeherd.cluster.client.backoff import Backoff
from kubeherd.cluster.client.client import ApiClient, PatchKind
from kubeherd.cluster.client.correlate import Combiner, Lru, SpamFilter
from kubeherd.cluster.client.sending import Outcome, Write
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.bell import Bell
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

QUEUE_LIMIT = 20_000
"""Room for the burst of a DaemonSet on 5,000 nodes, several times over; about 10 MB when full."""
BATCH_SIZE = 64
CONCURRENT_WRITES = 4
"""To a server that takes many in one request (`cluster.client.batching`) all of a batch go out."""
MAX_TRIES = 12
RETRY_BASE_S = 1.0
RETRY_CAP_S = 10.0
SERIES_IDLE_S = 360.0
"""A series without a new occurrence for so long is over: its last count is written."""
SERIES_REFRESH_S = 1800.0
"""How old the count in the cluster may get while a series goes on."""
EVENT_LIFE_S = 3600.0
"""After so long the event of a series is gone from the cluster: there is nothing to count on."""
MAX_NOTE_LENGTH = 1024

_log = structlog.get_logger(__name__)


class EventApi(Enum):
    """Which of the two event APIs a component writes; both show the same objects."""

    CORE_V1 = auto()
    EVENTS_V1 = auto()


class ObjectReference(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """The object that an event is about; `namespace` empty for a cluster-scoped one."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""


class _Occurrence(msgspec.Struct, frozen=True):
    regarding: ObjectReference
    type: str
    reason: str
    message: str
    action: str
    at_s: float
    at: datetime


class _Series(msgspec.Struct):
    """An event in the cluster that occurrences are counted on."""

    namespace: str
    name: str
    count: int = 0
    last_s: float = 0.0
    """When the last one was."""
    untold: _Occurrence | None = None
    """The last one, if the cluster was not told of it: thousands of series are remembered, and of
    nearly all of them there was one occurrence."""
    message: str = ""
    """Of what is untold."""
    reported_count: int = 0
    reported_s: float = 0.0


_Key = tuple[object, ...]
"""What the occurrences of one series have in common."""


class _Told(Enum):
    """What became of a try to tell the cluster how a series stands."""

    TAKEN = auto()
    REFUSED = auto()
    OVER = auto()
    """The event is gone, as its hour is over: the series begins anew."""
    UNANSWERED = auto()


class EventRecorder:
    """Records events of one component (`daemonset-controller`) on one host."""

    def __init__(
        self,
        client: ApiClient,
        component: str,
        host: str,
        clock: Clock,
        rng: Rng,
        *,
        api: EventApi = EventApi.CORE_V1,
    ) -> None:
        self.client = client
        self._component = component
        self._host = host
        self.clock = clock
        self._rng = rng
        self._api = api
        self._queue: deque[_Occurrence] = deque(maxlen=QUEUE_LIMIT)
        self._arrived = Bell()
        self._combiner = Combiner()
        self._spam = SpamFilter()
        self._series: Lru[tuple[object, ...], _Series] = Lru(idle_s=EVENT_LIFE_S)
        self._last_stamp = 0
        self._dropped = 0
        self._uncounted = False
        """Whether some series in the cluster shows a smaller count than it has."""

    def event(
        self,
        regarding: ObjectReference,
        type_: str,
        reason: str,
        message: str,
        *,
        action: str = "",
    ) -> None:
        """Record that something happened. `type_` is Normal or Warning.

        `action` is only written by the API events.k8s.io/v1, which requires it.
        """
        at_s, at = self.clock.monotonic_s(), self.clock.now()
        occurrence = _Occurrence(regarding, type_, reason, message, action, at_s, at)
        if len(self._queue) == QUEUE_LIMIT:
            self._dropped += 1
        self._queue.append(occurrence)
        self._arrived.set()

    async def run(self) -> None:
        """Write what is recorded until cancelled; may be called again."""
        while True:
            await self._until_work()
            if self._dropped:
                _log.warning("events_dropped", component=self._component, count=self._dropped)
                self._dropped = 0
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(BATCH_SIZE, len(self._queue)))]
                await self._write_batch(batch)
            self._arrived.clear()

    async def _until_work(self) -> None:
        """Until events arrive; while counts lag behind, series are looked at every 6 minutes."""
        while self._uncounted:
            try:
                await self.clock.wait_for(self._arrived.wait(), SERIES_IDLE_S)
            except TimeoutError:
                await self._settle_series()
            else:
                await self._settle_series()
                return
        await self._arrived.wait()

    async def _settle_series(self) -> None:
        """Write the counts of series that are over, and of those shown as too old."""
        now_s = self.clock.monotonic_s()
        self._uncounted = False
        for key, series in self._series.items():
            if series.untold is None:
                continue
            over = now_s - series.last_s >= SERIES_IDLE_S
            if not over and now_s - series.reported_s < SERIES_REFRESH_S:
                self._uncounted = True
                continue
            await self._tell({key: series})
            if over:
                self._series.drop(key)

    async def _write_batch(self, batch: list[_Occurrence]) -> None:
        """Occurrences of one series in order, different series at the same time."""
        by_series: dict[_Key, list[tuple[_Occurrence, str]]] = {}
        for occurrence in batch:
            key, message = self._correlate(occurrence)
            by_series.setdefault(key, []).append((occurrence, message))
        for turn in range(max(map(len, by_series.values()))):
            counted: dict[_Key, _Series] = {}
            for key, occurrences in by_series.items():
                if turn < len(occurrences):
                    series = self._count(key, *occurrences[turn])
                    if series is not None:
                        counted[key] = series
            if counted:
                await self._tell(counted)

    def _correlate(self, occurrence: _Occurrence) -> tuple[_Key, str]:
        """The series that an occurrence belongs to, and the message to show."""
        similar = (
            _identity(occurrence.regarding),
            occurrence.type,
            occurrence.reason,
            occurrence.action,
        )
        if self._api is EventApi.EVENTS_V1:
            return similar, occurrence.message[:MAX_NOTE_LENGTH]
        message, combined = self._combiner.combine(similar, occurrence.message, occurrence.at_s)
        return (similar if combined else (*similar, message)), message

    def _count(self, key: _Key, occurrence: _Occurrence, message: str) -> _Series | None:
        """Count an occurrence; returns its series if the cluster is to be told of it now."""
        series = self._series.get(key)
        idle_s = 0.0 if series is None else occurrence.at_s - series.last_s
        if series is None or (self._api is EventApi.EVENTS_V1 and idle_s > SERIES_IDLE_S):
            series = _Series(*self._new_name(occurrence.regarding), last_s=occurrence.at_s)
            self._series.put(key, series)
        series.count += 1
        series.last_s = occurrence.at_s
        series.untold = occurrence
        series.message = message
        if self._worth_writing(series, occurrence):
            return series
        self._uncounted = self._uncounted or self._api is EventApi.EVENTS_V1
        return None

    def _worth_writing(self, series: _Series, occurrence: _Occurrence) -> bool:
        if self._api is EventApi.EVENTS_V1:
            return series.count <= 2  # the second one starts the series; later ones only count
        return self._spam.admits(_identity(occurrence.regarding), occurrence.at_s)

    def _new_name(self, regarding: ObjectReference) -> tuple[str, str]:
        """(namespace, name): the name ends in the time in nanoseconds, made unique.

        The clock gives microseconds; chance gives the rest, else two components that tell of one
        object in the same microsecond (on virtual time: often) would take the same name.
        """
        nanos = int(self.clock.now().timestamp() * 1_000_000) * 1000 + self._rng.randrange(1000)
        self._last_stamp = max(self._last_stamp + 1, nanos)
        return regarding.namespace or "default", f"{regarding.name}.{self._last_stamp:016x}"

    async def _tell(self, counted: Mapping[_Key, _Series]) -> None:
        """Tell the cluster how these series stand; those that it does not take are forgotten."""
        writes = [self._next_write(series) for series in counted.values()]
        outcomes = await self.client.send_all(writes, parallel=CONCURRENT_WRITES)
        open_: list[tuple[_Key, _Series, _Told]] = []
        for (key, series), outcome in zip(counted.items(), outcomes, strict=True):
            told = self._take(series, outcome)
            if told is _Told.REFUSED:
                self._series.drop(key)
            elif told is not _Told.TAKEN:
                open_.append((key, series, told))
        if open_:
            async with asyncio.TaskGroup() as tasks:
                for key, series, told in open_:
                    tasks.create_task(self._try_hard(key, series, told))

    async def _try_hard(self, key: _Key, series: _Series, told: _Told) -> None:
        """Again, with back-off while there is no answer, after a try that settled nothing."""
        backoff = Backoff(self._rng, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S)
        for _ in range(MAX_TRIES - 1):
            if told is _Told.UNANSWERED:
                await self.clock.sleep(backoff.next_s())
            (outcome,) = await self.client.send_all([self._next_write(series)])
            told = self._take(series, outcome)
            if told is _Told.TAKEN:
                return
            if told is _Told.REFUSED:
                break
        else:
            _log.warning("event_dropped", name=series.name, tries=MAX_TRIES)
        self._series.drop(key)

    def _next_write(self, series: _Series) -> Write:
        """What tells the cluster how a series stands: an event, or its count."""
        last = series.untold
        if last is None:
            raise ValueError(f"all is told of the series {series.name}")
        if series.reported_count:
            path = self._resource.path(series.namespace, series.name)
            body = msgspec.json.encode(self._count_patch(series, last))
            return Write("PATCH", path, body, PatchKind.STRATEGIC.value)
        path = self._resource.path(series.namespace)
        return Write("POST", path, *self.client.encode(self._tree(series, last)))

    def _take(self, series: _Series, outcome: Outcome) -> _Told:
        """What became of a write, after which the series is as the cluster shows it."""
        if isinstance(outcome, TransportError):
            return _Told.UNANSWERED
        if isinstance(outcome, NotFound) and series.reported_count and series.untold is not None:
            series.reported_count = 0
            series.namespace, series.name = self._new_name(series.untold.regarding)
            return _Told.OVER
        lost_before = isinstance(outcome, AlreadyExists) and not series.reported_count
        if isinstance(outcome, ApiError) and not lost_before:
            _log.info("event_refused", name=series.name, error=outcome.message)
            return _Told.REFUSED
        series.reported_count = series.count
        series.reported_s = self.clock.monotonic_s()
        series.untold, series.message = None, ""
        return _Told.TAKEN

    @property
    def _resource(self) -> Resource:
        return EVENTS if self._api is EventApi.CORE_V1 else EVENTS_V1

    def _count_patch(self, series: _Series, last: _Occurrence) -> JsonObject:
        if self._api is EventApi.EVENTS_V1:
            observed = format_micro_time(last.at)
            return {"series": {"count": series.count, "lastObservedTime": observed}}
        time = format_time(last.at)
        return {"count": series.count, "lastTimestamp": time, "message": series.message}

    def _tree(self, series: _Series, last: _Occurrence) -> JsonObject:
        tree: JsonObject = {
            "apiVersion": self._resource.api_version,
            "kind": "Event",
            "metadata": {"name": series.name, "namespace": series.namespace},
            "reason": last.reason,
            "type": last.type,
        }
        if self._api is EventApi.EVENTS_V1:
            tree |= {
                "eventTime": format_micro_time(last.at),
                "reportingController": self._component,
                "reportingInstance": f"{self._component}-{self._host}",
                "action": last.action or last.reason,
                "regarding": last.regarding,
                "note": series.message,
            }
        else:
            time = format_time(last.at)
            tree |= {
                "eventTime": None,
                "involvedObject": last.regarding,
                "message": series.message,
                "source": {"component": self._component, "host": self._host},
                "firstTimestamp": time,
                "lastTimestamp": time,
                "count": series.count,
                "reportingComponent": self._component,
                "reportingInstance": self._host,
            }
        return tree


def _identity(reference: ObjectReference) -> tuple[str, ...]:
    """What makes two references the same object: everything but its revision."""
    return (
        reference.api_version,
        reference.kind,
        reference.namespace,
        reference.name,
        reference.uid,
        reference.field_path,
    )
