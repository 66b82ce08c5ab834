"""Admission of a write: the server's own plugins, then policies, then webhooks.

Source: Kubernetes v1.36, pkg/kubeapiserver/options/plugins.go (the order) and
apiserver/pkg/admission/reinvocation.go: what a policy or a webhook has changed is shown to all
mutating plugins once more.
"""

import msgspec

from kubeherd.cluster.api.cel import effort
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import RESOURCEQUOTAS
from kubeherd.cluster.apiserver.admission import Admission, AdmissionRequest
from kubeherd.cluster.apiserver.admission.mutation import Rounds
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.heavywork import HeavyWork, Steps
from kubeherd.cluster.apiserver.write.policies import Policies
from kubeherd.cluster.apiserver.write.webhooks import Webhooks
from kubeherd.cluster.store.store import Store

_QUOTAS = RESOURCEQUOTAS.group_resource


class _Others(msgspec.Struct, frozen=True):
    """Whether there are policies, webhooks or quotas at all."""

    may_change: bool
    may_refuse: bool
    may_charge: bool


class AdmissionChain:
    """What a write goes through before it is stored. Whether anybody is to be asked is found out
    once, and again when something has happened to their configurations."""

    def __init__(
        self,
        store: Store,
        own: Admission,
        policies: Policies,
        webhooks: Webhooks,
        heavy: HeavyWork,
    ) -> None:
        for key in (*Policies.KEYS, *Webhooks.KEYS, _QUOTAS):
            store.hub.listen(key, self._look_again)
        self._store = store
        self._heavy = heavy
        self._own = own
        self._policies = policies
        self._webhooks = webhooks
        self._others: _Others | None = None

    def _look_again(self) -> None:
        self._others = None

    def _asked(self) -> _Others:
        if self._others is None:
            policies, webhooks = self._policies, self._webhooks
            self._others = _Others(
                policies.may_change or webhooks.may_change,
                policies.may_refuse or webhooks.may_refuse,
                bool(self._store.list(_QUOTAS)),
            )
        return self._others

    @property
    def is_own(self) -> bool:
        """Whether there are the server's own plugins only: no policy, webhook or quota at all."""
        others = self._others or self._asked()
        return not (others.may_change or others.may_refuse or others.may_charge)

    def mutate(self, request: AdmissionRequest, ctx: RequestContext) -> "Steps[None]":
        """Let all who may change the object do so, in place."""
        self._own.mutate(request)
        if ctx.asked or not (self._others or self._asked()).may_change:
            return
        policies, webhooks = Rounds(), Rounds()
        yield from self._mutate(request, ctx, policies, webhooks)
        if policies.changed or webhooks.changed:
            policies.is_second = webhooks.is_second = True
            self._own.mutate(request)
            yield from self._mutate(request, ctx, policies, webhooks)

    def _mutate(
        self, request: AdmissionRequest, ctx: RequestContext, policies: Rounds, webhooks: Rounds
    ) -> "Steps[None]":
        self._policies.mutate(request, ctx, policies)
        yield from self._webhooks.mutate(request, ctx, webhooks)

    def validate(self, request: AdmissionRequest, ctx: RequestContext) -> "Steps[bool]":
        """Ask the policies and webhooks that may refuse; whether somebody was waited for."""
        if ctx.asked or not (self._others or self._asked()).may_refuse:
            return False
        self._policies.validate(request, ctx)
        return self._webhooks.may_refuse and (yield from self._webhooks.validate(request, ctx))

    async def ask(self, request: AdmissionRequest, ctx: RequestContext) -> None:
        """Ask policies and webhooks about something that is not stored: a connection, an eviction,
        a token, the binding of a pod. There they may only refuse."""
        if (self._others or self._asked()).may_refuse:
            effort.begin(0)
            await self._heavy.carry_out(self.validate(request, ctx), 0)
        ctx.asked = True

    def charge(self, request: AdmissionRequest) -> list[JsonObject]:
        """The quotas that the write changes, as they are to be stored together with its object;
        403 if one is exceeded."""
        return self._own.charge(request) if (self._others or self._asked()).may_charge else []
