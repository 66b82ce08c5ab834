"""What becomes of a staged write: whoever is told of a state must be told what is durable.

Staging decides on the newest state, which may still vanish: its commit fails, or in a store that is
shared another server was first (`Superseded`). Here it is waited for, and told whether a refusal
was for what is true.
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
"""What a writer is told whose commit takes too long."""
SUPERSEDED_TRIES: Final = 100
"""So often a write begins again because another server was first: of those that race for one object
one wins each time, and Kubernetes ends only with the request's time."""


class Outcomes:
    """Waits for them; one per process."""

    def __init__(self, store: Store, webhooks: Webhooks, authorizer: Authorizer) -> None:
        self._store = store
        self._webhooks = webhooks
        self._authorizer = authorizer

    async def commit(self, kind: ServedKind, pending: Pending) -> Written:
        """The result of a write when it is durable. Superseded: decide again; OutcomeUnknown: it
        takes too long."""
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
        """Whether what was refused was refused for what is true: `seen`, which was looked at, is
        durable (a refusal tells what there is, too), and nobody has written anything newer.

        A refusal may be for another object, too (a namespace, an account, a class, a quota): with
        `since`, the revision when the request came, it is true only if this server was not behind
        then. Who decides again has seen all that anybody was told of before, and gives None.
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
        """Before an object's newest state is looked at: return when it is durable, if somebody is
        told of it who does not wait for the write, which are the client of a dry run, and webhooks.
        It might vanish, and in a store that is shared its version is not known before."""
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
