"""Waiting for what becomes of staged writes, before anybody is told of their outcome.

A write is decided on the newest state, which may not be durable yet. It can still vanish: a commit
fails, or in a shared store another server was first (`Superseded`). So an answer waits for the
state that it rests on, and a refusal must be decided again if its state turned out not to be true.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from kubeherd.cluster.api import errors
from kubeherd.cluster.apiserver.access.authz import Authorizer
from kubeherd.cluster.apiserver.access.authz.rbac import GROUP as RBAC_GROUP
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.pending import Pending, Written
from kubeherd.cluster.apiserver.write.webhooks import Webhooks
from kubeherd.cluster.store.staged import Staged, Superseded
from kubeherd.cluster.store.state import Record
from kubeherd.cluster.store.store import Store

LATE: Final = "request did not complete within requested timeout"
"""The answer to a write whose commit takes too long."""
SUPERSEDED_TRIES: Final = 100
"""So often a write is decided again because another server was first. Of the servers that race for
an object one wins each time; Kubernetes tries until the request's time is over."""


class Outcomes:
    """Waits for outcomes; one per process."""

    def __init__(self, store: Store, webhooks: Webhooks, authorizer: Authorizer) -> None:
        self._store = store
        self._webhooks = webhooks
        self._authorizer = authorizer

    async def commit(self, kind: ServedKind, pending: Pending) -> Written:
        """Wait until a write is durable, and return its result. Superseded if it has to be decided
        again, OutcomeUnknown if it takes too long."""
        if pending.staged is None:
            return pending.written
        if kind.resource.group == RBAC_GROUP:
            self._authorizer.invalidate()
        await self._durable(pending.staged)
        record, written = pending.staged.record, pending.written
        written.json = record.json
        if written.tree is not None and self._store.is_shared:
            written.tree["metadata"]["resourceVersion"] = str(record.revision)
        return written

    async def commit_all(self, kind: ServedKind, pending: Iterable[Pending]) -> list[Pending]:
        """Wait for several staged writes; returns those that were superseded."""
        superseded = []
        for one in pending:
            try:
                await self.commit(kind, one)
            except Superseded:
                superseded.append(one)
        return superseded

    async def was_new(
        self,
        kind: ServedKind,
        namespace: str,
        name: str,
        seen: Record | None,
        since: int | None = None,
    ) -> bool:
        """Whether a refusal stands: the state of the object on which it was decided, `seen`, is
        durable, and nobody has written a newer one.

        The reason for a refusal may also be another object (a namespace, an account, a class, a
        quota). So with `since`, the revision at which the request came, it stands only if this
        server was not behind the others then. A write that is decided again passes None: it has
        seen everything that anybody was told of before.
        """
        staged = self._store.staged(kind.key, namespace, name)
        if staged is not None:
            try:
                await self._durable(staged)
            except Superseded:
                return False
        await self._store.fresh()
        if not self._store.is_shared:
            return True
        is_newest = self._store.get(kind.key, namespace, name) is seen
        return is_newest and since in (None, self._store.revision)

    async def told(self, kind: ServedKind, namespace: str, name: str, ctx: RequestContext) -> None:
        """Wait until the newest state of an object is durable, if the write shows it to somebody
        before it is durable itself: to the client of a dry run, or to webhooks. Until then that
        state may vanish, and in a shared store its resourceVersion is not known."""
        hooks = self._webhooks
        if not ctx.dry_run and not (
            self._store.is_shared and (hooks.may_change or hooks.may_refuse)
        ):
            return
        for _ in range(SUPERSEDED_TRIES):
            staged = self._store.staged(kind.key, namespace, name)
            if staged is None:
                return
            with suppress(Superseded):
                await self._durable(staged)
        raise errors.conflict(kind.resource, name, errors.MODIFIED)

    async def _durable(self, staged: Staged) -> None:
        try:
            await self._store.committed(staged)
        except TimeoutError:
            raise errors.OutcomeUnknown(LATE) from None
