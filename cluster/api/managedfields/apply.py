"""Server-side apply (spec api-machinery, 11): merging what a manager wants into what is there.

The steps are those of structured-merge-diff: merge the applied object into the live one, remove
what the manager applied before and no longer does (unless somebody else owns it), then see who else
owned what has changed; that is a conflict unless forced. Invariants: neither input is modified;
a conflict has no effect; what the manager applied it owns afterwards.
"""

from itertools import pairwise

import msgspec
import orjson

from kubeherd.cluster.api.errors import BadRequest, Cause, Conflict
from kubeherd.cluster.api.goformat import cut
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.managedfields import fieldsets, merging, typed
from kubeherd.cluster.api.managedfields import ownership as managedfields
from kubeherd.cluster.api.managedfields.fieldsets import FieldSet
from kubeherd.cluster.api.managedfields.fieldtypes import Struct, struct
from kubeherd.cluster.api.managedfields.ownership import Identity
from kubeherd.cluster.api.schemas.definitions import key_of
from kubeherd.cluster.api.validation.causes import MAX_CAUSES

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
BEFORE_FIRST_APPLY = "before-first-apply"
_KUBECTL = "kubectl"


class Applied(msgspec.Struct, frozen=True):
    """The outcome: the whole object with its managedFields, and whether any value changed."""

    tree: JsonObject
    changed: bool


def apply(
    resource: Resource,
    live: JsonObject | None,
    applied: JsonObject,
    *,
    manager: str,
    time: str,
    force: bool = False,
    subresource: str = "",
) -> Applied:
    """`live` (None: the object does not exist) with `applied` merged in by `manager`.

    `applied` is the body as it was sent; `live` is the stored object. The result still has to be
    decoded, defaulted, validated and admitted. BadRequest for a wrong apiVersion or managedFields
    in the body; PlainError if the body has not the types of the schema; Conflict (409,
    FieldManagerConflict causes) if values that other managers own would change and `force` is
    false.
    """
    _check(resource, applied)
    operation = _Operation(resource, live, applied, manager, time, subresource)
    try:
        return operation.run(force)
    except _Conflicts as conflicts:
        if manager != _KUBECTL or live is None:
            raise conflicts.error() from None
        # kubectl may take over what its own client-side apply has set.
        remaining = conflicts.without(_from_last_applied(operation.full, live))
        if remaining.by_manager:
            raise remaining.error() from None
        return operation.run(True)


def _check(resource: Resource, applied: JsonObject) -> None:
    version = str(applied.get("apiVersion") or "/")
    if version != resource.api_version and not _is_known(version, resource.kind):
        raise BadRequest(f"invalid object type: {version}, Kind={resource.kind}")
    if version != resource.api_version:
        raise BadRequest(
            f"Incorrect version specified in apply patch. Specified patch version: {version},"
            f" expected: {resource.api_version}"
        )
    typed.check(resource, applied)
    if (applied.get("metadata") or {}).get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")


def _is_known(api_version: str, kind: str) -> bool:
    group, _, version = api_version.rpartition("/")
    try:
        key_of(group, version, kind)
    except KeyError:
        return False
    return True


class _Conflicts(Exception):
    def __init__(self, by_manager: dict[Identity, FieldSet]) -> None:
        super().__init__()
        self.by_manager = by_manager

    def without(self, allowed: FieldSet) -> "_Conflicts":
        rest = {who: fieldsets.difference(s, allowed) for who, s in self.by_manager.items()}
        return _Conflicts({who: fields for who, fields in rest.items() if fields})

    def error(self) -> Conflict:
        conflicts = [
            (who, path)
            for who in sorted(self.by_manager)
            for path in fieldsets.paths(self.by_manager[who])
        ]
        found = [(_shown(who), cut(shown_path(path))) for who, path in conflicts[:MAX_CAUSES]]
        causes = [
            Cause("FieldManagerConflict", f"conflict with {who}", path) for who, path in found
        ]
        if len(found) == 1:
            text = f"1 conflict: conflict with {found[0][0]}: {found[0][1]}"
        else:
            lines = []
            for previous, (who, path) in pairwise([("", ""), *found]):
                if who != previous[0]:
                    lines.append(f"conflicts with {who}:")
                lines.append(f"- {path}")
            if len(conflicts) > len(found):
                lines.append(f"and {len(conflicts) - len(found)} more")
            text = f"{len(conflicts)} conflicts: " + "\n".join(lines)
        return Conflict(
            f"Apply failed with {text}", details={"causes": [cause.to_json() for cause in causes]}
        )


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _shown(who: Identity) -> str:
    manager, operation, api_version, subresource = who
    text = _quoted(manager)
    if subresource:
        text += f" with subresource {_quoted(subresource)}"
    return f"{text} using {api_version}" if operation == "Update" else text


