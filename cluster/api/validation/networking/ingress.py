"""Rules of Ingress and IngressClass (pkg/apis/networking/validation)."""

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
    too_long,
)
from kubeherd.cluster.api.validation.checks import each, immutable, one_of, port_number
from kubeherd.cluster.api.validation.networking import addresses
from kubeherd.cluster.api.validation.references import (
    domain_prefixed_path,
    group_kind_name,
    wildcard_host,
)
from kubeherd.cluster.api.validation.rules import Rules

_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_MAX_CONTROLLER = 250
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES = ("/..", "/.")
_NOT_AN_IP = "must be a DNS name, not an IP address"


def create_ingress(tree: JsonObject) -> list[Cause]:
    """A new Ingress: its class is told once, by the field or by the old annotation."""
    causes = _spec(tree.get("spec") or {}, {})
    named = (tree.get("spec") or {}).get("ingressClassName")
    annotated = (tree["metadata"].get("annotations") or {}).get(_CLASS_ANNOTATION)
    if None not in (annotated, named) and annotated != named:
        detail = "must match `ingressClassName` when both are specified"
        causes.append(invalid(f"annotations.{_CLASS_ANNOTATION}", annotated, detail))
    return causes


def update_ingress(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed Ingress."""
    return _spec(new.get("spec") or {}, old.get("spec") or {})


def update_ingress_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """The status of an Ingress: where its load balancers are."""
    existing = [point["ip"] for point in _points(old) if point.get("ip")]
    causes: list[Cause] = []
    for at, point in each(_points(new), "status.loadBalancer.ingress"):
        ip, host = point.get("ip"), point.get("hostname")
        if ip:
            causes += addresses.ip(ip, f"{at}.ip", existing)
        if host:
            causes += invalid_each(f"{at}.hostname", host, names.dns_subdomain(host))
            if addresses.parse(host) is not None:
                causes.append(invalid(f"{at}.hostname", host, _NOT_AN_IP))
    return causes


def _points(tree: JsonObject) -> list[JsonObject]:
    balancer = (tree.get("status") or {}).get("loadBalancer") or {}
    return balancer.get("ingress") or []


def _spec(spec: JsonObject, old: JsonObject) -> list[Cause]:
    causes: list[Cause] = []
    rules, backend = spec.get("rules"), spec.get("defaultBackend")
    if not rules and backend is None:
        detail = "either `defaultBackend` or `rules` must be specified"
        causes.append(invalid("spec", rules, detail))
    if backend is not None:
        causes += _backend(backend, "spec.defaultBackend")
    lenient = any("*" in rule.get("host", "") and _http(rule, "") for rule in old.get("rules", ()))
    for at, rule in each(rules, "spec.rules"):
        host = rule.get("host", "")
        if host:
            causes += _host(host, f"{at}.host")
        if "*" not in host or not lenient:
            causes += _http(rule, at)
    bad_secrets = any(
        names.dns_subdomain(tls["secretName"])
        for tls in old.get("tls", ())
        if tls.get("secretName")
    )
    for at, tls in each(spec.get("tls"), "spec.tls"):
        causes += _tls(tls, at, any_secret=bad_secrets)
    name = spec.get("ingressClassName")
    if name is not None:
        causes += invalid_each("spec.ingressClassName", name, names.dns_subdomain(name))
    return causes


def _host(host: str, path: str) -> list[Cause]:
    causes = [] if addresses.parse(host) is None else [invalid(path, host, _NOT_AN_IP)]
    rule = wildcard_host if "*" in host else names.dns_subdomain
    return causes + invalid_each(path, host, rule(host))


def _tls(tls: JsonObject, path: str, *, any_secret: bool) -> list[Cause]:
    causes: list[Cause] = []
    for index, host in enumerate(tls.get("hosts", ())):
        rule = wildcard_host if "*" in host else names.dns_subdomain
        causes += invalid_each(f"{path}.hosts[{index}]", host, rule(host))
    secret = tls.get("secretName")
    if secret and not any_secret:
        causes += invalid_each(f"{path}.secretName", secret, names.dns_subdomain(secret))
    return causes


def _http(rule: JsonObject, path: str) -> list[Cause]:
    http = rule.get("http")
    if http is None:
        return []
    causes = [] if http.get("paths") else [required(f"{path}.http.paths")]
    for at, item in each(http.get("paths"), f"{path}.http.paths"):
        causes += _path(item, at)
    return causes


def _path(item: JsonObject, path: str) -> list[Cause]:
    kind, text = item.get("pathType"), item.get("path", "")
    if kind is None:
        return [required(f"{path}.pathType", "pathType must be specified")]
    causes: list[Cause] = []
    at = f"{path}.path"
    if kind not in _PATH_TYPES:
        causes.append(not_supported(f"{path}.pathType", kind, _PATH_TYPES))
    elif not text.startswith("/") and (text or kind != "ImplementationSpecific"):
        causes.append(invalid(at, text, "must be an absolute path"))
    if kind in ("Exact", "Prefix"):
        causes += [
            invalid(at, text, f"must not contain '{bad}'") for bad in _BAD_SEQUENCES if bad in text
        ]
        causes += [
            invalid(at, text, f"cannot end with '{bad}'")
            for bad in _BAD_SUFFIXES
            if text.endswith(bad)
        ]
    return causes + _backend(item.get("backend") or {}, f"{path}.backend")


def _backend(backend: JsonObject, path: str) -> list[Cause]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return group_kind_name(resource, f"{path}.resource")
    if service is None:
        return [invalid(path, "", "resource or service backend is required")]
    name = service.get("name", "")
    causes = [] if name else [required(f"{path}.service.name")]
    if name:
        causes += invalid_each(f"{path}.service.name", name, names.dns_label(name))
    return causes + _port(service.get("port") or {}, path)


def _port(port: JsonObject, path: str) -> list[Cause]:
    name, number = port.get("name"), port.get("number")
    if name and number:
        return [invalid(path, "", "cannot set both port name & port number")]
    if name:
        return invalid_each(f"{path}.service.port.name", name, names.port_name(name))
    if number:
        return port_number(number, f"{path}.service.port.number")
    return [required(path, "port name or number is required")]


def create_ingress_class(tree: JsonObject) -> list[Cause]:
    """An IngressClass: who carries it out, and with which parameters."""
    spec = tree.get("spec") or {}
    controller, path = spec.get("controller", ""), "spec.controller"
    causes = [too_long(path, _MAX_CONTROLLER)] if len(controller) > _MAX_CONTROLLER else []
    causes += domain_prefixed_path(controller, path)
    parameters = spec.get("parameters")
    return causes + (_parameters(parameters, "spec.parameters") if parameters is not None else [])


def update_ingress_class(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed IngressClass: its controller stays."""
    after, before = ((tree.get("spec") or {}).get("controller", "") for tree in (new, old))
    return immutable(after, before, "spec.controller") + create_ingress_class(new)


def _parameters(parameters: JsonObject, path: str) -> list[Cause]:
    causes = group_kind_name(parameters, path)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    at = f"{path}.namespace"
    if scope is None:
        return [*causes, required(f"{path}.scope")]
    causes += one_of(scope, ("Cluster", "Namespace"), f"{path}.scope")
    if scope == "Namespace":
        if namespace is None:
            causes.append(required(at, "`parameters.scope` is set to 'Namespace'"))
        else:
            causes += invalid_each(at, namespace, names.dns_label(namespace))
    if scope == "Cluster" and namespace is not None:
        causes.append(forbidden(at, "`parameters.scope` is set to 'Cluster'"))
    return causes


RULES = {
    "ingresses.networking.k8s.io": Rules(
        create_ingress, update_ingress, {"status": update_ingress_status}
    ),
    "ingressclasses.networking.k8s.io": Rules(create_ingress_class, update_ingress_class),
}
