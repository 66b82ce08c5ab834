"""The status of ValidatingAdmissionPolicies: what their expressions seem to get wrong.

Source: Kubernetes v1.36, pkg/controller/validatingadmissionpolicystatus. There it is a controller
of the controller manager; here it is where the schemas and CEL are anyway. What a server without
policies has of it: one subscription that nobody writes to.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.cel import effort
from kubeherd.cluster.api.errors import Expired
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.managedfields import apply
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.access.authn import SERVER
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.registry import Registry
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.store.watch.deliveries import WatchFilter

MANAGER: Final = "validatingadmissionpolicy-status"
_RETRY_S = 1.0
_POLICIES: Final = served.of(
    kinds.resource("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies")
)
_log = structlog.get_logger(__name__)


class PolicyStatus:
    """Writes the status of each policy once for each of its generations. `custom` gives the custom
    resources that are served."""

    def __init__(
        self, registry: Registry, clock: Clock, custom: Callable[[], Sequence[Resource]]
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._custom = custom

    async def run(self) -> None:
        """Look after the policies, forever; the owner cancels it."""
        store = self._registry.store
        wanted = WatchFilter(_POLICIES.key)
        while True:
            subscription = store.hub.subscribe(wanted, store.revision)
            try:
                await self._pass()
                while await subscription.next():
                    await self._pass()
                return  # the server stops
            except Expired:
                continue
            except errors.ApiError as error:
                _log.warning("policy_status_not_written", error=error.message)
                await self._clock.sleep(_RETRY_S)
            finally:
                store.hub.unsubscribe(subscription)

    async def _pass(self) -> None:
        for record in self._registry.store.list(_POLICIES.key):
            tree = record.load()
            observed = (tree.get("status") or {}).get("observedGeneration", 0)
            if tree["metadata"].get("generation", 1) <= observed:
                continue
            try:
                await self._observe(tree)
            except errors.ApiError:
                raise
            except Exception:  # a bug: the server and the other policies go on
                _log.exception("policy_not_checked", name=record.name)

    async def _observe(self, policy: JsonObject) -> None:
        """Write what is wrong with a policy; one that is gone is left alone."""
        from kubeherd.cluster.api.cel.policies.typechecking import warnings  # noqa: PLC0415 - large

        meta = policy["metadata"]
        resources = (*kinds.ALL, *self._custom())
        effort.begin(0)
        try:
            found = warnings(policy["spec"], resources)
        except effort.TooCostly:  # others wait meanwhile, and nobody has to be warned
            found = []
        checked: JsonObject = {"expressionWarnings": found} if found else {}
        status = {"observedGeneration": meta.get("generation", 1), "typeChecking": checked}
        ctx = RequestContext(
            user=SERVER, now=self._clock.now(), field_manager=MANAGER, subresource="status",
            applied=True, asked=True,
        )  # fmt: skip
        with suppress(errors.NotFound, errors.Conflict, errors.Invalid):
            await self._registry.update(
                _POLICIES, "", meta["name"], partial(_applied, status, ctx.timestamp), ctx,
                prepare=_POLICIES.strategy.prepare_status,
            )  # fmt: skip


def _applied(status: JsonObject, time: str, live: JsonObject) -> JsonObject:
    """A policy with the status that was found."""
    resource = _POLICIES.resource
    body = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": live["metadata"]["name"]},
        "status": status,
    }
    return apply.apply(
        resource, live, body, manager=MANAGER, time=time, force=True, subresource="status"
    ).tree
