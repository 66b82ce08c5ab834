"""CertificateSigningRequests: asked for once, decided and answered through subresources.

Source: Kubernetes v1.36, pkg/registry/certificates/certificates/strategy.go.
"""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.strategies.base import Strategy, keep, keep_all_but_status
from kubeherd.cluster.apiserver.write.context import RequestContext

_DECISIONS = ("Approved", "Denied")


class SigningRequestStrategy(Strategy):
    """A CertificateSigningRequest names who asked for it, whatever the client says, and never
    changes but in its metadata, its conditions and its certificate."""

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        spec = tree.setdefault("spec", {})
        for key in ("username", "uid", "groups", "extra"):
            spec.pop(key, None)
        spec.update(ctx.user.to_json())

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_update(new, old, ctx)
        keep(new, old, "spec")

    def prepare_status(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        """``/approval`` writes the conditions, ``/status`` all but the decision: a condition that
        approves or denies stays what it was, and who adds or removes one is refused."""
        keep_all_but_status(new, old)
        status, old_status = new.setdefault("status", {}), old.get("status") or {}
        if ctx.subresource == "approval":
            status = new["status"] = {
                **old_status,
                "conditions": status.get("conditions") or [],
            }
        else:
            for kind in _DECISIONS:
                _preserve(status, old_status, kind)
        for condition in status.get("conditions") or ():
            _date(condition, old_status, ctx.timestamp)
        if not status.get("conditions"):
            status.pop("conditions", None)


def _preserve(status: JsonObject, old: JsonObject, kind: str) -> None:
    """Give the conditions of a type their old values, if as many are there as before."""
    conditions = status.get("conditions") or []
    before = [one for one in old.get("conditions") or () if one.get("type") == kind]
    places = [place for place, one in enumerate(conditions) if one.get("type") == kind]
    if len(before) == len(places):
        for place, condition in zip(places, before, strict=True):
            conditions[place] = condition


def _date(condition: JsonObject, old: JsonObject, now: str) -> None:
    """Fill in the times that are missing: a condition that was there changed when it did."""
    condition["lastUpdateTime"] = condition.get("lastUpdateTime") or now
    if condition.get("lastTransitionTime"):
        return
    same = (condition.get("type"), condition.get("status"))
    condition["lastTransitionTime"] = next(
        (
            one["lastTransitionTime"]
            for one in old.get("conditions") or ()
            if (one.get("type"), one.get("status")) == same and one.get("lastTransitionTime")
        ),
        now,
    )
