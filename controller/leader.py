"""Leader election by a Lease, so that of several controller managers one acts.

As client-go does it with the flags of kube-controller-manager: Lease `kube-controller-manager` in
`kube-system`, duration 15 s, renew deadline 10 s, retry every 2 s (nominal). A lease counts as
expired when its record has not changed for its duration by the observer's own clock. Beyond
Kubernetes: the identity names the holder's process, so a manager killed on the same machine is
succeeded at once instead of after 15 s. Invariant: `hold` returns before another could take over.
"""

from collections.abc import Callable
from enum import Enum, auto

import msgspec
import structlog

from kubeherd.cluster.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import LEASES
from kubeherd.cluster.api.objects import Lease
from kubeherd.cluster.api.timestamps import format_micro_time
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

LEASE_NAMESPACE = "kube-system"
LEASE_NAME = "kube-controller-manager"
LEASE_DURATION_S = 15
RENEW_DEADLINE_S = 10.0
RETRY_PERIOD_S = 2.0
JITTER = 0.2

_log = structlog.get_logger(__name__)


class _Answer(Enum):
    HELD = auto()
    TAKEN = auto()
    UNKNOWN = auto()


class LeaderElector:
    """One candidate. `is_dead(identity)` says whether a holder is known to have died."""

    def __init__(
        self,
        client: ApiClient,
        clock: Clock,
        rng: Rng,
        *,
        identity: str,
        is_dead: Callable[[str], bool] = lambda _identity: False,
    ) -> None:
        self._client = client
        self._clock = clock
        self._rng = rng
        self._identity = identity
        self._is_dead = is_dead
        self._seen_record: tuple[str, str] | None = None
        self._seen_at_s = 0.0
        self._lease: Lease | None = None
        self._renewed_s = 0.0
        self._failing = False

    async def acquire(self) -> None:
        """Return when this candidate holds the lease."""
        reported = ""
        while True:
            answer = await self._try_to_hold()
            if answer is _Answer.HELD:
                _log.info("leading", lease=LEASE_NAME, identity=self._identity)
                return
            if answer is _Answer.TAKEN and reported != (holder := self._holder()):
                _log.info("standing_by", lease=LEASE_NAME, holder=holder)
                reported = holder
            await self._clock.sleep(self._rng.jittered(RETRY_PERIOD_S, JITTER))

    async def hold(self) -> None:
        """Renew; return when the lease is lost: taken by another, or not renewed for 10 s."""
        while True:
            started_s = self._clock.monotonic_s()
            unrenewed_s = started_s - self._renewed_s
            if unrenewed_s > LEASE_DURATION_S:
                _log.warning("lease_lost", lease=LEASE_NAME, why="not renewed in time")
                return
            if unrenewed_s >= RETRY_PERIOD_S:
                last_try_s = min(RETRY_PERIOD_S, LEASE_DURATION_S - unrenewed_s)
                answer = await self._renew_within(max(RENEW_DEADLINE_S - unrenewed_s, last_try_s))
                late = self._clock.monotonic_s() - self._renewed_s >= RENEW_DEADLINE_S
                if answer is _Answer.TAKEN or (answer is _Answer.UNKNOWN and late):
                    _log.warning("lease_lost", lease=LEASE_NAME, holder=self._holder())
                    return
            await self._clock.sleep(RETRY_PERIOD_S)

    async def release(self) -> None:
        """Give the lease up, if held, so that a successor need not wait; best effort."""
        lease = self._lease
        if lease is None or lease.spec.holder_identity != self._identity:
            return
        try:
            await self._clock.wait_for(self._write(lease, holder="", duration_s=1), RETRY_PERIOD_S)
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
            answer = await self._attempt()
        except (Conflict, AlreadyExists, NotFound):
            self._lease = None
            return _Answer.UNKNOWN
        except (ApiError, TransportError) as error:
            if not self._failing and not self._client.unreachable:
                self._failing = True
                _log.warning("lease_unreachable", lease=LEASE_NAME, error=str(error))
            return _Answer.UNKNOWN
        if answer is _Answer.HELD:
            self._renewed_s = started_s
        if self._failing:
            self._failing = False
            _log.info("lease_reachable", lease=LEASE_NAME)
        return answer

    async def _attempt(self) -> _Answer:
        lease = self._lease
        if lease is None or lease.spec.holder_identity != self._identity:
            try:
                lease = await self._client.get(LEASES, Lease, LEASE_NAME, LEASE_NAMESPACE)
            except NotFound:
                await self._create()
                return _Answer.HELD
            self._observe(lease)
            if not self._may_take(lease):
                return _Answer.TAKEN
        await self._write(lease, holder=self._identity, duration_s=LEASE_DURATION_S)
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
        duration_s = lease.spec.lease_duration_seconds or LEASE_DURATION_S
        return self._clock.monotonic_s() - self._seen_at_s >= duration_s

    def _holder(self) -> str:
        return (self._lease and self._lease.spec.holder_identity) or ""

    async def _create(self) -> None:
        tree = self._tree(Lease(), self._identity, LEASE_DURATION_S)
        self._remember(await self._client.create(LEASES, tree, LEASE_NAMESPACE))

    async def _write(self, lease: Lease, *, holder: str, duration_s: int) -> None:
        self._remember(await self._client.update(LEASES, self._tree(lease, holder, duration_s)))

    def _remember(self, tree: JsonObject) -> None:
        self._observe(msgspec.convert(tree, Lease))

    def _tree(self, lease: Lease, holder: str, duration_s: int) -> JsonObject:
        now = format_micro_time(self._clock.now())
        same = lease.spec.holder_identity == holder
        metadata: JsonObject = {"name": LEASE_NAME, "namespace": LEASE_NAMESPACE}
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
                "leaseDurationSeconds": duration_s,
                "acquireTime": lease.spec.acquire_time if same else now,
                "renewTime": now,
                "leaseTransitions": transitions + takes_over,
            },
        }