def shown_path(path: tuple[str, ...]) -> str:
    """``.spec.containers[name="x"].image`` for a path of FieldsV1 keys."""
    out = []
    for key in path:
        kind, _, rest = key.partition(":")
        if kind == "f":
            out.append("." + rest)
        elif kind == "k":
            keys = orjson.loads(rest)
            pairs = ",".join(f"{name}={orjson.dumps(keys[name]).decode()}" for name in sorted(keys))
            out.append(f"[{pairs}]")
        else:
            out.append(f"[={rest}]" if kind == "v" else f"[{rest}]")
    return "".join(out)


class _Operation:
    def __init__(
        self,
        resource: Resource,
        live: JsonObject | None,
        applied: JsonObject,
        manager: str,
        time: str,
        subresource: str,
    ) -> None:
        self.resource = resource
        self.live: JsonObject = _bare(live or {})
        self.applied = _bare(applied)
        self.manager = manager
        self.time = time
        self.subresource = subresource
        self.full: Struct = (
            struct(key_of(resource.group, resource.version, resource.kind))
            if resource.custom is None
            else resource.custom.owned
        )
        root = managedfields.tracker(resource, subresource)
        assert root is not None  # noqa: S101 - key_of above knows the kind
        self.tracker = root
        self.entries = self._entries(live)
        self.who: Identity = (manager, "Apply", "", subresource)

    def _entries(self, live: JsonObject | None) -> dict[Identity, JsonObject]:
        entries = managedfields.entries_of(live)
        if not entries and live is not None:
            entries = managedfields.record_update(
                self.resource,
                None,
                self.live,
                manager=BEFORE_FIRST_APPLY,
                time=self.time,
                subresource=self.subresource,
            )
        return {managedfields.identity(e): e for e in entries}

    def run(self, force: bool) -> Applied:
        merged = merging.merge(self.full, self.live, self.applied)
        own = self.tracker.owned(self.applied)
        last = self.entries.get(self.who)
        if last is not None:
            owned_now = own
            for who, item in self.entries.items():
                if who != self.who:
                    owned_now = fieldsets.union(owned_now, item["fieldsV1"])
            merged = merging.prune(self.full, merged, last["fieldsV1"], owned_now)
        changed, removed = self.tracker.diff(self.live, merged)
        others = self._others(changed, removed, force)
        effective = merged != self.live
        entries = [*others]
        if own:
            # Kubernetes keeps no time for an apply that changes nothing.
            time = self.time if effective else (last or {}).get("time")
            version = self.resource.api_version
            entries.append(managedfields.entry(self.who, version, own, time))
        self._sync_last_applied(merged)
        metadata = dict(merged.get("metadata") or {})
        merged["metadata"] = metadata
        if entries:
            metadata["managedFields"] = managedfields.sort(entries)
        return Applied(merged, effective)

    def _others(
        self, changed: FieldSet | None, removed: FieldSet | None, force: bool
    ) -> list[JsonObject]:
        conflicts: dict[Identity, FieldSet] = {}
        out = []
        for who, item in self.entries.items():
            if who == self.who:
                continue
            fields = item["fieldsV1"]
            if changed is not None:
                taken = fieldsets.intersection(fields, changed)
                if taken:
                    conflicts[who] = taken
                    fields = fieldsets.difference(fields, taken)
            if removed is not None:
                fields = fieldsets.difference(fields, removed)
            if fields:
                out.append(item if fields is item["fieldsV1"] else {**item, "fieldsV1": fields})
        if conflicts and not force:
            raise _Conflicts(conflicts)
        return out

    def _sync_last_applied(self, merged: JsonObject) -> None:
        """kubectl's annotation follows its server-side apply, so that it can go back."""
        metadata = merged.get("metadata") or {}
        annotations = metadata.get("annotations") or {}
        if self.manager != _KUBECTL or LAST_APPLIED not in annotations:
            return
        applied = {**self.applied, "metadata": dict(self.applied.get("metadata") or {})}
        if not applied["metadata"].get("annotations"):
            applied["metadata"].pop("annotations", None)
        text = orjson.dumps(applied, option=orjson.OPT_SORT_KEYS).decode() + "\n"
        merged["metadata"] = {**metadata, "annotations": {**annotations, LAST_APPLIED: text}}


def _bare(tree: JsonObject) -> JsonObject:
    metadata = tree.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return tree
    return {
        **tree,
        "metadata": {key: value for key, value in metadata.items() if key != "managedFields"},
    }


def _from_last_applied(root: Struct, live: JsonObject) -> FieldSet:
    """The fields that client-side apply set and that still have the value it gave them."""
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return {}
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(tree, dict) or tree.get("apiVersion") != live.get("apiVersion"):
        return {}
    changed, removed = root.diff(tree, live)
    fields = root.owned(tree)
    for other in (changed, removed):
        if other is not None:
            fields = fieldsets.difference(fields, other)
    return fields
