"""Asking etcd: one member at a time, another when it fails, for so long and no longer.

Invariant: `ask` with `once` sends a request once only, unless it is certain that it was not carried
out; where that is not certain, OutcomeUnknown. All else may be sent again.
"""

import asyncio
from typing import Any

import structlog

from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import OutcomeUnknown, StoreError
from kubeherd.cluster.store.etcd.failures import Failure, Meaning, judge
from kubeherd.cluster.store.etcd.grpc.status import CallError
from kubeherd.cluster.store.etcd.member import Call, Member, Unfit
from kubeherd.cluster.store.etcd.target import EtcdTarget
from kubeherd.cluster.store.sharedengine import Compacted

ANSWER_S = 5.0
"""How long one member may take to answer."""

PATIENCE_S = 5.0
"""How long a member is looked for that can be asked, before who asks is told."""

_BACKOFF_S = 0.05
_BACKOFF_CAP_S = 0.8
_JITTER = 0.5

_log = structlog.get_logger(__name__)


class LeaseGone(StoreError):
    """Nothing was written: the lease has ended meanwhile."""


class NoSpace(StoreError):
    """etcd has no space left; whether a transaction was made has to be looked up."""


class EtcdClient:
    """See the module."""

    def __init__(self, target: EtcdTarget, rng: Rng) -> None:
        target.check()
        self._members = [Member(endpoint, target) for endpoint in target.endpoints]
        self._at = rng.randrange(len(self._members))
        self._rng = rng
        self._cluster_id = 0
        self._search: asyncio.Task[Member] | None = None
        self._closed = False

    async def ask(self, call: Call, request: Any, *, once: bool = False) -> Any:
        """The answer. StoreError, and of it Compacted, LeaseGone, NoSpace, OutcomeUnknown."""
        deadline_s = _now_s() + PATIENCE_S
        attempt = 0
        while True:
            member = self._members[self._at]
            if not member.usable:
                member = await self._connected()
            try:
                return await member.ask(call, request, ANSWER_S)
            except CallError as error:
                failure = judge(error.code, error.details)
            self._leave(member, failure)
            if failure.meaning is Meaning.UNKNOWN and once:
                raise OutcomeUnknown(_sentence(member, failure))
            if failure.meaning not in _SENT_AGAIN or _now_s() >= deadline_s:
                raise _ERRORS.get(failure.meaning, StoreError)(_sentence(member, failure))
            await self._pause(attempt)
            attempt += 1

    def _leave(self, member: Member, failure: Failure) -> None:
        if failure.meaning is Meaning.UNAUTHENTICATED:
            member.forget()
        elif failure.meaning in _SENT_AGAIN:
            self.avoid(member)

    def avoid(self, member: Member) -> None:
        """Ask another member next, if there is one."""
        if self._members[self._at] is member:
            self._at = (self._at + 1) % len(self._members)

    async def member(self) -> Member:
        """A member that can be asked. StoreError."""
        member = self._members[self._at]
        return member if member.usable else await self._connected()

    async def _connected(self) -> Member:
        """One search for all who want one at the same time."""
        if self._search is None or self._search.done():
            self._search = asyncio.create_task(self._find(), name="etcd-connect")
        try:
            return await asyncio.shield(self._search)
        except StoreError as error:
            raise StoreError(str(error)) from None  # one of its own for each

    async def _find(self) -> Member:
        deadline_s = _now_s() + PATIENCE_S
        attempt = 0
        problems: dict[str, str] = {}
        while not self._closed:
            for _ in self._members:
                member = self._members[self._at]
                problem = await self._try(member)
                if not problem:
                    return member
                problems[member.endpoint] = problem
                self.avoid(member)
            if _now_s() >= deadline_s:
                told = "; ".join(f"{endpoint}: {why}" for endpoint, why in problems.items())
                raise StoreError(f"etcd cannot be asked: {told}")
            await self._pause(attempt)
            attempt += 1
        raise StoreError("the connections to etcd are closed")

    async def _try(self, member: Member) -> str:
        """Connect to one; why that is not possible, or ""."""
        try:
            self._check_cluster((await member.connect()).cluster_id)
        except CallError as error:
            member.forget()
            return judge(error.code, error.details).why
        except Unfit as error:
            member.forget()
            return str(error)
        return ""

    def _check_cluster(self, cluster_id: int) -> None:
        """Unfit for a member of another cluster than the first that was asked."""
        if self._cluster_id and cluster_id != self._cluster_id:
            raise Unfit("it is a member of another cluster than the one asked before")
        self._cluster_id = cluster_id

    async def _pause(self, attempt: int) -> None:
        wait_s = min(_BACKOFF_CAP_S, _BACKOFF_S * 2 ** min(attempt, 8))
        await asyncio.sleep(self._rng.jittered(wait_s, _JITTER))

    async def close(self) -> None:
        """End all that is under way."""
        self._closed = True
        if self._search is not None:
            self._search.cancel()
        for member in self._members:
            member.close()


_SENT_AGAIN = frozenset({Meaning.ELSEWHERE, Meaning.UNKNOWN, Meaning.UNAUTHENTICATED})
_ERRORS = {
    Meaning.COMPACTED: Compacted,
    Meaning.NO_LEASE: LeaseGone,
    Meaning.NO_SPACE: NoSpace,
}


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _sentence(member: Member, failure: Failure) -> str:
    return f"etcd at {member.endpoint}: {failure.why}"
