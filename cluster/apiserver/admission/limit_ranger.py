"""LimitRanger, its defaulting half: requests and limits of containers from LimitRange objects.

Source: spec api-machinery, section 20 (list of default plugins). Minimum, maximum and ratio of a
LimitRange are not enforced.
"""

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

_LIMITRANGES = kinds.resource("", "v1", "limitranges")


def set_container_defaults(request: AdmissionRequest, lookup: Lookup) -> None:
    """Fill in missing requests and limits of a new pod's containers."""
    spec = (request.new or {}).get("spec") or {}
    for limit_range in lookup.list(_LIMITRANGES, request.namespace):
        for item in (limit_range.get("spec") or {}).get("limits") or ():
            if item.get("type") != "Container":
                continue
            for group in ("initContainers", "containers"):
                for container in spec.get(group) or ():
                    _fill(container, item)


def _fill(container: JsonObject, item: JsonObject) -> None:
    resources = dict(container.get("resources") or {})
    limits = {**(item.get("default") or {}), **(resources.get("limits") or {})}
    own_limits = resources.get("limits") or {}
    requests = {
        **(item.get("defaultRequest") or {}),
        **own_limits,
        **(resources.get("requests") or {}),
    }
    if limits:
        resources["limits"] = limits
    if requests:
        resources["requests"] = requests
    container["resources"] = resources
