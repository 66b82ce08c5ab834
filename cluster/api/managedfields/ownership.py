"""Who owns which field: metadata.managedFields (spec api-machinery, 11).

`record_update` runs on every write that is not an apply. The manager owns what it added or changed;
everybody else loses that; removed fields leave every set. Invariants: entries are sorted as
Kubernetes sorts them (applies first, then by time, then by name); at most 10 Update entries
remain, older ones are merged into ``ancient-changes``; system metadata is never tracked, nor are
fields that the written endpoint resets (``status`` through the main resource and vice versa).
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from kubeherd.cluster.api.defaults import output
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.managedfields import fieldsets
from kubeherd.cluster.api.managedfields.fieldsets import FieldSet
from kubeherd.cluster.api.managedfields.fieldtypes import Struct
from kubeherd.cluster.api.schemas import definitions as schemas

if TYPE_CHECKING:
    from kubeherd.cluster.api.customresources.kind import CustomKind

MAX_UPDATE_MANAGERS = 10
ANCIENT = "ancient-changes"

_UNTRACKED_ROOT = frozenset({"apiVersion", "kind"})
_UNTRACKED_METADATA = frozenset(
    {
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    }
)
_SPEC, _STATUS = frozenset({"spec"}), frozenset({"status"})
_SPEC_AND_METADATA = frozenset({"spec", "metadata"})
_CSR = "certificatesigningrequests.certificates.k8s.io"
_RESET: dict[tuple[str, str], frozenset[str]] = {
    ("pods", "status"): frozenset(
        {"spec", "metadata.deletionTimestamp", "metadata.ownerReferences"}
    ),
    ("deployments.apps", "status"): frozenset({"spec", "metadata.labels"}),
    (_CSR, ""): frozenset({"spec", "status"}),
    (_CSR, "status"): frozenset({"spec", "status.conditions"}),
    (_CSR, "approval"): frozenset({"spec", "status.certificate"}),
    **dict.fromkeys(
        [
            ("flowschemas.flowcontrol.apiserver.k8s.io", "status"),
            ("prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", "status"),
            ("resourceclaims.resource.k8s.io", "status"),
            ("servicecidrs.networking.k8s.io", "status"),
            ("validatingadmissionpolicies.admissionregistration.k8s.io", "status"),
            ("volumeattachments.storage.k8s.io", "status"),
        ],
        _SPEC_AND_METADATA,
    ),
}
"""By resource and subresource: what a write there does not change (k8s.io/kubernetes,
pkg/registry, GetResetFields), where that is more than the spec or the status."""

_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_OBJECT_META_FIELDS = frozenset(
    {"labels", "annotations", "finalizers", "ownerReferences", "generateName"}
)
"""A write to the status of a custom resource changes no metadata at all."""

Identity = tuple[str, str, str, str]
"""manager, operation, apiVersion (empty for appliers), subresource."""


def tracker(resource: Resource, subresource: str = "") -> Struct | None:
    """The compiled walker of the fields that writes to this endpoint track; None: no schema."""
    if resource.custom is not None:
        return _custom_tracker(resource, resource.custom, subresource)
    return _tracker(resource, subresource)


def _custom_tracker(resource: Resource, custom: "CustomKind", subresource: str) -> Struct:
    found = custom.trackers.get(subresource)
    if found is None:
        reset: set[str] = set()
        untracked = _UNTRACKED_METADATA
        if subresource == "status":
            reset, untracked = {"spec"}, untracked | _OBJECT_META_FIELDS
        elif not subresource and custom.status:
            reset = {"status"}
        found = custom.trackers[subresource] = custom.owners(_UNTRACKED_ROOT | reset)
        found.override("metadata", Struct(schemas.by_key(_OBJECT_META), untracked))
    return found


@cache
def _tracker(resource: Resource, subresource: str) -> Struct | None:
    try:
        definition = schemas.definition(resource.group, resource.version, resource.kind)
    except KeyError:
        return None
    name = resource.group_resource
    reset = _RESET.get((name, subresource))
    if reset is None:
        reset = frozenset()
        if subresource == "status":
            reset = _SPEC
        elif not subresource and resource.subresource("status") is not None:
            reset = _STATUS
    root = Struct(definition, _UNTRACKED_ROOT | reset)
    for member in ("metadata", "status"):
        field = definition.field(member)
        inside = {path.partition(".")[2] for path in reset if path.startswith(f"{member}.")}
        if member == "metadata":
            inside |= _UNTRACKED_METADATA
        if inside and field is not None and field.definition is not None:
            root.override(member, Struct(field.definition, frozenset(inside)))
    return root


def identity(entry: JsonObject) -> Identity:
    """What makes two entries the same manager."""
    operation = entry.get("operation", "")
    return (
        entry.get("manager", ""),
        operation,
        entry.get("apiVersion", "") if operation == "Update" else "",
        entry.get("subresource", ""),
    )


def entry(who: Identity, api_version: str, fields: FieldSet, time: str | None) -> JsonObject:
    """An entry of managedFields in the member order of Kubernetes."""
    manager, operation, _, subresource = who
    out: JsonObject = {"manager": manager, "operation": operation, "apiVersion": api_version}
    if time:
        out["time"] = time
    out["fieldsType"] = "FieldsV1"
    out["fieldsV1"] = fields
    if subresource:
        out["subresource"] = subresource
    return out


def _sort_key(item: JsonObject) -> tuple[str, str, str, str, str]:
    return (
        item.get("operation", ""),
        item.get("time", ""),
        item.get("manager", ""),
        item.get("apiVersion", ""),
        item.get("subresource", ""),
    )


def sort(entries: list[JsonObject]) -> list[JsonObject]:
    """The entries in the order in which Kubernetes stores them."""
    return sorted(entries, key=_sort_key)


def entries_of(tree: Mapping[str, JsonValue] | None) -> list[JsonObject]:
    """The managedFields of an object; empty if there are none."""
    found = ((tree or {}).get("metadata") or {}).get("managedFields")
    return found if isinstance(found, list) else []


def _usable(entries: list[JsonObject]) -> bool:
    return bool(entries) and all(
        isinstance(e, dict)
        and e.get("operation") in ("Apply", "Update")
        and isinstance(e.get("fieldsV1"), dict)
        for e in entries
    )


def _valid(sent: list[JsonObject]) -> bool:
    """Whether a client's entries can be kept: text members, well-formed field sets, no repeats."""
    texts = ("manager", "apiVersion", "time", "subresource")
    if not all(isinstance(e.get(name, ""), str) for e in sent for name in texts):
        return False
    if len({identity(e) for e in sent}) != len(sent):
        return False
    return all(fieldsets.is_valid(e["fieldsV1"]) for e in sent)


