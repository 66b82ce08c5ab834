"""Accepts the names of CustomResourceDefinitions, establishes them, deletes their objects.

The shell around `api.customresources.naming`. Level-triggered: each pass looks at every
definition and does the next step that each needs.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.customresources import definition as definitions
from kubeherd.cluster.api.customresources import naming
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.access.authn import SERVER
from kubeherd.cluster.apiserver.customresources.table import custom_kind
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.deletion import DeleteOptions
from kubeherd.cluster.apiserver.write.registry import Registry
from kubeherd.cluster.runtime.clock import Clock

POLL_S: Final = 1.0
"""How often the objects of a definition that is being deleted are looked at."""
_SELDOM_S: Final = 3600.0
_BATCH = 200
_DEFINITIONS = served.of(kinds.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions"))
_log = structlog.get_logger(__name__)

Change = Callable[[JsonObject], JsonObject]


class Controller:
    """`refresh` makes the server serve what the stored definitions say."""

    def __init__(self, registry: Registry, clock: Clock, refresh: Callable[[], None]) -> None:
        self._registry = registry
        self._clock = clock
        self._refresh = refresh
        self._settled: dict[str, int] = {}
        """Definitions that want nothing, with the revision of which that is known."""

    async def one_pass(self) -> float:
        """The next step of every definition; the seconds until the next pass is due.

        Those that want nothing are not looked into again until they change.
        """
        wait_s = _SELDOM_S
        records = self._registry.store.list(_DEFINITIONS.key)
        settled = self._settled
        self._settled = {r.name: r.revision for r in records if settled.get(r.name) == r.revision}
        for record in records:
            if record.name in self._settled:
                continue
            try:
                if not await self._next_step(record.load()):
                    wait_s = POLL_S
            except errors.ApiError:
                raise
            except Exception:  # a bug, or an object from a store of long ago: the others go on
                _log.exception("definition_not_synced", name=record.name)
        return wait_s

    async def _next_step(self, tree: JsonObject) -> bool:
        """Whether nothing is left that time alone would change."""
        meta = tree["metadata"]
        if meta.get("deletionTimestamp") and naming.CLEANUP in (meta.get("finalizers") or ()):
            return await self._clean_up(tree)
        await self._accept(tree)
        record = self._registry.store.head(_DEFINITIONS.key, "", meta["name"])
        if record is not None and definitions.is_true(record.load(), naming.NAMES_ACCEPTED):
            self._settled[record.name] = record.revision
        return True

    async def _accept(self, tree: JsonObject) -> None:
        name = tree["metadata"]["name"]
        status = tree.get("status") or {}
        if tree["spec"]["names"] != status.get("acceptedNames"):
            await self._change(name, self._named)
            self._refresh()
        found = self._registry.store.head(_DEFINITIONS.key, "", name)
        tree = found.load() if found is not None else {}
        if tree and naming.approved(tree, self._now) is not tree:
            await self._change(name, lambda new: naming.approved(new, self._now))
        accepted = definitions.is_true(tree, naming.NAMES_ACCEPTED)
        if accepted and not definitions.is_true(tree, naming.ESTABLISHED):
            await self._change(name, lambda new: naming.established(new, self._now))

    @property
    def _now(self) -> str:
        return self._context().timestamp

    def _named(self, tree: JsonObject) -> JsonObject:
        group, name = tree["spec"]["group"], tree["metadata"]["name"]
        records = self._registry.store.list(_DEFINITIONS.key)
        others = [r.load() for r in records if r.name != name and r.name.endswith(f".{group}")]
        same = [other for other in others if other["spec"]["group"] == group]
        return naming.named(tree, same, self._now)

    async def _clean_up(self, tree: JsonObject) -> bool:
        """Delete the objects of a definition, then let it go; whether that is done."""
        name = tree["metadata"]["name"]
        if not definitions.is_true(tree, naming.ESTABLISHED):
            reason, message = "NeverEstablished", "resource was never established"
        else:
            await self._terminate(
                name, True, "InstanceDeletionInProgress", "CustomResource deletion is in progress"
            )
            if await self._delete_objects(tree):
                return False
            reason, message = "InstanceDeletionCompleted", "removed all instances"
        await self._terminate(name, False, reason, message, done=True)
        return True

    async def _terminate(
        self, name: str, status: bool, reason: str, message: str, *, done: bool = False
    ) -> None:
        def change(tree: JsonObject) -> JsonObject:
            new = naming.with_condition(
                tree, naming.TERMINATING, status, reason, message, self._now
            )
            if done:
                meta = dict(new["metadata"])
                meta["finalizers"] = [f for f in meta["finalizers"] if f != naming.CLEANUP]
                new["metadata"] = meta
            return new

        await self._change(name, change)
        self._refresh()

    async def _delete_objects(self, tree: JsonObject) -> int:
        """How many objects are left."""
        kind = custom_kind(tree)
        records = self._registry.store.list(kind.key)
        for start in range(0, len(records), _BATCH):
            staged = []
            for record in records[start : start + _BATCH]:
                with suppress(errors.NotFound):
                    staged.append(
                        self._registry.stage_delete(
                            kind, record.namespace, record.name, DeleteOptions(), self._context()
                        )
                    )
            await self._registry.outcomes.commit_all(kind, staged)
        return len(self._registry.store.list(kind.key))

    async def _change(self, name: str, change: Change) -> None:
        """Write a definition's status (and finalizers); one that is gone is left alone."""
        with suppress(errors.NotFound, errors.Conflict, errors.Invalid):
            await self._registry.update(
                _DEFINITIONS,
                "",
                name,
                change,
                self._context(),
                prepare=_DEFINITIONS.strategy.prepare_status,
            )

    def _context(self) -> RequestContext:
        return RequestContext(
            user=SERVER,
            now=self._clock.now(),
            field_manager="kube-apiserver",
            subresource="status",
            asked=True,
        )
