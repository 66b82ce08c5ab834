"""Views of Services, Endpoints and EndpointSlices. Pure values.

Lists that Go writes as ``null`` when they are empty may be None.
"""

from enum import Enum

import msgspec

from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.objects import ObjectMeta, OwnerReference, Wire

SERVICE_NAME = "kubernetes.io/service-name"
SLICE_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
HEADLESS = "service.kubernetes.io/headless"
ENDPOINTS_MANAGED_BY = "endpoints.kubernetes.io/managed-by"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
LEADER_ELECTION = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class AddressType(Enum):
    """What the addresses of a slice are; the controllers make slices of IP addresses only."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"
    FQDN = "FQDN"


class ServicePort(Wire, frozen=True, kw_only=True):
    name: str = ""
    protocol: str = "TCP"
    port: int = 0
    target_port: int | str = 0
    app_protocol: str | None = None


class ServiceSpec(Wire, frozen=True, kw_only=True):
    type: str = "ClusterIP"
    selector: dict[str, str] | None = None
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    ip_families: list[str] = msgspec.field(default_factory=list)
    ports: list[ServicePort] = msgspec.field(default_factory=list)
    publish_not_ready_addresses: bool = False
    traffic_distribution: str | None = None


class Service(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)

    @property
    def has_endpoints_made(self) -> bool:
        """Whether the controllers make its endpoints: it selects pods, and is no alias."""
        return self.spec.selector is not None and self.spec.type != "ExternalName"

    @property
    def headless(self) -> bool:
        """Whether it has no address of its own."""
        return self.spec.cluster_ip in ("", "None")


class TargetRef(Wire, frozen=True, kw_only=True):
    """An ObjectReference to what is behind an address."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""
    field_path: str = ""


class PortKey(msgspec.Struct, frozen=True, order=True):
    """A port by all that it says, to be compared and sorted."""

    name: str
    protocol: str
    port: int
    app_protocol: str


# --- EndpointSlice ---


class EndpointPort(Wire, frozen=True, kw_only=True):
    """A port of a slice; of Endpoints the same, without a name if it is empty."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    app_protocol: str | None = None

    def key(self) -> PortKey:
        """What makes two ports the same."""
        return PortKey(
            self.name or "", self.protocol or "TCP", self.port or 0, self.app_protocol or ""
        )


class EndpointConditions(Wire, frozen=True, kw_only=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class HintName(Wire, frozen=True, kw_only=True):
    name: str = ""


class EndpointHints(Wire, frozen=True, kw_only=True):
    for_zones: list[HintName] = msgspec.field(default_factory=list)
    for_nodes: list[HintName] = msgspec.field(default_factory=list)


class Endpoint(Wire, frozen=True, kw_only=True):
    addresses: list[str] = msgspec.field(default_factory=list)
    conditions: EndpointConditions = msgspec.field(default_factory=EndpointConditions)
    hostname: str | None = None
    target_ref: TargetRef | None = None
    deprecated_topology: dict[str, str] | None = None
    node_name: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None


class EndpointSlice(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    address_type: AddressType
    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None

    @property
    def service(self) -> str:
        """The name of the Service (or of the Endpoints) that it is for."""
        return self.metadata.labels.get(SERVICE_NAME, "")

    @property
    def manager(self) -> str:
        """Who keeps it."""
        return self.metadata.labels.get(SLICE_MANAGED_BY, "")


def owners(resource: Resource, meta: ObjectMeta) -> list[OwnerReference]:
    """The references of a slice that one object controls."""
    return [
        OwnerReference(
            api_version=resource.api_version,
            kind=resource.kind,
            name=meta.name,
            uid=meta.uid,
            controller=True,
            block_owner_deletion=True,
        )
    ]


# --- Endpoints ---


class EndpointAddress(Wire, frozen=True, kw_only=True):
    ip: str = ""
    hostname: str = ""
    node_name: str | None = None
    target_ref: TargetRef | None = None


class EndpointSubset(Wire, frozen=True, kw_only=True):
    addresses: list[EndpointAddress] = msgspec.field(default_factory=list)
    not_ready_addresses: list[EndpointAddress] = msgspec.field(default_factory=list)
    ports: list[EndpointPort] = msgspec.field(default_factory=list)


class Endpoints(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    subsets: list[EndpointSubset] = msgspec.field(default_factory=list)
