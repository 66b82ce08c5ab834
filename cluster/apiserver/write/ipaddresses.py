"""The IPAddress of a Service: stored before it, gone after it.

Source: spec service-allocation, section 3. An IPAddress has the address as its name, so that no two
Services can have the same: its store is the allocator. `companions` stages them; what a crash
leaves over, or somebody deletes, is put right from time to time (`bootstrap.ensure_restored`).
"""

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.networking.service import family_of
from kubeherd.cluster.store.store import Store

_MANAGED_BY = "ipaddress.kubernetes.io/managed-by"
_ALLOCATOR = "ipallocator.k8s.io"
_NONE = ("", "None")


def gained(new: JsonObject, old: JsonObject) -> list[str]:
    """The addresses that `new` has and `old`, of the same Service, has not."""
    before = _addresses(old)
    return [address for address in _addresses(new) if address not in before]


def _addresses(service: JsonObject) -> list[str]:
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return []
    return [address for address in spec.get("clusterIPs") or () if address not in _NONE]


def of(service: JsonObject, address: str) -> JsonObject:
    """The IPAddress that says whose `address` is."""
    meta = service["metadata"]
    owner = {"resource": "services", "namespace": meta["namespace"], "name": meta["name"]}
    return {
        "kind": kinds.IPADDRESSES.kind,
        "apiVersion": kinds.IPADDRESSES.api_version,
        "metadata": {
            "name": address,
            "labels": {
                "ipaddress.kubernetes.io/ip-family": family_of(address),
                _MANAGED_BY: _ALLOCATOR,
            },
        },
        "spec": {"parentRef": owner},
    }


def missing(store: Store) -> list[JsonObject]:
    """The IPAddresses that Services should have: some are from a time when there were none."""
    key = kinds.IPADDRESSES.group_resource
    found: dict[str, JsonObject] = {}
    for record in store.heads(kinds.SERVICES.group_resource):
        address = record.attrs.fields.get("spec.clusterIP", "")
        if address not in _NONE and store.head(key, "", address) is None:
            found.setdefault(address, of(record.load(), address))
    return list(found.values())


def left_over(store: Store) -> list[str]:
    """The names of IPAddresses that were made for a Service and are not its own any more."""
    in_use = {
        record.attrs.fields.get("spec.clusterIP", "")
        for record in store.heads(kinds.SERVICES.group_resource)
    }
    return [
        record.name
        for record in store.heads(kinds.IPADDRESSES.group_resource)
        if record.name not in in_use and record.attrs.labels.get(_MANAGED_BY) == _ALLOCATOR
    ]
