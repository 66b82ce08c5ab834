"""Which revision is current and which is to come (spec section 5).

Invariants: the update revision holds the present template; its number is above those of all
others; an earlier template re-uses its revision; a revision that a pod, or the status, names is
never deleted.
"""

import copy
from collections.abc import Iterable, Sequence

from kubeherd.cluster.api import defaults
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import STATEFULSETS
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.objects import ControllerRevision, Pod
from kubeherd.controller.statefulset.model import History, Renumber, Revision
from kubeherd.controller.workload.apps import StatefulSet
from kubeherd.controller.workload.claim import Owner, claim
from kubeherd.controller.workload.gohash import data_hash
from kubeherd.controller.workload.revisions import (
    REVISION_LABEL,
    Naming,
    new_revision,
    next_number,
    revision_data,
    template_of,
)

HASH_LABEL = "controller.kubernetes.io/hash"
DEFAULT_HISTORY_LIMIT = 10
_MAX_PREFIX = 223


def build(
    statefulset: StatefulSet,
    data: JsonObject,
    selector: Selector,
    revisions: Iterable[ControllerRevision],
    collision_count: int,
) -> History:
    """Find or prepare the two revisions. `data`: of the present template; `collision_count`: how
    often a name was found taken, in this sync or before."""
    claimed = claim(Owner(STATEFULSETS, statefulset.metadata), selector, revisions)
    listed = sorted(claimed.claimed, key=_order)
    update, create, renumber = _update(statefulset, data, listed, collision_count)
    current = next(
        (one for one in listed if one.metadata.name == statefulset.status.current_revision), None
    )
    return History(
        current=update if current is None else _revision(current),
        update=update,
        collision_count=collision_count,
        listed=listed,
        adopt=claimed.adopt,
        create=create,
        renumber=renumber,
    )


def _update(
    statefulset: StatefulSet,
    data: JsonObject,
    listed: Sequence[ControllerRevision],
    collision_count: int,
) -> tuple[Revision, JsonObject | None, Renumber | None]:
    """The update revision, and how it comes to be (5.2)."""
    newest = listed[-1] if listed else None
    if newest is not None and newest.data == data:
        return _revision(newest), None, None
    equal = next((one for one in reversed(listed) if one.data == data), None)
    if equal is not None:
        return _revision(equal), None, Renumber(equal, next_number(listed))
    if newest is not None and restored(newest.data) == data:
        return _revision(newest), None, None
    owner = Owner(STATEFULSETS, statefulset.metadata)
    hash_ = data_hash(data, collision_count)
    name = f"{statefulset.metadata.name[:_MAX_PREFIX]}-{hash_}"
    tree = new_revision(owner, Naming(name, HASH_LABEL, hash_), data, next_number(listed))
    return Revision(name, template_of(data)), tree, None


def restored(data: JsonObject) -> JsonObject:
    """The data of the revision that would be made of a StatefulSet put back to `data`.

    They differ where an earlier version of Kubernetes wrote the revision: it knew fewer defaults,
    and wrote a time of creation that is null.
    """
    template = copy.deepcopy(template_of(data))
    tree: JsonObject = {"metadata": {}, "spec": {"template": template}}
    defaults.apply(STATEFULSETS, tree)
    return revision_data(tree["spec"]["template"])


def surplus(
    statefulset: StatefulSet, history: History, pods: Iterable[Pod]
) -> list[ControllerRevision]:
    """Revisions to delete: the lowest beyond the limit of those that nobody needs (5.4)."""
    limit = statefulset.spec.revision_history_limit
    limit = DEFAULT_HISTORY_LIMIT if limit is None else limit
    if limit < 0 or len(history.listed) <= limit:
        return []
    live = {pod.metadata.labels.get(REVISION_LABEL) for pod in pods}
    live |= {history.current.name, history.update.name}
    unneeded = [one for one in history.listed if one.metadata.name not in live]
    return unneeded[: max(0, len(unneeded) - limit)]


def _revision(revision: ControllerRevision) -> Revision:
    return Revision(revision.metadata.name, template_of(revision.data))


def _order(revision: ControllerRevision) -> tuple[int, str, str]:
    metadata = revision.metadata
    return revision.revision, metadata.creation_timestamp, metadata.name