def _is_version_of(resource: Resource, api_version: str) -> bool:
    """Whether the kind has, or once had, such a version: what another names nobody can read."""
    if resource.custom is not None:
        return True
    group, _, version = api_version.rpartition("/")
    try:
        schemas.key_of(group, version, resource.kind)
    except KeyError:
        return group == resource.group and ("alpha" in version or "beta" in version)
    return True


def current(
    resource: Resource, old: JsonObject | None, new: JsonObject, subresource: str
) -> list[JsonObject] | None:
    """The entries to start from; None if the object's fields are not tracked.

    A client may send managedFields to correct them (kubectl does when it moves from client-side
    to server-side apply); ``[{}]`` resets them; empty or broken ones keep what is stored.
    """
    stored = entries_of(old)
    if not subresource:
        sent = entries_of(new)
        if len(sent) == 1 and not sent[0]:
            return None if old is not None else []
        if sent is not stored and sent != stored and _usable(sent) and _valid(sent):
            return sort(
                [
                    {**e, "fieldsV1": fieldsets.canonical(e["fieldsV1"])}
                    for e in sent
                    if _is_version_of(resource, e.get("apiVersion", ""))
                ]
            )
    if _usable(stored):
        return stored
    return [] if old is None else None


def record_update(
    resource: Resource,
    old: JsonObject | None,
    new: JsonObject,
    *,
    manager: str,
    time: str,
    subresource: str = "",
) -> list[JsonObject]:
    """The managedFields of `new` after `manager` created it (`old` None) or updated it.

    `new` is the defaulted object as it will be stored, with the managedFields that the client sent,
    if any; neither tree is modified. `time` is RFC 3339. The caller stores the returned list in
    ``metadata.managedFields`` (no member if it is empty).
    """
    entries = current(resource, old, new, subresource)
    root = tracker(resource, subresource)
    if entries is None or root is None:
        return []
    changed, removed = root.diff(_unset(resource) if old is None else old, new)
    if changed is None and removed is None:
        return entries
    who = (manager, "Update", resource.api_version, subresource)
    return cap(_updated(entries, who, changed, removed, time))


