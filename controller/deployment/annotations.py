"""The annotations with which revisions and sizes are remembered (sections 6 and 7).

Invariants: the new ReplicaSet has the highest revision; a revision that it had before goes into its
history; what a Deployment is annotated with reaches its new ReplicaSet, but for what is the
controller's or kubectl's own.
"""

import re
from collections.abc import Iterable, Mapping

from kubeherd.controller.deployment import limits
from kubeherd.controller.workload.apps import Deployment, ReplicaSet

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
ROLLBACK_TO = "deprecated.deployment.rollback.to"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OWN = frozenset(
    (_LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS, ROLLBACK_TO)
)
MAX_HISTORY_CHARS = 2000
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NATURAL = re.compile(r"[0-9]+", re.ASCII)
_MAX_INT64 = 2**63 - 1
_MAX_INT32 = 2**31 - 1

Annotations = Mapping[str, str]


def integer(text: str) -> int | None:
    """An int64 as Go's ParseInt reads it, or None."""
    number = int(text) if _INTEGER.fullmatch(text) else None
    return number if number is not None and -_MAX_INT64 - 1 <= number <= _MAX_INT64 else None


def revision(replica_set: ReplicaSet) -> int | None:
    """The revision of a ReplicaSet: 0 if it has none, None if it is no number."""
    text = replica_set.metadata.annotations.get(REVISION)
    return 0 if text is None else integer(text)


def highest_revision(replica_sets: Iterable[ReplicaSet]) -> int:
    """The highest revision, at least 0; unreadable ones are left out."""
    return max((number for one in replica_sets if (number := revision(one)) is not None), default=0)


def previous_revision(replica_sets: Iterable[ReplicaSet]) -> int:
    """The second highest revision, at least 0."""
    numbers = (number for one in replica_sets if (number := revision(one)) is not None)
    return sorted((0, 0, *numbers))[-2]


def count(annotations: Annotations, name: str) -> int | None:
    """A number of pods, or None if there is none that Go could read."""
    text = annotations.get(name, "")
    number = int(text) if _NATURAL.fullmatch(text) else None
    return number if number is not None and number <= _MAX_INT32 else None


def with_sizes(annotations: Annotations, deployment: Deployment) -> dict[str, str]:
    """With what the Deployment wants now, from which a later sync sees that it was scaled."""
    return {
        **annotations,
        DESIRED_REPLICAS: str(limits.desired(deployment)),
        MAX_REPLICAS: str(limits.max_replicas(deployment)),
    }


def of_new(
    deployment: Deployment,
    annotations: Annotations,
    new_revision: int,
    max_chars: int = MAX_HISTORY_CHARS,
) -> dict[str, str]:
    """The annotations of the new ReplicaSet, from those that it has.

    Its revision becomes `new_revision` unless it is higher already, or unreadable. `max_chars`: how
    long the history may grow; the oldest revisions are dropped.
    """
    result = {**annotations, **copied(deployment.metadata.annotations)}
    text = annotations.get(REVISION)
    old = integer(text) if text else 0
    if old is None or old >= new_revision:
        return result
    result[REVISION] = str(new_revision)
    if text is not None:
        history = _with_revision(annotations.get(REVISION_HISTORY, ""), text, max_chars)
        if history is not None:
            result[REVISION_HISTORY] = history
    return result


def copied(annotations: Annotations) -> dict[str, str]:
    """What goes from a Deployment to its ReplicaSet, and back in a rollback."""
    return {key: value for key, value in annotations.items() if key not in _OWN}


def rolled_back(deployment: Annotations, replica_set: Annotations) -> dict[str, str]:
    """The annotations of a Deployment that goes back to a ReplicaSet; the order is gone."""
    kept = {key: value for key, value in deployment.items() if key in _OWN and key != ROLLBACK_TO}
    return {**kept, **copied(replica_set)}


def _with_revision(history: str, old: str, max_chars: int) -> str | None:
    """The history with one more revision; None if it does not fit even alone."""
    revisions = history.split(",") if history else []
    if not revisions:
        return old
    length = len(history) + len(old) + 1
    while length > max_chars and revisions:
        length -= len(revisions.pop(0)) + 1
    return ",".join([*revisions, old]) if length <= max_chars else None
