"""What holds for every object of whatever kind: it exists once, and what names it never changes."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import ClassVar, Final

from kubeherd.checks.objects import about, at, going, items, number, part, text, uid_of, words
from kubeherd.checks.writes import EVERYTHING, WriteChecker, generation
from kubeherd.history import Began, Record, Verb, Violation, Write
from kubeherd.history.records import Object

_REMEMBERED_UIDS: Final = 20_000
"""Uids of objects that are gone: a bound, for a history has no end."""


class ExistsOnce(WriteChecker):
    """Names and uids."""

    name = "names-and-uids-never-come-back"
    promise = (
        "A name belongs to one object at a time, no uid is given twice, and what is deleted is not "
        "written any more."
    )
    source = "Concepts: Object Names and IDs"
    resources = EVERYTHING

    def __init__(self) -> None:
        super().__init__()
        self._gone: OrderedDict[str, str] = OrderedDict()
        self._uids: dict[str, str] = {}

    def note(self, write: Write, before: Object | None) -> None:
        """Restored objects have uids, too."""
        if write.restored and before is None:
            self._uids.setdefault(uid_of(write.object), about(write))

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """Compare with what has the name and the uid."""
        self.looked_at += 1
        uid, name = uid_of(write.object), about(write)
        if before is None and write.verb is not Verb.CREATE:
            yield self.violation(
                write, f"{name} is written ({write.verb}) but does not exist", name
            )
        elif before is not None and write.verb is Verb.CREATE:
            yield self.violation(write, f"{name} is created while it exists", name)
        elif before is not None and uid_of(before) != uid:
            yield self.violation(write, f"{name} becomes another object: uid {uid}", name)
        if uid and write.verb is Verb.CREATE:
            had = self._uids.get(uid) or self._gone.get(uid)
            if had:
                yield self.violation(write, f"{name} gets the uid {uid} of {had}", name)
            self._uids[uid] = name
        if uid and write.verb is Verb.DELETE:
            self._uids.pop(uid, None)
            self._gone[uid] = name
            if len(self._gone) > _REMEMBERED_UIDS:
                self._gone.popitem(last=False)


class RevisionsGrow(WriteChecker):
    """resourceVersion and generation."""

    name = "revisions-and-generations-grow"
    promise = (
        "Every write, but those of one transaction, has a newer revision than all before it, which "
        "is its object's resourceVersion; a generation never shrinks, grows with every change of a "
        "workload's spec, and is never observed before it exists."
    )
    source = "API conventions: Concurrency Control and Consistency, Metadata"
    resources = EVERYTHING

    _WORKLOADS: ClassVar = frozenset(
        {"daemonsets.apps", "deployments.apps", "replicasets.apps", "statefulsets.apps"}
    )

    def __init__(self) -> None:
        super().__init__()
        self._newest = 0
        self._newest_at = 0.0
        self._written: set[str] = set()
        """What has the newest revision: several objects, if one transaction wrote them."""
        self._from_watches = False

    def see(self, record: Record) -> Iterator[Violation]:
        """In what was put together from watches, only each object's own order is certain."""
        if isinstance(record, Began):
            self._from_watches = record.source == "watch"
        return super().see(record)

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """Compare with the newest write, and with the state before."""
        self.looked_at += 1
        name, newest = about(write), self._newest
        if self._from_watches:
            newest = _revision(before) if before is not None else 0
        together = (
            write.revision == newest and write.at == self._newest_at and name not in self._written
        )
        if write.revision <= newest and not together:
            yield self.violation(
                write, f"{name} has revision {write.revision} after {newest}", name
            )
        if write.revision > self._newest:
            self._newest, self._newest_at = write.revision, write.at
            self._written.clear()
        self._written.add(name)
        if write.verb is not Verb.DELETE and _revision(write.object) not in (0, write.revision):
            told = _revision(write.object)
            yield self.violation(
                write, f"{name} shows resourceVersion {told}, not {write.revision}", name
            )
        yield from self._generations(write, before)

    def _generations(self, write: Write, before: Object | None) -> Iterator[Violation]:
        name, now = about(write), generation(write.object)
        if before is not None and uid_of(before) == uid_of(write.object):
            was = generation(before)
            if now < was:
                yield self.violation(
                    write, f"{name} goes back from generation {was} to {now}", name
                )
            still = now == was and write.resource in self._WORKLOADS
            if still and part(before, "spec") != part(write.object, "spec"):
                yield self.violation(
                    write, f"{name} has another spec and still generation {now}", name
                )
        observed = number(write.object, "status", "observedGeneration")
        if now and observed > now:
            yield self.violation(write, f"{name} observed generation {observed} of {now}", name)


