"""What a snapshot holds. Pure."""

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.launcher.errors import LauncherError


class SnapshotError(LauncherError):
    """A snapshot cannot be taken, read or restored: one line for a person."""


class Origin(enum.StrEnum):
    """Whose state it is, which decides what `adapting` has to change."""

    KUBEHERD = "kubeherd"
    """A cluster of ours: it comes back as it was."""
    CLUSTER = "cluster"
    """Any other, read through its API."""
    DUMP = "dump"
    """What kubectl printed: whatever somebody asked for."""
    ETCD = "etcd"
    """The etcd of a cluster."""


class Entry(msgspec.Struct, frozen=True):
    """One object. `object` is its JSON, with apiVersion and kind, without a resourceVersion."""

    resource: str
    """``pods``, ``daemonsets.apps``: the plural, and the group if it has one."""
    namespace: str
    name: str
    created: int
    """The revision that created it; that of its last change where nobody knows."""
    revision: int
    """The revision of its last change; 0 if nobody knows."""
    object: msgspec.Raw

    def tree(self) -> JsonObject:
        """The object, decoded anew."""
        tree: JsonObject = msgspec.json.decode(self.object)
        return tree

    def with_tree(self, tree: JsonObject) -> "Entry":
        """The same with another object."""
        return msgspec.structs.replace(self, object=msgspec.Raw(msgspec.json.encode(tree)))


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All objects of a cluster at one revision."""

    origin: Origin
    revision: int
    """That of the whole: no object has a higher one."""
    entries: Sequence[Entry]
    saved: str = ""
    """When, in UTC (RFC 3339); "" if the source does not say."""
    saved_by: str = ""
    """The version of kubeherd that wrote it."""
    settings: JsonObject | None = None
    """The settings of a cluster of ours (cluster.json)."""
    notes: Sequence[str] = ()
    """What the source holds and this does not, a line each."""

    def counts(self) -> Mapping[str, int]:
        """How many objects there are of each resource, by name."""
        return counted(self.entries)


def counted(entries: Sequence[Entry]) -> Mapping[str, int]:
    """How many objects there are of each resource, by name."""
    return dict(sorted(Counter(entry.resource for entry in entries).items()))


def entry_of(resource: str, tree: JsonObject, *, created: int = 0, revision: int = 0) -> Entry:
    """The entry of an object, which loses its resourceVersion; that counts where no `revision` is
    given. KeyError or TypeError if it is no object with a name."""
    metadata = {**tree["metadata"]}
    version = metadata.pop("resourceVersion", None)
    if not revision and isinstance(version, str) and version.isascii() and version.isdigit():
        revision = int(version) if len(version) < _REVISION_DIGITS else 0
    encoded = msgspec.json.encode({**tree, "metadata": metadata})
    namespace, name = metadata.get("namespace") or "", metadata["name"]
    if not (isinstance(namespace, str) and isinstance(name, str) and name):
        raise TypeError("metadata.name is no name")
    return Entry(resource, namespace, name, created or revision, revision, msgspec.Raw(encoded))


_REVISION_DIGITS: Final = 19
