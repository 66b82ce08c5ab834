"""Leader election by a Lease, so that of several controller managers one acts.

As client-go does it, by default as kube-controller-manager without flags: Lease
`kube-controller-manager` in `kube-system`, duration 15 s, renew deadline 10 s, retry every 2 s
(nominal). A lease counts as expired when its record has not changed for its duration by the
observer's own clock. Beyond Kubernetes: the identity names the holder's process, so a manager
killed on the same machine is succeeded at once instead of after 15 s; and there is a fence around
what a leader writes (`api.private.fence`). Invariants: `hold` returns before another could take
over, unless the process or its machine hung; what it writes then is refused, because the term for
which it is sent stays in force here until everything of it has ended.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum, auto

import msgspec
import structlog

from kubeherd.cluster.api.errors import AlreadyExists, ApiError, Conflict, LeaseLost, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import LEASES
from kubeherd.cluster.api.objects import Lease
from kubeherd.cluster.api.private import fence
from kubeherd.cluster.api.timestamps import format_micro_time
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.events import EventRecorder, ObjectReference
from kubeherd.cluster.client.fence import Fence
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.metrics import Family, Kind
from kubeherd.cluster.runtime.rng import Rng

JITTER = 0.2
_CHANGED = (Conflict, AlreadyExists, NotFound, LeaseLost)
"""The Lease is no longer what an attempt rested on."""
_COMPONENTS = {"kube-scheduler": "default-scheduler"}
"""Who tells of an election in events, where it is not called as the lease."""

_log = structlog.get_logger(__name__)


class _Answer(Enum):
    HELD = auto()
    TAKEN = auto()
    UNKNOWN = auto()


class Election(msgspec.Struct, frozen=True):
    """Which Lease is held, and for how long; the flags ``--leader-elect-*`` of Kubernetes."""

    namespace: str = "kube-system"
    name: str = "kube-controller-manager"
    duration_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_period_s: float = 2.0

    def check(self) -> None:
        """ValueError for terms that no leader could keep (client-go, leaderelection.go)."""
        if self.duration_s < 1 or self.retry_period_s <= 0:
            raise ValueError("leaseDuration and retryPeriod must be greater than zero")
        if self.duration_s <= self.renew_deadline_s:
            raise ValueError("leaseDuration must be greater than renewDeadline")
        if self.renew_deadline_s <= (1 + JITTER) * self.retry_period_s:
            raise ValueError("renewDeadline must be greater than retryPeriod*JitterFactor")


KUBE_CONTROLLER_MANAGER = Election()


class LeaderElector:
    """One candidate. `is_dead(identity)` says whether a holder is known to have died, `is_alive`
    whether it is known to live. The owner runs `events.run()` beside the rest, and puts `fence`
    around the clients of those who act."""

    def __init__(
        self,
        client: ApiClient,
        clock: Clock,
        rng: Rng,
        *,
        identity: str,
        is_dead: Callable[[str], bool] = lambda _identity: False,
        is_alive: Callable[[str], bool] = lambda _identity: False,
        election: Election = KUBE_CONTROLLER_MANAGER,
    ) -> None:
        self._client = client
        self._election = election
        self._clock = clock
        self._rng = rng
        self._identity = identity
        self._is_dead = is_dead
        self._is_alive = is_alive
        self.fence = Fence()
        component = _COMPONENTS.get(election.name, election.name)
        self.events = EventRecorder(client, component, "", clock, rng.child("events"))
        self._seen_record: tuple[str, str] | None = None
        self._seen_at_s = 0.0
        self._lease: Lease | None = None
        self._renewed_s = 0.0
        self._failing = False
        self.defiance: asyncio.Event | None = None
        """While there is one, who leads lets the lease expire, and acts on until it is set."""

    def families(self) -> Iterable[Family]:
        """Whether this candidate leads, as component-base/metrics/prometheus/clientgo tells it."""
        yield Family(
            "leader_election_master_status",
            Kind.GAUGE,
            "Whether this process leads (1) or stands by (0), by the name of the lease.",
            ("name",),
            [((self._election.name,), int(bool(self.fence.header)))],
        )

    async def acquire(self, standing_by: Callable[[], None] = lambda: None) -> None:
        """Return when this candidate holds the lease: its term begins. Nothing of the last one may
        act any more. `standing_by` is called once for each other leader that is known to live.
        """
        self._end_term()
        reported = ""
        while True:
            answer = await self._try_to_hold()
            if answer is _Answer.HELD:
                self.fence.put_up(self._term())
                self._announce("became leader")
                _log.info("leading", lease=self._election.name, identity=self._identity)
                return
            if answer is _Answer.TAKEN and reported != (holder := self._holder()):
                _log.info("standing_by", lease=self._election.name, holder=holder)
                reported = holder
                if self._is_alive(holder):
                    standing_by()
            await self._clock.sleep(self._rng.jittered(self._election.retry_period_s, JITTER))

    async def hold(self) -> None:
        """Renew; return when the term is over: the lease is another's, was made anew, or was not
        renewed for 10 s, or the server has refused a write of this term."""
        await self._renew_until_lost()
        if self.defiance is not None:
            _log.warning("acting_without_lease", lease=self._election.name, holder=self._holder())
            await self.defiance.wait()

    async def _renew_until_lost(self) -> None:
        while not self.fence.refused.is_set():
            if self.defiance is not None:
                return
            unrenewed_s = self._clock.monotonic_s() - self._renewed_s
            if unrenewed_s > self._election.duration_s:
                _log.warning("lease_lost", lease=self._election.name, why="not renewed in time")
                return
            if unrenewed_s >= self._election.retry_period_s and await self._lost(unrenewed_s):
                _log.warning("lease_lost", lease=self._election.name, holder=self._holder())
                return
            with suppress(TimeoutError):
                await self._clock.wait_for(self.fence.refused.wait(), self._election.retry_period_s)
        _log.warning("lease_lost", lease=self._election.name, why="a write was refused")

    async def _lost(self, unrenewed_s: float) -> bool:
        """Try to renew; whether the term is over."""
        terms = self._election
        last_try_s = min(terms.retry_period_s, terms.duration_s - unrenewed_s)
        answer = await self._renew_within(max(terms.renew_deadline_s - unrenewed_s, last_try_s))
        if answer is _Answer.UNKNOWN:
            return self._clock.monotonic_s() - self._renewed_s >= terms.renew_deadline_s
        return answer is _Answer.TAKEN or self._term() != self.fence.header

    async def release(self) -> None:
        """Give the lease up, if held, so that a successor need not wait; best effort."""
        lease = self._lease
        if lease is None or lease.spec.holder_identity != self._identity:
            return
        try:
            await self._clock.wait_for(
                self._write(lease, holder="", duration_s=1), self._election.retry_period_s
            )
        except (ApiError, TransportError, TimeoutError) as error:
            _log.info("lease_not_released", error=str(error))

    async def _renew_within(self, timeout_s: float) -> _Answer:
        try:
            return await self._clock.wait_for(self._try_to_hold(), timeout_s)
        except TimeoutError:
            return _Answer.UNKNOWN

    async def _try_to_hold(self) -> _Answer:
        started_s = self._clock.monotonic_s()
        try:
            answer = await self._attempt_twice()
        except _CHANGED:
            self._lease = None
            return _Answer.UNKNOWN
        except (ApiError, TransportError) as error:
            if not self._failing and not self._client.unreachable:
                self._failing = True
                _log.warning("lease_unreachable", lease=self._election.name, error=str(error))
            return _Answer.UNKNOWN
        if answer is _Answer.HELD:
            self._renewed_s = started_s
        if self._failing:
            self._failing = False
            _log.info("lease_reachable", lease=self._election.name)
        return answer

    async def _attempt_twice(self) -> _Answer:
        """As client-go: if the Lease is no longer what it was, look at it before the next try."""
        try:
            return await self._attempt()
        except _CHANGED:
            self._lease = None
            return await self._attempt()

    async def _attempt(self) -> _Answer:
        lease = self._lease
        if lease is None or lease.spec.holder_identity != self._identity:
            try:
                lease = await self._client.get(
                    LEASES, Lease, self._election.name, self._election.namespace
                )
            except NotFound:
                await self._create()
                return _Answer.HELD
            self._observe(lease)
            if not self._may_take(lease):
                return _Answer.TAKEN
        await self._write(lease, holder=self._identity, duration_s=self._election.duration_s)
        return _Answer.HELD

    def _observe(self, lease: Lease) -> None:
        record = (lease.spec.holder_identity or "", lease.spec.renew_time or "")
        if record != self._seen_record:
            self._seen_record = record
            self._seen_at_s = self._clock.monotonic_s()
        self._lease = lease

    def _may_take(self, lease: Lease) -> bool:
        holder = lease.spec.holder_identity or ""
        if holder in ("", self._identity) or self._is_dead(holder):
            return True
        duration_s = lease.spec.lease_duration_seconds or self._election.duration_s
        return self._clock.monotonic_s() - self._seen_at_s >= duration_s

    def _end_term(self) -> None:
        if self.fence.header:
            self.fence.take_down()
            self._announce("stopped leading")

    def _term(self) -> str:
        """The fence of this holder's time with the lease as it was last seen."""
        transitions = self._lease.spec.lease_transitions if self._lease else None
        place = (self._election.namespace, self._election.name)
        return fence.Term(*place, self._identity, transitions or 0).header()

    def _announce(self, what: str) -> None:
        """Tell of it in an event at the Lease, in client-go's words."""
        lease = ObjectReference(
            api_version=LEASES.api_version,
            kind=LEASES.kind,
            namespace=self._election.namespace,
            name=self._election.name,
            uid=self._lease.metadata.uid if self._lease else "",
            resource_version=self._lease.metadata.resource_version if self._lease else "",
        )
        self.events.event(lease, "Normal", "LeaderElection", f"{self._identity} {what}")

    def _holder(self) -> str:
        return (self._lease and self._lease.spec.holder_identity) or ""

    async def _create(self) -> None:
        tree = self._tree(Lease(), self._identity, self._election.duration_s)
        self._remember(await self._client.create(LEASES, tree, self._election.namespace))

    async def _write(self, lease: Lease, *, holder: str, duration_s: float) -> None:
        self._remember(await self._client.update(LEASES, self._tree(lease, holder, duration_s)))

    def _remember(self, tree: JsonObject) -> None:
        self._observe(msgspec.convert(tree, Lease))

    def _tree(self, lease: Lease, holder: str, duration_s: float) -> JsonObject:
        now = format_micro_time(self._clock.now())
        same = lease.spec.holder_identity == holder
        metadata: JsonObject = {
            "name": self._election.name,
            "namespace": self._election.namespace,
        }
        if lease.metadata.resource_version:
            metadata["resourceVersion"] = lease.metadata.resource_version
        transitions = lease.spec.lease_transitions or 0
        takes_over = bool(holder) and not same and bool(lease.metadata.resource_version)
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": int(duration_s),
                "acquireTime": lease.spec.acquire_time if same else now,
                "renewTime": now,
                "leaseTransitions": transitions + takes_over,
            },
        }
