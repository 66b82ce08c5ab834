"""Questions about a pod behind a Service, which both kinds of endpoints answer alike. Pure.

Source: spec endpoints-controllers 2; upstream k8s.io/endpointslice (utils.go, util).
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from kubeherd.cluster.api.helpers import podutil
from kubeherd.cluster.api.objects import Container, Pod
from kubeherd.controller.endpoints.objects import AddressType, Service, ServicePort, TargetRef


def belongs(pod: Pod, *, include_terminating: bool) -> bool:
    """Whether a pod that a Service selects is among its endpoints: it has an address and has not
    ended; one that is being deleted only if asked for."""
    if podutil.is_terminal(pod):
        return False
    if not pod.status.pod_ip and not pod.status.pod_ips:
        return False
    return include_terminating or not podutil.is_terminating(pod)


@lru_cache(maxsize=4096)
def parse_ip(text: str) -> tuple[AddressType, str] | None:
    """An address in its usual form, and of which family; None if it is none.

    Leading zeros are let pass, an IPv4 address inside an IPv6 one is IPv4: as Go does.
    """
    try:
        if ":" not in text:
            octets = (octet.lstrip("0") or octet[:1] for octet in text.split("."))
            return AddressType.IPV4, str(IPv4Address(".".join(octets)))
        address = IPv6Address(text)
    except AddressValueError:
        return None
    if address.ipv4_mapped is not None:
        return AddressType.IPV4, str(address.ipv4_mapped)
    return (AddressType.IPV6, str(address)) if address.scope_id is None else None


def addresses(pod: Pod, family: AddressType) -> list[str]:
    """The pod's addresses of a family."""
    parsed = [parse_ip(one.ip) for one in pod.status.pod_ips]
    return [found[1] for found in parsed if found is not None and found[0] is family]


def hostname(pod: Pod, service: Service) -> str:
    """The host name under which DNS finds the pod by this Service; "" if it does not."""
    same_namespace = pod.metadata.namespace == service.metadata.namespace
    if same_namespace and pod.spec.subdomain == service.metadata.name:
        return pod.spec.hostname
    return ""


def target(pod: Pod) -> TargetRef:
    """The reference from an address to its pod."""
    meta = pod.metadata
    return TargetRef(kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid)


def find_port(pod: Pod, port: ServicePort) -> int | None:
    """The number behind a Service's port in this pod; None if the pod has no port of that name.

    Containers come before sidecars; the protocols must agree.
    """
    if isinstance(port.target_port, int):
        return port.target_port
    sidecars = [one for one in pod.spec.init_containers if one.restart_policy == "Always"]
    return _named(pod.spec.containers, port) or _named(sidecars, port)


def _named(containers: Sequence[Container], port: ServicePort) -> int | None:
    for container in containers:
        for one in container.ports:
            if one.name == port.target_port and one.protocol == port.protocol:
                return one.container_port
    return None


def membership_changed(old: Pod, new: Pod) -> bool:
    """Whether other Services may select the pod now, or others know its name."""
    return (
        old.metadata.labels != new.metadata.labels
        or old.spec.hostname != new.spec.hostname
        or old.spec.subdomain != new.spec.subdomain
    )


def endpoint_changed(old: Pod, new: Pod) -> bool:
    """Whether the Services that select the pod say something else of it now.

    Beyond upstream: the end of a pod (its phase), which there is told by its readiness only.
    """
    return (
        old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
        or podutil.is_ready(old) != podutil.is_ready(new)
        or podutil.is_terminal(old) != podutil.is_terminal(new)
        or old.metadata.uid != new.metadata.uid
        or old.status.pod_ips != new.status.pod_ips
    )
