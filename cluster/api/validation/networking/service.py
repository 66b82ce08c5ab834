"""Rules of Services (pkg/apis/core/validation: ValidateService, v1.36)."""

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import each, port_number
from kubeherd.cluster.api.validation.networking import addresses
from kubeherd.cluster.api.validation.objectmeta import labels
from kubeherd.cluster.api.validation.pods.probes import port_number_or_name

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_WITHIN_CLUSTER = ("ClusterIP", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_LB_ONLY = "may only be used when `type` is 'LoadBalancer'"
_RANGES_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges"
_TOPOLOGY = ("service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints")
_MAX_AFFINITY_S = 86400


def is_headless(spec: JsonObject) -> bool:
    """Whether a Service has no address by its own wish."""
    return spec.get("clusterIPs") == ["None"]


def is_external(spec: JsonObject) -> bool:
    """Whether a Service can be reached from outside the cluster."""
    kind = spec.get("type")
    return kind in ("LoadBalancer", "NodePort") or (
        kind == "ClusterIP" and bool(spec.get("externalIPs"))
    )


def needs_health_check(spec: JsonObject) -> bool:
    """Whether a load balancer asks the nodes which of them have a backend."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def create_service(tree: JsonObject) -> list[Cause]:
    """A new Service."""
    return _service(tree, {})


def _service(tree: JsonObject, old_spec: JsonObject) -> list[Cause]:
    spec = tree.get("spec") or {}
    annotations = (tree.get("metadata") or {}).get("annotations") or {}
    causes = _topology_annotations(annotations)
    kind = spec.get("type", "")
    if not spec.get("ports") and not is_headless(spec) and kind != "ExternalName":
        causes.append(required("spec.ports"))
    if kind in ("LoadBalancer", "NodePort") and is_headless(spec):
        detail = f"may not be set to 'None' for {kind} services"
        causes.append(invalid("spec.clusterIPs[0]", "None", detail))
    if kind == "ExternalName":
        causes += _external_name(spec)
    causes += _ports(spec)
    causes += labels(spec.get("selector"), "spec.selector")
    causes += _affinity(spec)
    causes += cluster_ips(spec, old_spec)
    for index, text in enumerate(spec.get("externalIPs") or ()):
        at = f"spec.externalIPs[{index}]"
        problems = addresses.ip(text, at, old_spec.get("externalIPs") or ())
        causes += problems or addresses.endpoint_ip(text, at)
    causes += _one_of("type", kind, _TYPES)
    causes += _taken_twice(spec)
    causes += _source_ranges(spec, old_spec, annotations)
    causes += _load_balancer(spec)
    return causes + _traffic(spec)


def _topology_annotations(annotations: JsonObject) -> list[Cause]:
    mode, hints = (annotations.get(name) for name in _TOPOLOGY)
    if mode is None or hints is None or mode == hints:
        return []
    detail = f"must match annotations[{_TOPOLOGY[1]}] when both are specified"
    return [invalid(f"metadata.annotations[{_TOPOLOGY[0]}]", mode, detail)]


def _one_of(name: str, value: str, supported: tuple[str, ...]) -> list[Cause]:
    if not value:
        return [required(f"spec.{name}")]
    return [] if value in supported else [not_supported(f"spec.{name}", value, supported)]


def _external_name(spec: JsonObject) -> list[Cause]:
    causes = [
        forbidden(f"spec.{name}", "may not be set for ExternalName services")
        for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
        if spec.get(name)
    ]
    name = spec.get("externalName", "").removesuffix(".")
    if not name:
        return [*causes, required("spec.externalName")]
    return causes + invalid_each("spec.externalName", name, names.dns_subdomain(name))


def _ports(spec: JsonObject) -> list[Cause]:
    causes: list[Cause] = []
    items = spec.get("ports") or []
    seen: set[str] = set()
    for at, port in each(items, "spec.ports"):
        name = port.get("name", "")
        if len(items) > 1 and not name:
            causes.append(required(f"{at}.name"))
        elif name:
            causes += invalid_each(f"{at}.name", name, names.dns_label(name))
            if name in seen:
                causes.append(duplicate(f"{at}.name", name))
            seen.add(name)
        causes += port_number(port.get("port", 0), f"{at}.port")
        causes += protocol(port, at)
        causes += port_number_or_name(port.get("targetPort", 0), f"{at}.targetPort")
        causes += app_protocol(port, at)
    return causes


def protocol(port: JsonObject, path: str) -> list[Cause]:
    """The protocol of a port of a Service or of Endpoints."""
    value = port.get("protocol", "")
    if not value:
        return [required(f"{path}.protocol")]
    return [] if value in PROTOCOLS else [not_supported(f"{path}.protocol", value, PROTOCOLS)]


def app_protocol(port: JsonObject, path: str) -> list[Cause]:
    """The application protocol of a port of a Service or of Endpoints."""
    value = port.get("appProtocol")
    if value is None:
        return []
    return invalid_each(f"{path}.appProtocol", value, names.qualified_name(value))


def _affinity(spec: JsonObject) -> list[Cause]:
    affinity, config = spec.get("sessionAffinity", ""), spec.get("sessionAffinityConfig")
    causes = _one_of("sessionAffinity", affinity, ("ClientIP", "None"))
    path = "spec.sessionAffinityConfig"
    if affinity == "None" and config is not None:
        causes.append(forbidden(path, "must not be set when session affinity is None"))
    if affinity == "ClientIP":
        seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds", 0)
        if not 0 < seconds <= _MAX_AFFINITY_S:
            detail = f"must be greater than 0 and less than {_MAX_AFFINITY_S}"
            causes.append(invalid(f"{path}.clientIP.timeoutSeconds", seconds, detail))
    return causes


def cluster_ips(spec: JsonObject, old_spec: JsonObject) -> list[Cause]:
    """How clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy go together."""
    if spec.get("type") == "ExternalName":
        return []
    first, ips = spec.get("clusterIP", ""), spec.get("clusterIPs") or []
    path = "spec.clusterIPs"
    causes: list[Cause] = []
    if first and not ips:
        causes.append(required(path))
    elif first and ips[0] != first:
        causes.append(invalid(path, ips, "first value must match `clusterIP`"))
    elif ips and not first:
        causes.append(invalid(path, ips, "must be empty when `clusterIP` is not specified"))
    causes += _families(spec)
    wrong: list[Cause] = []
    for index, text in enumerate(ips):
        if index == 0 and text == "None":
            if len(ips) > 1:
                detail = "'None' must be the first and only value"
                wrong.append(invalid(path, ips, detail))
            continue
        wrong += addresses.ip(text, f"{path}[{index}]", old_spec.get("clusterIPs") or ())
    causes += wrong
    if len(ips) > 2:
        causes.append(invalid(path, ips, "may only hold up to 2 values"))
    return causes if wrong else causes + _ips_of_families(spec, ips, path)


def _families(spec: JsonObject) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        at = f"spec.ipFamilies[{index}]"
        if family not in ("IPv4", "IPv6"):
            causes.append(not_supported(at, family, ("IPv4", "IPv6")))
        if family in seen:
            causes.append(duplicate(at, family))
        seen.add(family)
    policy = spec.get("ipFamilyPolicy")
    policies = ("PreferDualStack", "RequireDualStack", "SingleStack")
    if policy is not None and policy not in policies:
        causes.append(not_supported("spec.ipFamilyPolicy", policy, policies))
    return causes


def _ips_of_families(spec: JsonObject, ips: list[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    if len(ips) > 1 and len({family_of(text) for text in ips}) == 1:
        detail = "may specify no more than one IP for each IP family"
        causes.append(invalid(path, ips, detail))
    if is_headless(spec):
        return causes
    for index, (text, family) in enumerate(zip(ips, spec.get("ipFamilies") or (), strict=False)):
        if family in ("IPv4", "IPv6") and family_of(text) != family:
            detail = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            causes.append(invalid(f"{path}[{index}]", text, detail))
    return causes


def family_of(text: str) -> str:
    """``IPv4`` or ``IPv6``."""
    return "IPv6" if ":" in text else "IPv4"


_PORT_KEY = ("Name", "Protocol", "AppProtocol", "Port", "TargetPort", "NodePort")


def _taken_twice(spec: JsonObject) -> list[Cause]:
    """Node ports of a type without any, and ports that are there twice."""
    causes: list[Cause] = []
    items = spec.get("ports") or []
    if spec.get("type") == "ClusterIP":
        causes += [
            forbidden(f"{at}.nodePort", "may not be used when `type` is 'ClusterIP'")
            for at, port in each(items, "spec.ports")
            if port.get("nodePort")
        ]
    for name in ("nodePort", "port"):
        seen: set[tuple[str, int]] = set()
        for at, port in each(items, "spec.ports"):
            number = port.get(name, 0)
            if name == "nodePort" and not number:
                continue
            key = (port.get("protocol", ""), number)
            if key in seen and name == "nodePort":
                causes.append(duplicate(f"{at}.nodePort", number))
            elif key in seen:
                shown = dict(zip(_PORT_KEY, ("", key[0], None, number, 0, 0), strict=True))
                causes.append(duplicate(at, shown))
            seen.add(key)
    return causes


def _source_ranges(spec: JsonObject, old_spec: JsonObject, annotations: JsonObject) -> list[Cause]:
    """`LoadBalancerSourceRanges`, so spelled, or the annotation that was there before it."""
    ranges, path = spec.get("loadBalancerSourceRanges") or [], "spec.LoadBalancerSourceRanges"
    causes: list[Cause] = []
    if not ranges:
        text = annotations.get(_RANGES_ANNOTATION)
        path = f"metadata.annotations[{_RANGES_ANNOTATION}]"
        if text is None:
            return []
        for item in text.strip().split(",") if text.strip() else ():
            causes += addresses.cidr(item.strip(), path)
    existing = [text.strip() for text in old_spec.get("loadBalancerSourceRanges") or ()]
    for index, text in enumerate(ranges):
        causes += addresses.cidr(text.strip(), f"{path}[{index}]", existing)
    if spec.get("type") != "LoadBalancer":
        causes.insert(0, forbidden(path, _LB_ONLY))
    return causes


def _load_balancer(spec: JsonObject) -> list[Cause]:
    name, allocate = spec.get("loadBalancerClass"), spec.get("allocateLoadBalancerNodePorts")
    if spec.get("type") != "LoadBalancer":
        fields = (("allocateLoadBalancerNodePorts", allocate), ("loadBalancerClass", name))
        return [
            forbidden(f"spec.{field}", _LB_ONLY) for field, value in fields if value is not None
        ]
    causes = [required("allocateLoadBalancerNodePorts")] if allocate is None else []
    if name is not None:
        causes += invalid_each("spec.loadBalancerClass", name, names.qualified_name(name))
    return causes


def _traffic(spec: JsonObject) -> list[Cause]:
    causes: list[Cause] = []
    external = spec.get("externalTrafficPolicy", "")
    if is_external(spec):
        causes += _one_of("externalTrafficPolicy", external, ("Cluster", "Local"))
    elif external:
        detail = "may only be set for externally-accessible services"
        causes.append(invalid("spec.externalTrafficPolicy", external, detail))
    port = spec.get("healthCheckNodePort", 0)
    if needs_health_check(spec):
        at = "spec.healthCheckNodePort"
        causes += port_number(port, at) if port else [required(at)]
    elif port:
        detail = (
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        )
        causes.append(invalid("spec.healthCheckNodePort", port, detail))
    internal = spec.get("internalTrafficPolicy")
    if internal is not None or spec.get("type") in _WITHIN_CLUSTER:
        policy = internal if internal is not None else ""
        supported = ("Cluster", "Local")
        if internal is None:
            causes.append(required("spec.internalTrafficPolicy"))
        elif policy not in supported:
            causes.append(not_supported("spec.internalTrafficPolicy", policy, supported))
    chosen = spec.get("trafficDistribution")
    if chosen is not None and chosen not in _DISTRIBUTIONS:
        causes.append(not_supported("spec.trafficDistribution", chosen, _DISTRIBUTIONS))
    return causes


def update_service(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed Service: primary addresses and families stay, unless it was or is ExternalName."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    causes: list[Cause] = []
    if "ExternalName" not in (after.get("type"), before.get("type")):
        causes += _kept_addresses(after, before)
    both = after.get("type") == before.get("type") == "LoadBalancer"
    chosen = after.get("loadBalancerClass")
    if both and chosen != before.get("loadBalancerClass"):
        causes.append(invalid("spec.loadBalancerClass", chosen, "may not change once set"))
    if chosen is not None and not both:
        causes += [c for c in _load_balancer(after) if c.field == "spec.loadBalancerClass"]
    port = "healthCheckNodePort"
    needed = needs_health_check(before) and needs_health_check(after)
    if needed and after.get(port, 0) != before.get(port, 0):
        causes.append(forbidden(f"spec.{port}", "field is immutable"))
    return causes + _service(new, before)


def _kept_addresses(after: JsonObject, before: JsonObject) -> list[Cause]:
    was_headless, headless = is_headless(before), is_headless(after)
    if was_headless and headless:
        return []
    ips: list[str] = after.get("clusterIPs") or []
    causes = _kept("clusterIPs", ips, before.get("clusterIPs") or [], ips)
    if was_headless == headless:
        families = after.get("ipFamilies") or []
        same = len(families) == len(before.get("ipFamilies") or ())
        shown = families if same else ips
        causes += _kept("ipFamilies", families, before.get("ipFamilies") or [], shown)
    return causes


def _kept(name: str, after: list[str], before: list[str], shown: JsonValue) -> list[Cause]:
    path = f"spec.{name}"
    if len(after) == len(before):
        return [
            invalid(f"{path}[{index if name == 'clusterIPs' else 0}]", shown, _ONCE)
            for index, (was, now) in enumerate(zip(before, after, strict=True))
            if was != now
        ]
    if not after:
        what = "clusterIP" if name == "clusterIPs" else "ipFamily"
        return [invalid(f"{path}[0]", shown, f"primary {what} can not be unset")]
    return [invalid(f"{path}[0]", shown, _ONCE)] if before and after[0] != before[0] else []


_ONCE = "may not change once set"


def update_service_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """The ingress points of a load balancer."""
    path = "status.loadBalancer.ingress"
    points = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    before = ((old.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    if points and (new.get("spec") or {}).get("type") != "LoadBalancer":
        return [forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    existing = [point["ip"] for point in before if point.get("ip")]
    return [
        cause for at, point in each(points, path) for cause in _ingress_point(point, existing, at)
    ]


def _ingress_point(point: JsonObject, existing: list[str], path: str) -> list[Cause]:
    ip, mode, host = point.get("ip", ""), point.get("ipMode"), point.get("hostname", "")
    causes = addresses.ip(ip, f"{path}.ip", existing) if ip else []
    if mode is None and ip:
        causes.append(required(f"{path}.ipMode", "must be specified when `ip` is set"))
    elif mode is not None and not ip:
        causes.append(forbidden(f"{path}.ipMode", "may not be specified when `ip` is not set"))
    elif mode is not None and mode not in ("Proxy", "VIP"):
        causes.append(not_supported(f"{path}.ipMode", mode, ("Proxy", "VIP")))
    if host:
        causes += invalid_each(f"{path}.hostname", host, names.dns_subdomain(host))
        if addresses.parse(host) is not None:
            detail = "must be a DNS name, not an IP address"
            causes.append(invalid(f"{path}.hostname", host, detail))
    return causes
