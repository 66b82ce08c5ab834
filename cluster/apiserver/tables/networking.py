"""The columns of services, endpoints, ingresses and network policies."""

from collections.abc import Iterator
from datetime import datetime

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.tables.columns import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Cell,
    Column,
    Printer,
    age,
    format_labels,
    format_selector,
    items,
    member,
    name_of,
    shortened,
)


def _load_balancer(tree: JsonObject) -> list[str]:
    found = items(member(tree, "status", "loadBalancer"), "ingress")
    return [
        i.get("ip") or i.get("hostname") or "" for i in found if i.get("ip") or i.get("hostname")
    ]


def _external(tree: JsonObject) -> str:
    spec = member(tree, "spec")
    kind = spec.get("type") or "ClusterIP"
    if kind == "ExternalName":
        return str(spec.get("externalName") or "")
    addresses = items(spec, "externalIPs")
    if kind == "LoadBalancer":
        return ",".join([*_load_balancer(tree), *addresses]) or "<pending>"
    return ",".join(addresses) or NONE


def _ports(spec: JsonObject) -> str:
    shown = []
    for port in items(spec, "ports"):
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port.get('port')}{node_port}/{port.get('protocol') or 'TCP'}")
    return ",".join(shown) or NONE


def _service(tree: JsonObject, now: datetime) -> list[Cell]:
    spec = member(tree, "spec")
    addresses = items(spec, "clusterIPs") or [spec.get("clusterIP")]
    return [
        name_of(tree),
        spec.get("type") or "ClusterIP",
        addresses[0] or NONE,
        _external(tree),
        _ports(spec),
        age(tree, now),
        format_labels(member(spec, "selector")),
    ]


SERVICES = Printer(
    (
        NAME,
        Column("Type"),
        Column("Cluster-IP"),
        Column("External-IP"),
        Column("Port(s)"),
        AGE,
        Column("Selector", wide=True),
    ),
    _service,
)


def _host_port(ip: str, port: object) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _endpoint_addresses(tree: JsonObject) -> Iterator[str]:
    for subset in items(tree, "subsets"):
        addresses = [a.get("ip", "") for a in items(subset, "addresses")]
        ports = items(subset, "ports")
        if not ports:
            yield from addresses
        for port in ports:
            for ip in addresses:
                yield _host_port(ip, port.get("port"))


def _endpoints(tree: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(tree), shortened(_endpoint_addresses(tree)), age(tree, now)]


ENDPOINTS = Printer((NAME, Column("Endpoints"), AGE), _endpoints)


def _slice(tree: JsonObject, now: datetime) -> list[Cell]:
    ports = [str(p.get("port") or p.get("name") or "*") for p in items(tree, "ports")]
    addresses = [a for e in items(tree, "endpoints") for a in items(e, "addresses")]
    return [
        name_of(tree),
        tree.get("addressType") or "",
        shortened(ports) if ports else UNSET,
        shortened(addresses) if addresses else UNSET,
        age(tree, now),
    ]


ENDPOINT_SLICES = Printer(
    (
        NAME,
        Column("AddressType"),
        Column("Ports"),
        Column("Endpoints"),
        AGE,
    ),
    _slice,
)


def _ingress(tree: JsonObject, now: datetime) -> list[Cell]:
    spec = member(tree, "spec")
    hosts = [rule["host"] for rule in items(spec, "rules") if rule.get("host")]
    return [
        name_of(tree),
        spec.get("ingressClassName") or NONE,
        shortened(hosts) if hosts else "*",
        ",".join(_load_balancer(tree)),
        "80, 443" if items(spec, "tls") else "80",
        age(tree, now),
    ]


INGRESSES = Printer(
    (
        NAME,
        Column("Class"),
        Column("Hosts"),
        Column("Address"),
        Column("Ports"),
        AGE,
    ),
    _ingress,
)


def _ingress_class(tree: JsonObject, now: datetime) -> list[Cell]:
    parameters = member(tree, "spec", "parameters")
    shown = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        shown = f"{parameters.get('kind')}{group}/{parameters.get('name')}"
    controller = member(tree, "spec").get("controller") or ""
    return [name_of(tree), controller, shown, age(tree, now)]


INGRESS_CLASSES = Printer(
    (
        NAME,
        Column("Controller"),
        Column("Parameters"),
        AGE,
    ),
    _ingress_class,
)


def _network_policy(tree: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(tree), format_selector(member(tree, "spec", "podSelector")), age(tree, now)]


NETWORK_POLICIES = Printer((NAME, Column("Pod-Selector"), AGE), _network_policy)


def _ip_address(tree: JsonObject, now: datetime) -> list[Cell]:
    ref = member(tree, "spec", "parentRef")
    parts = [ref.get(k) for k in ("resource", "group", "namespace", "name")]
    kind = ".".join(str(p) for p in parts[:2] if p)
    return [name_of(tree), "/".join([kind, *(str(p) for p in parts[2:] if p)])]


IP_ADDRESSES = Printer((NAME, Column("ParentRef")), _ip_address)


def _service_cidr(tree: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(tree), ",".join(items(member(tree, "spec"), "cidrs")), age(tree, now)]


SERVICE_CIDRS = Printer((NAME, Column("CIDRs"), AGE), _service_cidr)
