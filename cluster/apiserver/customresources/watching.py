"""Notices CustomResourceDefinitions: which resources are served follows from those in the store.

The only part of custom resources that a server without any has: one subscription that nobody
writes to. Invariants: a resource is served before its definition says that it is established; a
request sees the definition as it is when the request begins; a watch whose definition changes ends.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import structlog

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.errors import Expired
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.edge.routing import Route
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write.registry import Registry
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.watch.deliveries import WatchFilter

if TYPE_CHECKING:
    from kubeherd.cluster.apiserver.customresources.controller import Controller
    from kubeherd.cluster.apiserver.customresources.table import Table

DEFINITIONS: Final = kinds.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
_RETRY_S = 1.0
_SELDOM_S = 3600.0

_log = structlog.get_logger(__name__)


class CustomResources:
    """What one server serves beside the kinds of Kubernetes."""

    def __init__(self, registry: Registry, clock: Clock, rng: Rng) -> None:
        self._registry = registry
        self._clock = clock
        self._rng = rng
        self._table: Table | None = None
        self._controller: Controller | None = None

    @property
    def served(self) -> Mapping[tuple[str, str], Mapping[str, Resource]]:
        """The resources by group and version, then by plural."""
        return self._table.by_group_version if self._table is not None else {}

    @property
    def resources(self) -> tuple[Resource, ...]:
        """All of them; the same tuple until something changes."""
        return self._table.resources if self._table is not None else ()

    @property
    def kinds(self) -> Mapping[int, ServedKind]:
        """All of them with their storage and conversions, by the identity of the resource."""
        return self._table.kinds if self._table is not None else {}

    def kind(self, route: Route) -> ServedKind:
        """The kind that a route leads to."""
        assert self._table is not None  # noqa: S101 - the route came from `served`
        return self._table.kinds[id(route.resource)]

    def refresh(self) -> None:
        """Serve what the definitions in the store say."""
        records = self._registry.store.list(DEFINITIONS.group_resource)
        if self._table is None:
            if not records:
                return
            from kubeherd.cluster.apiserver.customresources.controller import (  # noqa: PLC0415
                Controller,
            )
            from kubeherd.cluster.apiserver.customresources.table import Table  # noqa: PLC0415
            from kubeherd.cluster.apiserver.customresources.webhookconversion import (  # noqa: PLC0415
                Services,
            )

            self._table = Table(Services(self._rng.uuid4))
            self._controller = Controller(self._registry, self._clock, self.refresh)
        for key in self._table.update(records):
            self._registry.store.hub.end(key)

    async def run(self) -> None:
        """Look after the definitions, forever; the owner cancels it."""
        store = self._registry.store
        wanted = WatchFilter(DEFINITIONS.group_resource)
        while True:
            subscription = store.hub.subscribe(wanted, store.revision)
            try:
                wait_s = await self._pass()
                while True:
                    try:
                        if not await self._clock.wait_for(subscription.next(), wait_s):
                            return  # the server stops
                    except TimeoutError:
                        pass
                    wait_s = await self._pass()
            except Expired:
                continue
            finally:
                store.hub.unsubscribe(subscription)

    async def _pass(self) -> float:
        """Bring everything up to date; the seconds until the next look."""
        self.refresh()
        if self._controller is None:
            return _SELDOM_S
        try:
            return await self._controller.one_pass()
        except errors.ApiError as error:
            _log.warning("definitions_not_synced", error=error.message)
            return _RETRY_S
