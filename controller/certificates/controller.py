"""Two loops over CertificateSigningRequests: one approves kubelets', one signs what is approved.

Invariants: a request is read anew before it is judged, and written against its resourceVersion;
without the authority's files nothing is signed.
"""

import asyncio
from collections.abc import Awaitable, Callable

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import Conflict, NotFound
from kubeherd.cluster.api.helpers import signingrequest
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import SIGNINGREQUESTS
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.certificates import authority, plan
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import run_workers

_REVIEWS = kinds.resource("authorization.k8s.io", "v1", "subjectaccessreviews")


class _Loop:
    """Calls `handle` with each request that has changed, as it is now."""

    def __init__(
        self, context: Context, name: str, handle: Callable[[JsonObject], Awaitable[None]]
    ) -> None:
        self._client = context.client
        self._name = name
        self._handle = handle
        self._requests = context.informers.get(SIGNINGREQUESTS, PartialObject)
        self._queue: WorkQueue[str] = context.queue("certificate")
        self._requests.on_change(self._changed)

    async def run(self) -> None:
        for request in self._requests.cache.values():
            self._queue.add(request.metadata.name)
        await run_workers(self._queue, self._reconcile, controller=self._name)

    def _changed(self, _old: PartialObject | None, new: PartialObject | None) -> None:
        if new is not None:
            self._queue.add(new.metadata.name)

    async def _reconcile(self, name: str) -> None:
        try:
            await self._handle(await self._client.request("GET", SIGNINGREQUESTS.path(name=name)))
        except (NotFound, Conflict):
            return  # gone, or changed: then it is queued again


class ApprovingController:
    """Approves the client certificates of kubelets whose sender has the right to one."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._loop = _Loop(context, "csrapproving", self._handle)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._loop.run()

    async def _handle(self, tree: JsonObject) -> None:
        if plan.is_decided(tree):
            return
        spec = tree["spec"]
        for permission in plan.permissions(spec, signingrequest.subject(spec["request"])):
            answer = await self._client.create(_REVIEWS, plan.review(spec, permission))
            if answer["status"].get("allowed"):
                wanted = plan.approved(tree, permission)
                await self._client.update(SIGNINGREQUESTS, wanted, subresource="approval")
                return


class SigningController:
    """Signs what is approved for the signers of the cluster."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._keys = context.keys
        self._loop = _Loop(context, "csrsigning", self._handle)

    async def run(self) -> None:
        """Work until cancelled."""
        if self._keys.authority_certificate is None or self._keys.authority_key is None:
            await asyncio.Event().wait()
        await self._loop.run()

    async def _handle(self, tree: JsonObject) -> None:
        if not plan.wants_signature(tree):
            return
        spec = tree["spec"]
        why = plan.problem(spec, signingrequest.subject(spec["request"]))
        wanted = plan.failed(tree, why) if why else plan.signed(tree, self._sign(spec))
        await self._client.update(SIGNINGREQUESTS, wanted, subresource="status")

    def _sign(self, spec: JsonObject) -> str:
        usages, lifetime_s = spec.get("usages") or (), plan.lifetime_s(spec)
        return authority.sign(self._keys, spec["request"], usages, self._clock.now(), lifetime_s)
