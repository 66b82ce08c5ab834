"""Create, update and delete of objects: a write is tried until it is known what became of it.

Each try goes through the `Pipeline`. It begins again where the object has changed while the try was
under way, or where the store says that others wrote what it rests on; in a shared store a refusal
that may rest on the past is no answer, either (`Outcomes`).
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.cel import effort
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject, copied
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write import accountwait
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.deletion import DeleteOptions
from kubeherd.cluster.apiserver.write.heavywork import HeavyWork
from kubeherd.cluster.apiserver.write.outcomes import SUPERSEDED_TRIES, Outcomes
from kubeherd.cluster.apiserver.write.pending import Written
from kubeherd.cluster.apiserver.write.pipeline import ChangedMeanwhile, Given, Pipeline, Prepare
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.staged import Superseded
from kubeherd.cluster.store.store import Store

_CHANGED_TRIES = 5
"""So often a large write begins again because the object has changed, like Kubernetes' patches."""


class Registry(Pipeline):
    """The write side of the API server; one per process."""

    def __init__(self, store: Store, rng: Rng, heavy: HeavyWork) -> None:
        super().__init__(store, rng, heavy)
        self.outcomes = Outcomes(store, self.webhooks, self.authorizer)

    async def create(
        self, kind: ServedKind, namespace: str, tree: JsonObject, ctx: RequestContext
    ) -> Written:
        """Store a new object from a decoded, defaulted tree in the served version."""
        effort.begin(ctx.size_bytes)
        if kind.resource is kinds.PODS:
            await accountwait.default_account(self.store, namespace, tree, ctx.now)
        # What a try has made of the tree must not be seen by the next one.
        again = copied(tree) if self.store.is_shared else {}
        since: int | None = self.store.revision
        for _ in range(SUPERSEDED_TRIES):
            name = (tree.get("metadata") or {}).get("name", "")
            seen = self.store.head(kind.key, namespace, name)
            steps = self.create_steps(kind, namespace, tree, ctx)
            try:
                pending = await self._heavy.carry_out(steps, ctx.size_bytes)
            except ApiError:
                if await self.outcomes.was_new(kind, namespace, name, seen, since):
                    raise
                since = None
            else:
                with suppress(Superseded):
                    return await self.outcomes.commit(kind, pending)
            tree, ctx.dropped = copied(again), []
        raise errors.conflict(kind.resource, name, errors.MODIFIED)

    async def update(
        self,
        kind: ServedKind,
        namespace: str,
        name: str,
        transform: Callable[[JsonObject], JsonObject],
        ctx: RequestContext,
        *,
        prepare: Prepare | None = None,
        on_missing: Callable[[], JsonObject] | None = None,
        conditional: bool = False,
        given: Given = Given.WHOLE,
    ) -> Written:
        """Change an object. `transform` is `given` it (served version) and returns the
        wanted one, decoded and defaulted; `prepare` is the strategy's for this subresource
        (default: the main resource's). An absent object is created from `on_missing`, else 404.
        `conditional`: an object without resourceVersion is refused for kinds that demand one.
        """
        prepare = prepare or kind.strategy.prepare_update
        changed = superseded = 0
        since: int | None = self.store.revision
        while changed < _CHANGED_TRIES and superseded < SUPERSEDED_TRIES:
            await self.outcomes.told(kind, namespace, name, ctx)
            record = self.store.head(kind.key, namespace, name)
            if record is None:
                if on_missing is None:
                    if await self.outcomes.was_new(kind, namespace, name, None):
                        raise errors.not_found(kind.resource, name)
                    superseded += 1
                    continue
                ctx.creates_on_update = True
                missing = await self._heavy.run(on_missing, ctx.size_bytes)
                try:
                    return await self.create(kind, namespace, missing, ctx)
                except errors.AlreadyExists:
                    if self.store.head(kind.key, namespace, name) is None:
                        raise
                    superseded += 1  # by another create: so this is an update
                    continue
            look = partial(self.look, kind, record, transform, given)
            steps = self.update_steps(kind, record, look, ctx, prepare, conditional)
            size_bytes = ctx.size_bytes + record.size
            effort.begin(size_bytes)
            try:
                pending = await self._heavy.carry_out(steps, size_bytes)
            except ApiError:
                if await self.outcomes.was_new(kind, namespace, name, record, since):
                    raise
                since = None
                superseded += 1
                continue
            except ChangedMeanwhile:
                changed += 1
                continue
            try:
                return await self.outcomes.commit(kind, pending)
            except Superseded:
                superseded += 1
        raise errors.conflict(kind.resource, name, errors.MODIFIED)

    async def delete(
        self,
        kind: ServedKind,
        namespace: str,
        name: str,
        options: DeleteOptions,
        ctx: RequestContext,
    ) -> Written:
        """Delete an object as far as its finalizers and grace period let it."""
        since: int | None = self.store.revision
        for _ in range(SUPERSEDED_TRIES):
            await self.outcomes.told(kind, namespace, name, ctx)
            await self.webhooks.before_delete(kind, namespace, name, ctx)
            seen = self.store.head(kind.key, namespace, name)
            try:
                pending = self.stage_delete(kind, namespace, name, options, ctx)
            except ApiError:
                if await self.outcomes.was_new(kind, namespace, name, seen, since):
                    raise
                since = None
                continue
            with suppress(Superseded):
                return await self.outcomes.commit(kind, pending)
        raise errors.conflict(kind.resource, name, errors.MODIFIED)
