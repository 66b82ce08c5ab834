"""What has to change in the state of another cluster before kubeherd can go on with it. Pure.

Its nodes and whoever held a lease are not there, nobody answers its webhooks, its keys are others,
and some of its kinds are not served here. So objects are left out or changed, and each time it is
told. What is a matter of the rehearsal stays as it was: pods stay bound, finalizers stay.
A cluster of ours loses only what belongs to its old keys and processes.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from kubeherd.cluster.api import defaults, kinds
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.etcd import definitions
from kubeherd.cluster.api.helpers.nodestandin import ANNOTATION, stand_in
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.serializer import decoding
from kubeherd.cluster.apiserver.read import conversion
from kubeherd.snapshot.model import Entry, Origin, Snapshot
from kubeherd.snapshot.naming import custom_plurals

DEFINITIONS: Final = "customresourcedefinitions.apiextensions.k8s.io"
_NAMESPACE: Final = uuid.UUID("5ad2c5de-9a0c-5c0f-8a51-2f1f7cf0a4a1")
"""UIDs of objects that came without one are made from their names in it."""
_BOOTSTRAPPING: Final = "kubernetes.io/bootstrapping"
_TOKEN: Final = "kubernetes.io/service-account-token"  # noqa: S105 - a type of Secrets
_OWN_FINALIZERS: Final = frozenset({
    "kubernetes", "orphan", "foregroundDeletion", "kubernetes.io/pvc-protection",
    "kubernetes.io/pv-protection", "batch.kubernetes.io/job-tracking",
    "networking.k8s.io/service-cidr-finalizer", "customresourcecleanup.apiextensions.k8s.io",
})  # fmt: skip
"""Those of which kubeherd's own controllers take care."""


class Adapted(msgspec.Struct, frozen=True):
    """What is to be restored, and what was done to it."""

    snapshot: Snapshot
    nodes: Sequence[str]
    """The nodes that the cluster had, by name."""
    changes: Sequence[str]
    """A line for each kind of change, those of the source first."""


def adapt(snapshot: Snapshot, now: str) -> Adapted:
    """The snapshot as kubeherd can go on with it. `now` (RFC 3339): when objects that do not say
    so were made."""
    own = snapshot.origin is Origin.KUBEHERD
    adapter = _Adapter(snapshot, now, _OURS if own else _THEIRS)
    entries = adapter.kept() if own else adapter.fitted()
    nodes = sorted({entry.name for entry in entries if entry.resource == "nodes"})
    if not own and not nodes:
        nodes = sorted(adapter.named_nodes)
    changes = [*snapshot.notes, *adapter.told()]
    return Adapted(msgspec.structs.replace(snapshot, entries=entries), nodes, changes)


_Rule = Callable[[Entry, JsonObject], str]
"""Why an object is left out; "" for one that is kept."""


def _always(why: str) -> _Rule:
    return lambda _entry, _tree: why


def _named(why: str, *names: str) -> _Rule:
    return lambda entry, _tree: why if f"{entry.namespace}/{entry.name}" in names else ""


def _bootstrapped(_entry: Entry, tree: JsonObject) -> str:
    labels = tree["metadata"].get("labels") or {}
    return "kubeherd has these roles itself" if _BOOTSTRAPPING in labels else ""


