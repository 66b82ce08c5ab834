"""How the endpoints of one set of ports are spread over slices with as few writes as can be. Pure.

Source: spec endpoints-controllers 4; upstream k8s.io/endpointslice/reconciler.go
(reconcileByPortMapping, finalize). Invariants: every wanted endpoint is in exactly one slice, no
slice has more than the limit, and a slice of which nothing changes is not written.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from kubeherd.controller.endpoints.objects import Endpoint, EndpointPort, EndpointSlice, PortKey

EndpointKey = tuple[tuple[str, ...], str, str, str]
Desired = dict[EndpointKey, Endpoint]
Labels = dict[str, str]
Relabel = Callable[[EndpointSlice], tuple[Labels, bool]]
"""The labels that a slice should have, and whether it must be written for their sake."""


class Changes(msgspec.Struct):
    """Slices to write. Those to create have no name yet, only the beginning of one."""

    create: list[EndpointSlice] = msgspec.field(default_factory=list)
    update: list[EndpointSlice] = msgspec.field(default_factory=list)
    delete: list[EndpointSlice] = msgspec.field(default_factory=list)

    def add(self, other: "Changes") -> None:
        """Take in what another part of the plan changes."""
        self.create += other.create
        self.update += other.update
        self.delete += other.delete

    def unchanged(self, existing: Iterable[EndpointSlice]) -> list[EndpointSlice]:
        """Those of the slices that are there that are left as they are."""
        touched = {one.metadata.name for one in (*self.update, *self.delete)}
        return [one for one in existing if one.metadata.name not in touched]


def key_of(endpoint: Endpoint) -> EndpointKey:
    """What makes two endpoints the same: addresses, host name, what is behind it."""
    ref = endpoint.target_ref
    return (
        tuple(sorted(endpoint.addresses)),
        endpoint.hostname or "",
        ref.namespace if ref else "",
        ref.name if ref else "",
    )


def ports_key(ports: Iterable[EndpointPort] | None) -> tuple[PortKey, ...]:
    """A set of ports, to be compared."""
    return tuple(sorted(port.key() for port in ports or ()))


def same(one: Endpoint, other: Endpoint) -> bool:
    """Whether two endpoints of one key say the same; hints, and versions of pods, do not count."""
    return (
        one.node_name == other.node_name
        and one.zone == other.zone
        and one.conditions == other.conditions
        and _unversioned(one) == _unversioned(other)
    )


def _unversioned(endpoint: Endpoint) -> object:
    ref = endpoint.target_ref
    if ref is None or not ref.resource_version:
        return ref
    return msgspec.structs.replace(ref, resource_version="")


class _Packing:
    """Slices by what becomes of them, and the endpoints that still look for a place."""

    def __init__(self, desired: Desired, limit: int) -> None:
        self.desired = desired
        self.limit = limit
        self.filled: list[tuple[EndpointSlice, list[Endpoint]]] = []
        self.untouched: list[EndpointSlice] = []
        self.delete: list[EndpointSlice] = []

    def sort_out(self, existing: Iterable[EndpointSlice], relabel: Relabel) -> None:
        """Keep in each slice what is still wanted."""
        for one in existing:
            endpoints = one.endpoints or []
            kept: list[Endpoint] = []
            changed = False
            for endpoint in endpoints:
                wanted = self.desired.pop(key_of(endpoint), None)
                if wanted is not None:
                    kept.append(wanted)
                    changed = changed or not same(wanted, endpoint)
            labels, labels_changed = relabel(one)
            relabelled = msgspec.structs.replace(
                one, metadata=msgspec.structs.replace(one.metadata, labels=labels)
            )
            if changed or len(kept) != len(endpoints):
                if kept:
                    self.filled.append((relabelled, kept))
                else:
                    self.delete.append(one)
            elif labels_changed:
                self.filled.append((relabelled, list(endpoints)))
            else:
                self.untouched.append(one)

    def fill(self, endpoints: list[Endpoint]) -> None:
        """Put endpoints without a place into a slice until it is full."""
        while self.desired and len(endpoints) < self.limit:
            endpoints.append(self.desired.pop(next(iter(self.desired))))

    def best_untouched(self) -> EndpointSlice | None:
        """The slice that all that is left fits into, and that is fullest then."""
        room = self.limit - len(self.desired)
        fitting = [one for one in self.untouched if len(one.endpoints or ()) <= room]
        return max(fitting, key=lambda one: len(one.endpoints or ()), default=None)


def pack(
    existing: Sequence[EndpointSlice],
    desired: Desired,
    blank: EndpointSlice,
    relabel: Relabel,
    limit: int,
) -> Changes:
    """What to write so that these slices, all with the ports of `blank`, hold the wanted endpoints.

    `desired` is used up. Slices that must be written anyway are filled first, the fullest before
    the others; what is left goes into one that is not, if it fits there as a whole, else into new
    ones.
    """
    packing = _Packing(desired, limit)
    packing.sort_out(existing, relabel)
    for _, endpoints in sorted(packing.filled, key=lambda pair: -len(pair[1])):
        packing.fill(endpoints)
    created: list[EndpointSlice] = []
    while desired:
        into = packing.best_untouched() if len(desired) < limit else None
        endpoints = [] if into is None else list(into.endpoints or ())
        packing.fill(endpoints)
        if into is None:
            created.append(msgspec.structs.replace(blank, endpoints=endpoints))
        else:
            packing.filled.append((into, endpoints))
    updated = [msgspec.structs.replace(one, endpoints=kept) for one, kept in packing.filled]
    return Changes(created, updated, packing.delete)


def recycle(changes: Changes, usable: Callable[[EndpointSlice], bool]) -> Changes:
    """Write new slices over those that would be deleted, where `usable` allows it."""
    create, update, delete = list(changes.create), list(changes.update), []
    for old in changes.delete:
        alike = [new for new in create if new.address_type is old.address_type]
        if alike and usable(old):
            create.remove(alike[-1])
            metadata = msgspec.structs.replace(alike[-1].metadata, name=old.metadata.name)
            update.append(msgspec.structs.replace(alike[-1], metadata=metadata))
        else:
            delete.append(old)
    return Changes(create, update, delete)
