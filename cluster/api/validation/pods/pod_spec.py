"""Rules of pod specs, of pods and of templates (spec api-machinery, section 18)."""

import re

import orjson

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation import internaltypes
from kubeherd.cluster.api.validation import objectmeta as metadata
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
    too_long,
)
from kubeherd.cluster.api.validation.checks import each
from kubeherd.cluster.api.validation.networking import addresses
from kubeherd.cluster.api.validation.pods.affinity import affinity, topology_spread
from kubeherd.cluster.api.validation.pods.containers import (
    active_deadline,
    containers,
    ephemeral_containers,
    host_network_ports,
    init_containers,
)
from kubeherd.cluster.api.validation.pods.env import file_key_volumes
from kubeherd.cluster.api.validation.pods.resources import resource_requirements
from kubeherd.cluster.api.validation.pods.security import pod_security_context
from kubeherd.cluster.api.validation.pods.tolerations import tolerations
from kubeherd.cluster.api.validation.pods.volumes import volumes

_RESTART = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PREEMPTION = ("Never", "PreemptLowerPriority")
_MAX_NAMESERVERS = 3
_MAX_SEARCHES = 32
_MAX_SEARCH_CHARS = 2048
_MAX_HOSTNAME = 64


def pod_template(template: JsonObject, path: str) -> list[Cause]:
    """A pod template. Its labels and annotations are named without their metadata, as upstream."""
    meta = template.get("metadata") or {}
    spec = template.get("spec") or {}
    causes = metadata.labels(meta.get("labels"), f"{path}.labels")
    causes += metadata.annotations(meta.get("annotations"), f"{path}.annotations")
    causes += pod_spec(spec, f"{path}.spec", template=True)
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        causes.append(forbidden(f"{path}.spec.ephemeralContainers", detail))
    return causes


_right: set[bytes] = set()
"""What is common to pods whose specs were found right; begun anew when it is full. Threads share
it: each step is atomic."""
_MAX_RIGHT = 256
_LONGEST_RIGHT = 8192
_TOKEN_VOLUME = re.compile(rb'"kube-api-access-[a-z0-9]{5}"')


def pod_spec(spec: JsonObject, path: str, *, template: bool = False) -> list[Cause]:
    """The spec of a pod or, with `template`, of a pod template.

    Pods of one workload differ in their affinity at most, if a DaemonSet chooses their nodes, and
    in the name of the volume with their token: the rest is looked at once for all of them.
    """
    common = _common(spec, template=template)
    if common in _right:
        return affinity(spec.get("affinity"), f"{path}.affinity")
    causes = _pod_spec(spec, path, template=template)
    if not causes and len(common) <= _LONGEST_RIGHT:
        if len(_right) >= _MAX_RIGHT:
            _right.clear()
        _right.add(common)
    return causes


def _common(spec: JsonObject, *, template: bool) -> bytes:
    """A spec without what tells pods of one workload apart; two with the same are right or wrong
    for the same reasons."""
    shown = orjson.dumps({"": template, **spec, "affinity": None})
    found = _TOKEN_VOLUME.search(shown)
    # No JSON has such a byte, and other volumes with such names keep theirs: what was one name
    # stays one, and what were two stay two.
    return shown if found is None else shown.replace(found[0], b"\xff")


def _pod_spec(spec: JsonObject, path: str, *, template: bool) -> list[Cause]:
    known, causes = volumes(spec.get("volumes"), f"{path}.volumes")
    causes += containers(spec, known, path)
    causes += init_containers(spec, known, path)
    causes += ephemeral_containers(spec, known, path)
    resources = spec.get("resources")
    causes += resource_requirements(
        resources, f"{path}.resources", pod_level=True, pod_claims=_claim_names(spec)
    )
    if spec.get("hostNetwork"):
        causes += host_network_ports(spec, path, template=template)
    causes += _choice(spec, "restartPolicy", _RESTART, path)
    causes += _choice(spec, "dnsPolicy", _DNS, path)
    causes += metadata.labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    causes += pod_security_context(spec, f"{path}.securityContext")
    causes += affinity(spec.get("affinity"), f"{path}.affinity")
    causes += _dns_config(spec, f"{path}.dnsConfig")
    causes += _gates(spec, path)
    spread = spec.get("topologySpreadConstraints")
    causes += topology_spread(spread, f"{path}.topologySpreadConstraints")
    causes += _names(spec, path)
    deadline = spec.get("activeDeadlineSeconds")
    causes += active_deadline(deadline, f"{path}.activeDeadlineSeconds")
    causes += _host(spec, path)
    causes += tolerations(spec.get("tolerations"), f"{path}.tolerations")
    causes += _host_aliases(spec.get("hostAliases"), f"{path}.hostAliases")
    causes += _priority(spec, path)
    causes += resource_requirements({"limits": spec.get("overhead")}, f"{path}.overhead")
    causes += _resource_claims(spec.get("resourceClaims"), f"{path}.resourceClaims")
    causes += _os(spec.get("os"), f"{path}.os")
    return causes + file_key_volumes(spec, path)


def _claim_names(spec: JsonObject) -> set[str]:
    return {claim["name"] for claim in spec.get("resourceClaims") or () if claim.get("name")}


_CLAIM_SOURCES = ("resourceClaimName", "resourceClaimTemplateName")


