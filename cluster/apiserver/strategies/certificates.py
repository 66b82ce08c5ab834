"""CertificateSigningRequests: who asked; ``/approval`` decides, ``/status`` issues.

Source: pkg/registry/certificates/certificates/strategy.go.
"""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.strategies.base import Strategy, keep, keep_all_but_status
from kubeherd.cluster.apiserver.write.context import RequestContext

_ASKER = ("username", "uid", "groups", "extra")
_DECISIONS = ("Approved", "Denied")


class SigningRequestStrategy(Strategy):
    """A CertificateSigningRequest names who asked for it, whatever the client says."""

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        spec = tree.setdefault("spec", {})
        for key in _ASKER:
            spec.pop(key, None)
        spec.update(ctx.user.to_json())

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        keep(new, old, "spec")
        keep(new, old, "status")

    def prepare_status(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        """A write to ``/status`` or ``/approval``: new conditions get their times."""
        keep_all_but_status(new, old)
        status = new.setdefault("status", {})
        before = old.get("status") or {}
        conditions = status.get("conditions") or []
        if ctx.subresource == "approval":
            new["status"] = {**before, "conditions": conditions}
            if not conditions:
                del new["status"]["conditions"]
        else:
            for kind in _DECISIONS:
                _keep_decision(conditions, before.get("conditions") or [], kind)
        _set_times(conditions, before.get("conditions") or [], ctx.timestamp)


def _keep_decision(now: list[JsonObject], then: list[JsonObject], kind: str) -> None:
    places = [index for index, one in enumerate(now) if one.get("type") == kind]
    stored = [one for one in then if one.get("type") == kind]
    if len(places) == len(stored):
        for index, one in zip(places, stored, strict=True):
            now[index] = one


def _set_times(now: list[JsonObject], then: list[JsonObject], timestamp: str) -> None:
    for one in now:
        one["lastUpdateTime"] = one.get("lastUpdateTime") or timestamp
        if not one.get("lastTransitionTime"):
            since = (
                other["lastTransitionTime"]
                for other in then
                if other.get("lastTransitionTime")
                and all(other.get(name) == one.get(name) for name in ("type", "status"))
            )
            one["lastTransitionTime"] = next(since, timestamp)
