"""ControllerRevisions: which one is current, numbering, duplicates, cleanup (spec section 9).

Invariants: exactly one revision is current after a sync; its number is above those of all others; a
revision whose hash some pod carries is never deleted; an earlier template re-uses its revision.
"""

from collections.abc import Collection, Iterable, Sequence

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet, Pod
from kubeherd.controller.daemonset.model import HASH_LABEL, Relabel, RevisionPatch
from kubeherd.controller.daemonset.owner import owner
from kubeherd.controller.workload import revisions as workload
from kubeherd.controller.workload.gohash import template_hash

DEFAULT_HISTORY_LIMIT = 10


class History(msgspec.Struct, frozen=True):
    """What section 9.2 makes of the claimed revisions."""

    hash: str
    old: Sequence[ControllerRevision]
    create: JsonObject | None = None
    patches: Sequence[RevisionPatch] = ()
    duplicates: Sequence[ControllerRevision] = ()
    relabels: Sequence[Relabel] = ()


def revision_hash(revision: ControllerRevision) -> str:
    """The hash label; a revision that lacks it is given its own name (9.2)."""
    return revision.metadata.labels.get(HASH_LABEL, revision.metadata.name)


def build(
    daemonset: DaemonSet,
    data: JsonObject,
    revisions: Sequence[ControllerRevision],
    pods: Iterable[Pod],
) -> History:
    """Find or prepare the current revision among the claimed ones.

    `data` is the canonical data of the present template, `pods` all claimed pods.
    """
    current = [revision for revision in revisions if revision.data == data]
    old = [revision for revision in revisions if revision.data != data]
    number = workload.next_number(old)
    if not current:
        create = new_revision(daemonset, data, number)
        patches = _patches(revisions, None, number)
        hash_ = str(create["metadata"]["labels"][HASH_LABEL])
        return History(hash=hash_, old=old, create=create, patches=patches)
    kept = current[0]
    for revision in current:
        if revision.revision >= kept.revision:
            kept = revision
    hash_ = revision_hash(kept)
    duplicates = [revision for revision in current if revision is not kept]
    relabels = [
        Relabel(pod, hash_)
        for pod in (sorted(pods, key=_name) if duplicates else ())
        if pod.metadata.labels.get(HASH_LABEL) != hash_
    ]
    patches = _patches(revisions, kept, number)
    return History(hash_, old, patches=patches, duplicates=duplicates, relabels=relabels)


def _name(pod: Pod) -> str:
    return pod.metadata.name


def _patches(
    revisions: Iterable[ControllerRevision], kept: ControllerRevision | None, number: int
) -> list[RevisionPatch]:
    patches = []
    for revision in revisions:
        raised = number if revision is kept and revision.revision < number else None
        label = "" if HASH_LABEL in revision.metadata.labels else revision.metadata.name
        if raised is not None or label:
            patches.append(RevisionPatch(revision, number=raised, hash=label))
    return patches


def new_revision(daemonset: DaemonSet, data: JsonObject, number: int) -> JsonObject:
    """The ControllerRevision to create for the present template (9.3)."""
    hash_ = template_hash(workload.template_of(data), daemonset.status.collision_count)
    naming = workload.Naming(f"{daemonset.metadata.name}-{hash_}", HASH_LABEL, hash_)
    return workload.new_revision(owner(daemonset), naming, data, number)


def surplus(
    old: Sequence[ControllerRevision], live: Collection[str], limit: int | None
) -> list[ControllerRevision]:
    """Old revisions to delete: the lowest ones beyond the limit; not one whose hash is `live`,
    which some pod carries (9.5)."""
    excess = len(old) - (DEFAULT_HISTORY_LIMIT if limit is None else limit)
    if excess <= 0:
        return []
    unused = [
        revision
        for revision in sorted(old, key=lambda revision: revision.revision)
        if revision_hash(revision) not in live
    ]
    return unused[:excess]
