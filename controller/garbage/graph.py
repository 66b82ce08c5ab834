"""Who depends on whom, by uid (spec api-machinery, 7).

Pure. Built from watch events; every change returns what has to be looked at again. Invariants: an
object is in the graph exactly while a watch shows it; `dependents` has an entry for every owner
reference of every known object, whether its owner is known or not, so that objects whose owner was
gone before they were seen are found too.
"""

import msgspec

from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.objects import ObjectMeta, OwnerReference

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


class Item(msgspec.Struct):
    """One known object."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    owners: tuple[OwnerReference, ...]
    deleting: bool
    finalizers: tuple[str, ...]

    @property
    def deleting_dependents(self) -> bool:
        """Whether it waits in foreground deletion for its dependents to go."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphaning(self) -> bool:
        """Whether its dependents must be released before it may go."""
        return self.deleting and ORPHAN in self.finalizers


class Todo(msgspec.Struct):
    """What a change asks for: uids of known objects."""

    delete: set[str] = msgspec.field(default_factory=set)
    """Look whether these must go, or may be released from foreground deletion."""
    orphan: set[str] = msgspec.field(default_factory=set)
    """Release the dependents of these."""
    misplaced: list[tuple[Item, OwnerReference]] = msgspec.field(default_factory=list)
    """Owner references that name a known object in another namespace."""


class Graph(msgspec.Struct):
    """All known objects and the edges between them."""

    items: dict[str, Item] = msgspec.field(default_factory=dict)
    _dependents: dict[str, set[str]] = msgspec.field(default_factory=dict)

    def dependents(self, uid: str) -> list[Item]:
        """The known objects that name ``uid`` as an owner, in no particular order."""
        return [self.items[dependent] for dependent in self._dependents.get(uid, ())]

    def upsert(self, resource: Resource, meta: ObjectMeta) -> Todo:
        """An object appeared or changed."""
        new = Item(
            resource,
            meta.namespace,
            meta.name,
            meta.uid,
            tuple(meta.owner_references),
            meta.deletion_timestamp is not None,
            tuple(meta.finalizers),
        )
        old = self.items.get(meta.uid)
        self.items[meta.uid] = new
        todo = Todo()
        if old is None or old.owners != new.owners:
            self._relink(old, new, todo)
        if new.orphaning and not (old is not None and old.orphaning):
            todo.orphan.add(new.uid)
        if new.deleting_dependents and not (old is not None and old.deleting_dependents):
            todo.delete.add(new.uid)
            todo.delete.update(self._dependents.get(new.uid, ()))
        return todo

    def remove(self, uid: str) -> Todo:
        """An object is gone: look at its dependents, and at owners that waited for it."""
        todo = Todo()
        item = self.items.pop(uid, None)
        if item is None:
            return todo
        for owner in item.owners:
            self._unlink(owner.uid, uid)
            self._look_at_waiting(owner.uid, todo)
        todo.delete.update(self._dependents.get(uid, ()))
        return todo

    def review(self) -> Todo:
        """Everything that may need work, for a collector that starts with a graph already built."""
        todo = Todo()
        for item in self.items.values():
            if item.orphaning:
                todo.orphan.add(item.uid)
            if item.deleting_dependents:
                todo.delete.add(item.uid)
            for ref in item.owners:
                owner = self.items.get(ref.uid)
                if owner is None or owner.deleting_dependents or not _may_own(owner, ref, item):
                    todo.delete.add(item.uid)
        return todo

    def _relink(self, old: Item | None, new: Item, todo: Todo) -> None:
        before = {ref.uid: ref for ref in old.owners} if old else {}
        after = {ref.uid: ref for ref in new.owners}
        for uid, ref in before.items():
            if uid not in after:
                self._unlink(uid, new.uid)
            if ref.block_owner_deletion and not (uid in after and after[uid].block_owner_deletion):
                self._look_at_waiting(uid, todo)
        for uid, ref in after.items():
            self._dependents.setdefault(uid, set()).add(new.uid)
            owner = self.items.get(uid)
            if owner is None or owner.deleting_dependents:
                todo.delete.add(new.uid)
            elif not _may_own(owner, ref, new):
                todo.delete.add(new.uid)
                if uid not in before:
                    todo.misplaced.append((new, ref))

    def _unlink(self, owner: str, dependent: str) -> None:
        names = self._dependents.get(owner)
        if names is not None:
            names.discard(dependent)
            if not names:
                del self._dependents[owner]

    def _look_at_waiting(self, uid: str, todo: Todo) -> None:
        owner = self.items.get(uid)
        if owner is not None and owner.deleting_dependents:
            todo.delete.add(uid)


def _may_own(owner: Item, ref: OwnerReference, dependent: Item) -> bool:
    """Whether the reference's coordinates are those of the owner with this uid."""
    return matches(owner, ref) and owner.namespace in ("", dependent.namespace)


def matches(owner: Item, ref: OwnerReference) -> bool:
    """Whether kind, group and name of a reference are those of the known object."""
    group = ref.api_version.rpartition("/")[0]
    return (owner.resource.group, owner.resource.kind, owner.name) == (group, ref.kind, ref.name)