def record_change(
    resource: Resource, tree: JsonObject, changed: FieldSet, *, manager: str, time: str
) -> list[JsonObject]:
    """The same for who knows that nothing but the fields `changed` has another value in `tree` than
    in the stored object, and that none of them is new or gone."""
    entries = current(resource, tree, tree, "")
    if entries is None:
        return []
    who = (manager, "Update", resource.api_version, "")
    return cap(_updated(entries, who, changed, None, time))


def _unset(resource: Resource) -> JsonObject:
    """What a new object is compared with: nobody owns what an empty one has as well."""
    # Not kept of custom resources: whose definition is gone must not be kept with it.
    return _built_in_unset(resource) if resource.custom is None else _filled(resource)


@cache
def _built_in_unset(resource: Resource) -> JsonObject:
    return _filled(resource)


def _filled(resource: Resource) -> JsonObject:
    tree: JsonObject = {}
    output.fill(resource, tree)
    return tree


def _updated(
    entries: list[JsonObject],
    who: Identity,
    changed: FieldSet | None,
    removed: FieldSet | None,
    time: str,
) -> list[JsonObject]:
    out: list[JsonObject] = []
    mine: FieldSet | None = None
    for item in entries:
        before: FieldSet = item["fieldsV1"]
        fields = before
        own = changed is not None and identity(item) == who
        if changed is not None and not own:
            fields = fieldsets.difference(fields, changed)
        if removed is not None:
            fields = fieldsets.difference(fields, removed)
        if own:
            mine = fields
        elif fields is before:
            out.append(item)
        elif fields:
            out.append({**item, "fieldsV1": fields})
    if changed is not None:
        fields = changed if mine is None else fieldsets.union(mine, changed)
        out.append(entry(who, who[2], fields, time))
        out.sort(key=_sort_key)
    return out


def cap(entries: list[JsonObject]) -> list[JsonObject]:
    """At most 10 Update entries: the oldest of each API version merge into ``ancient-changes``."""
    updates = [e for e in entries if e["operation"] == "Update"]
    if len(updates) <= MAX_UPDATE_MANAGERS:
        return entries
    updates.sort(key=lambda e: (e.get("time", ""), identity(e)))
    by_identity = {identity(e): e for e in entries}
    first_of_version: dict[str, Identity] = {}
    count = len(updates)
    for item in updates:
        if count <= MAX_UPDATE_MANAGERS:
            break
        version = item["apiVersion"]
        bucket: Identity = (ANCIENT, "Update", version, "")
        who = identity(item)
        first = first_of_version.setdefault(version, who)
        if first == who:
            continue
        if bucket not in by_identity:
            by_identity[bucket] = by_identity.pop(first)
        merged = fieldsets.union(by_identity[bucket]["fieldsV1"], item["fieldsV1"])
        if who != bucket:
            del by_identity[who]
        by_identity[bucket] = entry(bucket, version, merged, item.get("time"))
        count -= 1
    return sort(list(by_identity.values()))
