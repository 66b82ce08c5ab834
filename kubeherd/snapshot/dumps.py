"""What `kubectl get -o yaml` or `-o json` printed: a List, one object, or several documents. Pure.

It holds what somebody asked for, in the versions that the server prefers; that can be a part only.
"""

from collections.abc import Iterator, Sequence

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.serializer import yamlcodec
from kubeherd.snapshot.model import Entry, Origin, Snapshot, SnapshotError, entry_of
from kubeherd.snapshot.naming import custom_plurals, group_resource

_MAX_DEPTH = 200


def read(data: bytes) -> Snapshot:
    """The objects of a dump; of one that is there twice the newest. SnapshotError; its text follows
    on the name of the file."""
    trees = list(_objects(_documents(data)))
    names = custom_plurals(trees)
    found: dict[tuple[str, str, str], Entry] = {}
    for number, tree in enumerate(trees, 1):
        try:
            entry = entry_of(group_resource(tree, names), tree)
        except (KeyError, TypeError, AttributeError):
            raise SnapshotError(f"is no dump of kubectl: its object {number} has no name") from None
        key = (entry.resource, entry.namespace, entry.name)
        if key not in found or found[key].revision <= entry.revision:
            found[key] = entry
    if not found:
        raise SnapshotError("holds no objects of Kubernetes")
    entries = [found[key] for key in sorted(found)]
    revision = max(entry.revision for entry in entries)
    return Snapshot(origin=Origin.DUMP, revision=revision, entries=entries)


def _documents(data: bytes) -> Iterator[JsonValue]:
    if data.lstrip()[:1] == b"{":
        try:
            yield msgspec.json.decode(data)
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # YAML may begin like this, too
    try:
        yield from yamlcodec.load_all(data, max_depth=_MAX_DEPTH)
    except ValueError as error:
        why = str(error).removeprefix("yaml: ")
        raise SnapshotError(
            f"is neither a snapshot nor a dump of kubectl, nor a snapshot of etcd ({why})"
        ) from None


def _objects(documents: Iterator[JsonValue]) -> Iterator[JsonObject]:
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict) or "kind" not in document:
            raise SnapshotError(
                "is neither a snapshot nor a dump of kubectl, nor a snapshot of etcd"
            )
        if isinstance(document.get("items"), list) and str(document["kind"]).endswith("List"):
            yield from _items(document)
        else:
            yield document


def _items(listed: JsonObject) -> Sequence[JsonObject]:
    """The objects of a list, which need not say what they are if it is a typed one."""
    kind = str(listed["kind"]).removesuffix("List")
    of_list = {"apiVersion": listed.get("apiVersion", "")} | ({"kind": kind} if kind else {})
    items = [item for item in listed["items"] if isinstance(item, dict)]
    if len(items) != len(listed["items"]):
        raise SnapshotError("is no dump of kubectl: something in its list is no object")
    return [{**of_list, **item} for item in items]