def _revision(tree: Object) -> int:
    told = text(tree, "metadata", "resourceVersion")
    return int(told) if told.isdecimal() else 0


class FinalizersRespected(WriteChecker):
    """Finalizers."""

    name = "finalizers-respected"
    promise = (
        "An object with finalizers is marked before it goes, gets no new ones then, and its mark "
        "is never taken back."
    )
    source = "Concepts: Finalizers"
    resources = EVERYTHING

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """Compare with the state before."""
        if before is None or uid_of(before) != uid_of(write.object):
            return
        had = set(words(before, "metadata", "finalizers"))
        if not had and not going(before):
            return
        self.looked_at += 1
        name = about(write)
        if write.verb is Verb.DELETE:
            if had and not going(before):
                kept = ", ".join(sorted(had))
                yield self.violation(write, f"{name} is gone in spite of its {kept}", name)
            return
        if going(before) and not going(write.object):
            yield self.violation(write, f"{name} is no longer being deleted", name)
        new = set(words(write.object, "metadata", "finalizers")) - had
        if going(before) and new:
            added = ", ".join(sorted(new))
            yield self.violation(write, f"{name} gets {added} while it is being deleted", name)


class OneController(WriteChecker):
    """Owner references."""

    name = "one-owner-controls"
    promise = "At most one of an object's owners is its controller."
    source = "Concepts: Owners and Dependents"
    resources = EVERYTHING

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """Count them."""
        owners = items(write.object, "metadata", "ownerReferences")
        if not owners:
            return
        self.looked_at += 1
        controllers = [
            f"{text(one, 'kind')} {text(one, 'name')}" for one in owners if one.get("controller")
        ]
        if len(controllers) > 1:
            both = " and ".join(controllers)
            yield self.violation(write, f"{about(write)} is controlled by {both}", about(write))


class ImmutableFields(WriteChecker):
    """Fields that never change once they are set."""

    name = "immutable-fields-stay"
    promise = (
        "Fields that are immutable once set stay as they are: a pod's node, selectors of "
        "workloads, a claim's volume, a Service's address, data that is declared immutable."
    )
    source = "API reference: the fields' descriptions"
    resources = EVERYTHING

    _FIELDS: ClassVar[dict[str, tuple[tuple[str, ...], ...]]] = {
        "pods": (("spec", "nodeName"), ("spec", "serviceAccountName")),
        "daemonsets.apps": (("spec", "selector"),),
        "deployments.apps": (("spec", "selector"),),
        "replicasets.apps": (("spec", "selector"),),
        "statefulsets.apps": (("spec", "selector"), ("spec", "serviceName")),
        "jobs.batch": (("spec", "selector"),),
        "persistentvolumeclaims": (("spec", "volumeName"), ("spec", "accessModes")),
        "controllerrevisions.apps": (("data",),),
        "secrets": (("type",),),
        "storageclasses.storage.k8s.io": (("provisioner",),),
    }
    _ALL: ClassVar = (("metadata", "uid"), ("metadata", "creationTimestamp"))

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """Compare with the state before."""
        if before is None or write.verb is Verb.CREATE or uid_of(before) != uid_of(write.object):
            return
        self.looked_at += 1
        fields = [*self._ALL, *self._FIELDS.get(write.resource, ())]
        types = {text(tree, "spec", "type") for tree in (before, write.object)}
        if write.resource == "services" and "ExternalName" not in types:
            fields.append(("spec", "clusterIP"))
        if write.resource in ("configmaps", "secrets") and before.get("immutable") is True:
            fields += [("data",), ("binaryData",), ("immutable",)]
        for path in fields:
            was, now = at(before, *path), at(write.object, *path)
            if was and was != now:
                values = "" if write.resource == "secrets" else f" from {was} to {now}"
                what = f"{about(write)} changes {'.'.join(path)}{values}"
                yield self.violation(write, what, about(write))
