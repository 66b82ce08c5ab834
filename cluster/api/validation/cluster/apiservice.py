"""Rules of APIService (kube-aggregator, pkg/apis/apiregistration/validation)."""

import base64

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import invalid, invalid_each, not_supported, required
from kubeherd.cluster.api.validation.checks import each
from kubeherd.cluster.api.validation.rules import Rules

_MAX_GROUP_PRIORITY = 20000
_MAX_VERSION_PRIORITY = 1000
_STATUSES = ("True", "False", "Unknown")


def create_api_service(tree: JsonObject) -> list[Cause]:
    """An APIService: its name says its version and group; where it is served, or locally."""
    spec, name = tree.get("spec") or {}, (tree.get("metadata") or {}).get("name", "")
    group, version = spec.get("group", ""), spec.get("version", "")
    wanted = f"{version}.{group}"
    causes: list[Cause] = []
    if name and not names.path_segment(name) and name != wanted:
        detail = f'must be `spec.version+"."+spec.group`: "{wanted}"'
        causes.append(invalid("metadata.name", name, detail))
    if not group and version != "v1":
        detail = "only v1 may have an empty group and it better be legacy kube"
        causes.append(required("spec.group", detail))
    if group:
        causes += invalid_each("spec.group", group, names.dns_subdomain(group))
    causes += invalid_each("spec.version", version, names.dns1035_label(version))
    for field, most in (
        ("groupPriorityMinimum", _MAX_GROUP_PRIORITY), ("versionPriority", _MAX_VERSION_PRIORITY),
    ):  # fmt: skip
        priority = spec.get(field, 0)
        if not 0 < priority <= most:
            detail = f"must be positive and less than {most}"
            causes.append(invalid(f"spec.{field}", priority, detail))
    return causes + _served_by(spec)


def _served_by(spec: JsonObject) -> list[Cause]:
    service, bundle = spec.get("service"), spec.get("caBundle", "")
    insecure = spec.get("insecureSkipTLSVerify", False)
    causes: list[Cause] = []
    at = "spec.insecureSkipTLSVerify"
    if service is None:
        if bundle:
            shown = f"{len(base64.b64decode(bundle))} bytes"
            detail = "local APIServices may not have a caBundle"
            causes.append(invalid("spec.caBundle", shown, detail))
        if insecure:
            detail = "local APIServices may not have insecureSkipTLSVerify"
            causes.append(invalid(at, insecure, detail))
        return causes
    causes += [
        required(f"spec.service.{name}") for name in ("namespace", "name") if not service.get(name)
    ]
    port = service.get("port", 0)
    if not 1 <= port <= 65535:
        detail = "port is not valid: must be between 1 and 65535, inclusive"
        causes.append(invalid("spec.service.port", port, detail))
    if insecure and bundle:
        causes.append(invalid(at, insecure, "may not be true if caBundle is present"))
    return causes


def update_api_service_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """The status of an APIService."""
    conditions = (new.get("status") or {}).get("conditions")
    return [
        not_supported(f"{at}.status", condition.get("status", ""), _STATUSES)
        for at, condition in each(conditions, "status.conditions")
        if condition.get("status") not in _STATUSES
    ]


RULES = {
    "apiservices.apiregistration.k8s.io": Rules(
        create_api_service, None, {"status": update_api_service_status}
    ),
}
