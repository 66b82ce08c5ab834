"""Promises about what objects share: a namespace, addresses, volumes, a lease."""

from collections import Counter, OrderedDict
from collections.abc import Iterator

import msgspec

from kubeherd.checks.objects import about, items, number, text, words
from kubeherd.checks.writes import EVERYTHING, WriteChecker
from kubeherd.history import Leads, Record, Verb, Violation, Write
from kubeherd.history.records import Object

_LEASES = "leases.coordination.k8s.io"
_REMEMBERED = 10_000
"""Namespaces that are gone."""


class NamespaceEmpty(WriteChecker):
    """Namespaces."""

    name = "namespaces-are-empty-when-they-go"
    promise = (
        "A namespace goes only when nothing is left in it, and nothing is made in one that is gone."
    )
    source = "Concepts: Namespaces; API conventions: namespace finalization"
    resources = EVERYTHING

    def __init__(self) -> None:
        super().__init__()
        self._inside: Counter[tuple[str, str]] = Counter()
        """Objects by namespace and resource."""
        self._gone: OrderedDict[str, None] = OrderedDict()

    def note(self, write: Write, before: Object | None) -> None:
        """Count what is there."""
        if write.resource == "namespaces" and write.verb is not Verb.DELETE:
            self._gone.pop(write.name, None)
        if not write.namespace:
            return
        place = (write.namespace, write.resource)
        self._inside[place] += (write.verb is not Verb.DELETE) - (before is not None)
        if self._inside[place] <= 0:
            del self._inside[place]

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """What is left at the end, or comes after it."""
        if write.resource == "namespaces" and write.verb is Verb.DELETE:
            self.looked_at += 1
            self._gone[write.name] = None
            if len(self._gone) > _REMEMBERED:
                self._gone.popitem(last=False)
            left = [
                f"{count} {of}"
                for (where, of), count in sorted(self._inside.items())
                if where == write.name and not of.startswith("events")
            ]
            if left:
                what = f"namespace {write.name} is gone with {', '.join(left)} in it"
                yield self.violation(write, what, about(write))
        elif write.verb is Verb.CREATE and write.namespace:
            self.looked_at += 1
            if write.namespace in self._gone and not write.resource.startswith("events"):
                what = f"{about(write)} is made in a namespace that is gone"
                yield self.violation(write, what, about(write))


class AddressesUnique(WriteChecker):
    """Services' addresses and ports."""

    name = "service-addresses-are-given-once"
    promise = "No two Services have the same cluster address or the same node port."
    source = "Concepts: Service ClusterIP allocation; Service, type NodePort"
    resources = frozenset({"services"})

    def __init__(self) -> None:
        super().__init__()
        self._taken: dict[str, str] = {}

    def note(self, write: Write, before: Object | None) -> None:
        """What a Service no longer has is free."""
        name = about(write)
        has = () if write.verb is Verb.DELETE else tuple(_addresses(write.object))
        for address in _addresses(before or {}):
            if address not in has and self._taken.get(address) == name:
                del self._taken[address]
        for address in has if write.restored else ():
            self._taken.setdefault(address, name)

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """Whether somebody else has it."""
        if write.verb is Verb.DELETE:
            return
        name = about(write)
        for address in _addresses(write.object):
            self.looked_at += 1
            other = self._taken.setdefault(address, name)
            if other != name:
                yield self.violation(write, f"{name} gets {address} of {other}", name, other)


def _addresses(service: Object) -> Iterator[str]:
    for address in words(service, "spec", "clusterIPs") or (text(service, "spec", "clusterIP"),):
        if address not in ("", "None"):
            yield str(address)
    seen = set()
    for port in items(service, "spec", "ports"):
        if port.get("nodePort"):
            seen.add(f"node port {port['nodePort']}/{port.get('protocol') or 'TCP'}")
    yield from sorted(seen)


class VolumeBoundOnce(WriteChecker):
    """Persistent volumes."""

    name = "volumes-are-bound-to-one-claim"
    promise = "A persistent volume is bound to one claim: no two claims are Bound to it."
    source = "Concepts: Persistent Volumes, Binding"
    resources = frozenset({"persistentvolumeclaims"})

    def __init__(self) -> None:
        super().__init__()
        self._claims: dict[str, str] = {}

    def note(self, write: Write, before: Object | None) -> None:
        """What a claim no longer has is free."""
        volume, name = text(before or {}, "spec", "volumeName"), about(write)
        if self._claims.get(volume) == name and not _bound_to(write):
            del self._claims[volume]
        if write.restored and _bound_to(write):
            self._claims.setdefault(_bound_to(write), name)

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """Whether another claim has the volume."""
        volume, name = _bound_to(write), about(write)
        if not volume:
            return
        self.looked_at += 1
        other = self._claims.setdefault(volume, name)
        if other != name:
            what = f"{name} is bound to volume {volume}, which is bound to {other}"
            yield self.violation(write, what, name, other)


def _bound_to(write: Write) -> str:
    if write.verb is Verb.DELETE or text(write.object, "status", "phase") != "Bound":
        return ""
    return text(write.object, "spec", "volumeName")


class _Held(msgspec.Struct, frozen=True):
    holder: str
    transitions: int


class OnlyTheLeader(WriteChecker):
    """Leases and fences."""

    name = "only-the-leader-writes"
    promise = (
        "Who acts under a lease writes only while it holds it: no write of a deposed leader is "
        "carried out."
    )
    source = "kubeherd: writes carry the holder's epoch; Concepts: Leases, Leader election"
    resources = EVERYTHING

    def __init__(self) -> None:
        super().__init__()
        self._leases: dict[str, _Held] = {}

    def see(self, record: Record) -> Iterator[Violation]:
        """A change of a lease is told by its write or by `Leads`."""
        if isinstance(record, Leads):
            self._leases[record.lease] = _Held(record.holder, record.transitions)
        elif isinstance(record, Write) and record.resource == _LEASES:
            self._hold(record)
        if isinstance(record, Write) and not record.restored:
            yield from self.judge(record, None)  # the objects themselves do not matter

    def _hold(self, write: Write) -> None:
        name = f"{write.namespace}/{write.name}"
        if write.verb is Verb.DELETE:
            self._leases.pop(name, None)
        elif write.namespace != "kube-node-lease":
            holder = text(write.object, "spec", "holderIdentity")
            self._leases[name] = _Held(holder, number(write.object, "spec", "leaseTransitions"))

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """Compare the fence of the writer with the lease."""
        fence = write.actor.fence if write.actor else ""
        if not fence or write.resource == _LEASES:
            return
        lease, acting = _fence(fence)
        held = self._leases.get(lease)
        if held is None:
            return
        self.looked_at += 1
        if held != acting:
            what = (
                f"{about(write)} is written by {acting.holder} (term {acting.transitions}) while "
                f"{held.holder or 'nobody'} (term {held.transitions}) holds {lease}"
            )
            yield self.violation(write, what, about(write))


def _fence(fence: str) -> tuple[str, _Held]:
    """``namespace/name/holder/transitions``; a holder may have slashes."""
    namespace, _, rest = fence.partition("/")
    name, _, rest = rest.partition("/")
    holder, _, term = rest.rpartition("/")
    return f"{namespace}/{name}", _Held(holder, int(term) if term.isdecimal() else -1)