def _resource_claims(items: list[JsonObject] | None, path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for at, claim in each(items, path):
        name = claim.get("name", "")
        if not name:
            causes.append(required(f"{at}.name"))
        elif name in seen:
            causes.append(duplicate(f"{at}.name", name))
        else:
            causes += invalid_each(f"{at}.name", name, names.dns_label(name))
        seen.add(name)
        given = [field for field in _CLAIM_SOURCES if claim.get(field) is not None]
        if len(given) != 1:
            detail = (
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
                if given
                else "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            )
            causes.append(invalid(at, internaltypes.struct("PodResourceClaim", claim), detail))
        for field in given:
            causes += invalid_each(f"{at}.{field}", claim[field], names.dns_subdomain(claim[field]))
    return causes


def _os(os: JsonObject | None, path: str) -> list[Cause]:
    if os is None:
        return []
    name = os.get("name", "")
    if not name:
        return [required(f"{path}.name")]
    return [] if name in ("linux", "windows") else [not_supported(path, name, ("linux", "windows"))]


def _choice(spec: JsonObject, name: str, supported: tuple[str, ...], path: str) -> list[Cause]:
    value = spec.get(name, "")
    if value in supported:
        return []
    if not value:
        return [required(f"{path}.{name}")]
    return [not_supported(f"{path}.{name}", value, supported)]


def _names(spec: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for name in ("serviceAccountName", "nodeName"):
        if spec.get(name):
            problems = names.dns_subdomain(spec[name])
            causes += invalid_each(f"{path}.{name}", spec[name], problems)
    return causes


def _host(spec: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for name in ("hostname", "subdomain"):
        if spec.get(name):
            causes += invalid_each(f"{path}.{name}", spec[name], names.dns_label(spec[name]))
    return causes + _hostname_override(spec, f"{path}.hostnameOverride")


def _hostname_override(spec: JsonObject, path: str) -> list[Cause]:
    name = spec.get("hostnameOverride")
    if name is None:
        return []
    causes = [
        forbidden(path, f"may not be specified when {field} is true")
        for field in ("setHostnameAsFQDN", "hostNetwork")
        if spec.get(field)
    ]
    if len(name) > _MAX_HOSTNAME:
        causes.append(too_long(path, _MAX_HOSTNAME))
    return causes + invalid_each(path, name, names.dns_subdomain(name))


def _priority(spec: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for name in ("priorityClassName", "runtimeClassName"):
        if spec.get(name):
            problems = names.dns_subdomain(spec[name])
            causes += invalid_each(f"{path}.{name}", spec[name], problems)
    policy = spec.get("preemptionPolicy")
    if policy is not None and policy not in _PREEMPTION:
        supported = ("PreemptLowerPriority", "Never")
        causes.append(not_supported(f"{path}.preemptionPolicy", policy, supported))
    return causes


def _gates(spec: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for at, gate in each(spec.get("readinessGates"), f"{path}.readinessGates"):
        kind = gate.get("conditionType", "")
        causes += invalid_each(f"{at}.conditionType", kind, names.qualified_name(kind))
    seen: set[str] = set()
    for at, gate in each(spec.get("schedulingGates"), f"{path}.schedulingGates"):
        name = gate.get("name", "")
        causes += invalid_each(at, name, names.qualified_name(name))
        if name in seen:
            causes.append(duplicate(at, name))
        seen.add(name)
    return causes


def _dns_config(spec: JsonObject, path: str) -> list[Cause]:
    config = spec.get("dnsConfig") or {}
    servers = config.get("nameservers") or []
    causes: list[Cause] = []
    if spec.get("dnsPolicy") == "None" and not servers:
        detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        at = f"{path}.nameservers" if spec.get("dnsConfig") is not None else path
        causes.append(required(at, detail))
    if len(servers) > _MAX_NAMESERVERS:
        detail = f"must not have more than {_MAX_NAMESERVERS} nameservers"
        causes.append(invalid(f"{path}.nameservers", servers, detail))
    for index, server in enumerate(servers):
        causes += addresses.ip(server, f"{path}.nameservers[{index}]")
    causes += _searches(config.get("searches") or [], f"{path}.searches")
    for at, option in each(config.get("options"), f"{path}.options"):
        if not option.get("name"):
            causes.append(required(at, "must not be empty"))
    return causes


def _searches(searches: list[str], path: str) -> list[Cause]:
    causes = []
    if len(searches) > _MAX_SEARCHES:
        detail = f"must not have more than {_MAX_SEARCHES} search paths"
        causes.append(invalid(path, searches, detail))
    if len(" ".join(searches)) > _MAX_SEARCH_CHARS:
        detail = (
            f"must not have more than {_MAX_SEARCH_CHARS} characters (including spaces) in the "
            "search list"
        )
        causes.append(invalid(path, searches, detail))
    for index, search in enumerate(searches):
        if search != ".":
            name = search.removesuffix(".")
            causes += invalid_each(f"{path}[{index}]", name, names.dns_search(name))
    return causes


def _host_aliases(items: list[JsonObject] | None, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for at, alias in each(items, path):
        causes += addresses.ip(alias.get("ip", ""), f"{at}.ip")
        for index, host in enumerate(alias.get("hostnames") or ()):
            causes += invalid_each(f"{at}.hostnames[{index}]", host, names.dns_subdomain(host))
    return causes
