"""ResourceQuota: an object is charged to the quotas of its namespace, or refused.

Source: Kubernetes v1.36, apiserver/pkg/admission/plugin/resourcequota/controller.go. The charge is
staged in the same step of the event loop as the object: no two writers can spend the same rest.
Only a controller (`controller.quota`) gives back and counts anew.
"""

from kubeherd.cluster.api.helpers import quota, resources
from kubeherd.cluster.api.helpers.resources import ResourceList
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import RESOURCEQUOTAS
from kubeherd.cluster.api.quantity import Quantity
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.read.lookup import Lookup


def charge(request: AdmissionRequest, lookup: Lookup) -> list[JsonObject]:
    """The quotas that the write changes, with their new `status.used`; 403 if one is exceeded."""
    if not request.namespace or request.new is None or not _is_charged(request, request.new):
        return []
    found = lookup.list(RESOURCEQUOTAS, request.namespace)
    names = [one["metadata"]["name"] for one in found]
    # The newest state: what others spent may not be committed yet.
    quotas = (lookup.get(RESOURCEQUOTAS, request.namespace, name) for name in names)
    changed = []
    for one in quotas:
        if one is not None and (used := _newly_used(request, request.new, one)):
            status = one["status"]
            used = resources.add(resources.parsed(status.get("used")), used)
            changed.append({**one, "status": {**status, "used": resources.written(used)}})
    return changed


def _is_charged(request: AdmissionRequest, new: JsonObject) -> bool:
    """Whether this kind of write can change what a quota counts."""
    kind, subresource = request.resource.group_resource, request.subresource
    if kind in quota.IGNORED or request.operation is Operation.DELETE:
        return False
    if request.operation is Operation.CREATE:
        return not subresource
    if kind == "pods":
        old = request.old or {}
        changes_scope = quota.is_terminating(old) != quota.is_terminating(new)
        return subresource == "resize" or (not subresource and changes_scope)
    if kind == "persistentvolumeclaims":
        return subresource in ("", "status")
    return kind == "services" and not subresource


def _newly_used(request: AdmissionRequest, new: JsonObject, one: JsonObject) -> ResourceList:
    """What the write adds to one quota; empty if the quota does not count it."""
    kind, spec, status = request.resource.group_resource, one.get("spec") or {}, one.get("status")
    hard = resources.parsed((status or {}).get("hard"))
    limited = quota.limited(kind, hard)
    if not limited or not quota.selects(spec, kind, new):
        return {}
    name, used = one["metadata"]["name"], resources.parsed((status or {}).get("used"))
    if kind == "pods" and (why := quota.missing(limited, new)):
        raise request.forbidden(f"failed quota: {name}: {why}")
    if not used.keys() >= set(limited):
        raise request.forbidden(f"status unknown for quota: {name}, resources: {','.join(limited)}")
    cost = quota.usage(kind, new)
    if negative := sorted(key for key, amount in cost.items() if amount.nanos < 0):
        raise request.forbidden(f"quota usage is negative for resource(s): {','.join(negative)}")
    if request.old is not None and quota.selects(spec, kind, request.old):
        cost = _increase(cost, quota.usage(kind, request.old))
    wanted = {key: amount for key, amount in cost.items() if key in hard and amount.nanos}
    if request.subresource != "status":
        _check(request, name, wanted, used, hard)
    return wanted


def _increase(after: ResourceList, before: ResourceList) -> ResourceList:
    nothing = Quantity(0)
    return {key: max(amount - before.get(key, nothing), nothing) for key, amount in after.items()}


def _check(
    request: AdmissionRequest,
    name: str,
    wanted: ResourceList,
    used: ResourceList,
    hard: ResourceList,
) -> None:
    total = resources.add(used, wanted)
    exceeded = sorted(key for key in wanted if total[key] > hard[key])
    if exceeded:
        told = (_shown(resources.masked(one, exceeded)) for one in (wanted, used, hard))
        asked, spent, limit = told
        raise request.forbidden(
            f"exceeded quota: {name}, requested: {asked}, used: {spent}, limited: {limit}"
        )


def _shown(amounts: ResourceList) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in sorted(amounts))