def _slice_of_server(entry: Entry, tree: JsonObject) -> str:
    service = (tree["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
    return _ADDRESS if (entry.namespace, service) == ("default", "kubernetes") else ""


def _config_map(entry: Entry, _tree: JsonObject) -> str:
    if entry.name == "kube-root-ca.crt":
        return _KEYS
    return _KEYS if (entry.namespace, entry.name) in _WITH_AUTHORITY else ""


_WITH_AUTHORITY: Final = frozenset({
    ("kube-system", "extension-apiserver-authentication"),
    ("kube-public", "cluster-info"),
})  # fmt: skip
_ADDRESS: Final = "the API server has another address"
_KEYS: Final = "the cluster has other keys"
_HOLDERS: Final = "their holders are not here"
_ELECTED: Final = ("kube-system/kube-controller-manager", "kube-system/kube-scheduler")
_WEBHOOKS: Final = "nobody answers them here, and those of the other cluster must not be called"
_OURS: Final[Mapping[str, _Rule]] = {
    "configmaps": _config_map,
    "leases.coordination.k8s.io": _named(_HOLDERS, *_ELECTED),
}
_THEIRS: Final[Mapping[str, _Rule]] = {
    "configmaps": _config_map,
    "leases.coordination.k8s.io": _always(_HOLDERS),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": _always(_WEBHOOKS),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": _always(_WEBHOOKS),
    "apiservices.apiregistration.k8s.io": _always("kubeherd registers its own"),
    "ipaddresses.networking.k8s.io": _always("they are made anew from the Services"),
    "servicecidrs.networking.k8s.io": _named("kubeherd has a range of its own", "/kubernetes"),
    "services": _named(_ADDRESS, "default/kubernetes"),
    "endpoints": _named(_ADDRESS, "default/kubernetes"),
    "endpointslices.discovery.k8s.io": _slice_of_server,
    "clusterroles.rbac.authorization.k8s.io": _bootstrapped,
    "clusterrolebindings.rbac.authorization.k8s.io": _bootstrapped,
    "roles.rbac.authorization.k8s.io": _bootstrapped,
    "rolebindings.rbac.authorization.k8s.io": _bootstrapped,
}


class _Adapter:
    def __init__(self, snapshot: Snapshot, now: str, rules: Mapping[str, _Rule]) -> None:
        self._snapshot = snapshot
        self._now = now
        self._rules = rules
        self._left_out: Counter[tuple[str, str]] = Counter()
        self._changed: Counter[tuple[str, str]] = Counter()
        self.named_nodes: set[str] = set()
        """Where pods are bound."""

    def kept(self) -> list[Entry]:
        """The objects of a cluster of ours, but for what its keys and processes need."""
        entries: list[Entry] = []
        for entry in self._snapshot.entries:
            if entry.resource not in _LOOKED_INTO:
                entries.append(entry)
                continue
            tree = entry.tree()
            if not self._is_left_out(entry, tree):
                changed = self._without_token(entry, tree)
                entries.append(entry.with_tree(tree) if changed else entry)
        return entries

    def fitted(self) -> list[Entry]:
        """The objects of another cluster, as far as they can be kept, as kubeherd needs them."""
        trees = [(entry, entry.tree()) for entry in self._snapshot.entries]
        plurals = custom_plurals(tree for _, tree in trees)
        custom = {f"{plural}.{group}" for (group, _), plural in plurals.items()}
        kept = [
            (fitted, tree)
            for entry, tree in trees
            if not self._is_left_out(entry, tree)
            and (fitted := self._as_stored(entry, tree, custom)) is not None
        ]
        uids = {tree["metadata"]["uid"] for _, tree in kept}
        for entry, tree in kept:
            self._change(entry, tree, uids)
        namespaces = self._missing_namespaces(entry for entry, _ in kept)
        return [*(entry.with_tree(tree) for entry, tree in kept), *namespaces]

    def told(self) -> list[str]:
        """What was done, a line each."""
        left_out = [
            f"left out {count} {resource}: {why}"
            for (resource, why), count in sorted(self._left_out.items())
        ]
        changed = [
            f"{count} {resource}: {what}"
            for (resource, what), count in sorted(self._changed.items())
        ]
        return left_out + changed

    def _is_left_out(self, entry: Entry, tree: JsonObject) -> bool:
        rule = self._rules.get(entry.resource)
        why = rule(entry, tree) if rule is not None else ""
        if why:
            self._left_out[entry.resource, why] += 1
        return bool(why)

    def _as_stored(self, entry: Entry, tree: JsonObject, custom: set[str]) -> Entry | None:
        """The entry of an object that is now as kubeherd stores it, `tree` too; None if it cannot
        be kept."""
        metadata = tree["metadata"]
        if not metadata.get("uid"):
            key = f"{entry.resource} {entry.namespace} {entry.name}"
            metadata["uid"] = str(uuid.uuid5(_NAMESPACE, key))
        metadata.setdefault("creationTimestamp", self._now)
        if entry.resource in custom:
            return entry
        if (entry.resource, tree.get("apiVersion")) == (DEFINITIONS, definitions.OLD_VERSION):
            _become(tree, definitions.modernized(tree))
        known = kinds.for_kind(str(tree.get("apiVersion")), str(tree.get("kind")))
        if known is None:
            version = str(tree.get("apiVersion"))
            self._left_out[entry.resource, f"kubeherd does not serve them ({version})"] += 1
            return None
        try:
            return self._decoded(entry, tree, known)
        except ApiError as error:
            self._left_out[entry.resource, f"they are not valid ({error.message})"] += 1
            return None

    def _decoded(self, entry: Entry, tree: JsonObject, resource: Resource) -> Entry:
        if decoding.decode(resource, tree):
            self._changed[entry.resource, "fields that are not known here are dropped"] += 1
        defaults.apply(resource, tree)
        converters = conversion.converters(resource)
        if converters is not None:
            _become(tree, converters[1](tree))
        stored_as = conversion.storage_resource(resource).group_resource
        return msgspec.structs.replace(entry, resource=stored_as)

    def _change(self, entry: Entry, tree: JsonObject, uids: set[str]) -> None:
        metadata = tree["metadata"]
        owners = metadata.get("ownerReferences") or []
        present = [owner for owner in owners if owner.get("uid") in uids]
        if len(present) < len(owners):
            metadata["ownerReferences"] = present
            if not present:
                del metadata["ownerReferences"]
            self._changed[
                entry.resource, "owners that are not here are forgotten, else they would be deleted"
            ] += 1
        if set(metadata.get("finalizers") or ()) - _OWN_FINALIZERS:
            ending = (
                "are being deleted and" if metadata.get("deletionTimestamp") else "when deleted"
            )
            self._changed[
                entry.resource, f"{ending} stay until somebody removes their finalizers"
            ] += 1
        self._change_kind(entry, tree)

    def _change_kind(self, entry: Entry, tree: JsonObject) -> None:
        spec = tree.get("spec") or {}
        if entry.resource == "nodes":
            annotations = tree["metadata"].setdefault("annotations", {})
            annotations[ANNOTATION] = stand_in(tree.get("status") or {})
            self._changed[entry.resource, "fake nodes stand in, with what they had"] += 1
        elif entry.resource == "pods":
            _name_images_as_asked_for(spec, tree.get("status") or {})
            if spec.get("nodeName"):
                self.named_nodes.add(spec["nodeName"])
        elif entry.resource == DEFINITIONS and (spec.get("conversion") or {}).get("webhook"):
            spec["conversion"] = {"strategy": "None"}
            self._changed[entry.resource, "nobody converts between their versions but by name"] += 1
        elif entry.resource == "secrets":
            self._without_token(entry, tree)

    def _without_token(self, entry: Entry, tree: JsonObject) -> bool:
        """Whether a token was taken out: the controller manager puts in one of the new keys."""
        if tree.get("type") != _TOKEN:
            return False
        data = tree.get("data") or {}
        data.pop("token", None)
        data.pop("ca.crt", None)
        self._changed[entry.resource, "they get new tokens, since the cluster has other keys"] += 1
        return True

    def _missing_namespaces(self, entries: Iterable[Entry]) -> list[Entry]:
        """Namespaces that objects are in and that are not there: part of a dump only."""
        there: set[str] = set()
        wanted: set[str] = set()
        for entry in entries:
            (there if entry.resource == "namespaces" else wanted).add(
                entry.name if entry.resource == "namespaces" else entry.namespace
            )
        missing = sorted(wanted - there - {""})
        for name in missing:
            self._changed["namespaces", f"{name} is made, since objects are in it"] += 1
        return [self._namespace(name) for name in missing]

    def _namespace(self, name: str) -> Entry:
        tree: JsonObject = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "uid": str(uuid.uuid5(_NAMESPACE, f"namespaces  {name}")),
                "creationTimestamp": self._now,
                "labels": {"kubernetes.io/metadata.name": name},
            },
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }
        raw = msgspec.Raw(msgspec.json.encode(tree))
        return Entry("namespaces", "", name, 0, 0, raw)


def _name_images_as_asked_for(spec: JsonObject, status: JsonObject) -> None:
    """A container's status has the runtime's name of its image (``docker.io/library/nginx:1`` for
    ``nginx:1``). A fake node knows none but the spec's: it would restart what runs another."""
    for kind in ("container", "initContainer", "ephemeralContainer"):
        images = {one.get("name"): one.get("image") for one in spec.get(f"{kind}s") or ()}
        for one in status.get(f"{kind}Statuses") or ():
            one["image"] = images.get(one.get("name")) or one.get("image", "")


def _become(tree: JsonObject, other: JsonObject) -> None:
    tree.clear()
    tree.update(other)


_LOOKED_INTO: Final = frozenset({*_OURS, "secrets"})
