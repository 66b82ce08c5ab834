"""What a terminating namespace says about itself (spec api-machinery, 8).

Pure. Invariants: all five conditions are always there, True meaning a problem; a condition's time
moves only with its status; nothing is written when nothing changed.
"""

from collections.abc import Mapping, Sequence

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Condition

FINALIZER = "kubernetes"
SOON_GONE = frozenset({"kubernetes.io/pvc-protection"})
"""Finalizers that another controller of this manager takes away as soon as the pods are gone."""
DISCOVERY_FAILURE = "NamespaceDeletionDiscoveryFailure"
PARSING_FAILURE = "NamespaceDeletionGroupVersionParsingFailure"
CONTENT_FAILURE = "NamespaceDeletionContentFailure"
CONTENT_REMAINING = "NamespaceContentRemaining"
FINALIZERS_REMAINING = "NamespaceFinalizersRemaining"

_FINE: Mapping[str, tuple[str, str]] = {
    DISCOVERY_FAILURE: ("ResourcesDiscovered", "All resources successfully discovered"),
    PARSING_FAILURE: ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    CONTENT_FAILURE: (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    CONTENT_REMAINING: ("ContentRemoved", "All content successfully removed"),
    FINALIZERS_REMAINING: (
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
}


class Outcome(msgspec.Struct):
    """What one round of deleting found."""

    discovery_errors: list[str] = msgspec.field(default_factory=list)
    delete_errors: list[str] = msgspec.field(default_factory=list)
    remaining: dict[str, int] = msgspec.field(default_factory=dict)
    """Objects left, by group resource (``pods.``, ``daemonsets.apps``)."""
    finalizers: dict[str, int] = msgspec.field(default_factory=dict)
    """How many objects left carry each finalizer."""

    @property
    def empty(self) -> bool:
        """Whether the namespace may be finalized."""
        return not (self.discovery_errors or self.delete_errors or self.remaining)


def problems(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """The conditions that are True, with their reasons and messages."""
    out: dict[str, tuple[str, str]] = {}
    if outcome.discovery_errors:
        text = "; ".join(sorted(outcome.discovery_errors))
        out[DISCOVERY_FAILURE] = (
            "DiscoveryFailed",
            f"Discovery failed for some groups, {len(outcome.discovery_errors)} failing: {text}",
        )
    if outcome.delete_errors:
        text = ", ".join(sorted(outcome.delete_errors))
        listed = f"[{text}]" if len(outcome.delete_errors) > 1 else text
        remaining = len(outcome.delete_errors)
        out[CONTENT_FAILURE] = (
            "ContentDeletionFailed",
            f"Failed to delete all resource types, {remaining} remaining: {listed}",
        )
    if outcome.remaining:
        text = ", ".join(
            f"{name} has {count} resource instances"
            for name, count in sorted(outcome.remaining.items())
        )
        out[CONTENT_REMAINING] = (
            "SomeResourcesRemain",
            f"Some resources are remaining: {text}",
        )
    if outcome.finalizers:
        text = ", ".join(
            f"{name} in {count} resource instances"
            for name, count in sorted(outcome.finalizers.items())
        )
        out[FINALIZERS_REMAINING] = (
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {text}",
        )
    return out


def conditions(present: Sequence[Condition], outcome: Outcome, now: str) -> list[JsonObject] | None:
    """The conditions to write; None if those present say the same."""
    found = problems(outcome)
    known = {condition.type: condition for condition in present}
    out: list[JsonObject] = []
    changed = False
    for type_, fine in _FINE.items():
        status = "True" if type_ in found else "False"
        reason, message = found.get(type_, fine)
        old = known.get(type_)
        if old is None or (old.status, old.reason, old.message) != (status, reason, message):
            changed = True
        same_status = old is not None and old.status == status
        out.append(
            {
                "type": type_,
                "status": status,
                "lastTransitionTime": old.last_transition_time if old and same_status else now,
                "reason": reason,
                "message": message,
            }
        )
    return out if changed else None


def deletion_order(resources: Sequence[str]) -> list[str]:
    """Group resources in the order of deletion: pods alone first, then everything else."""
    return sorted(resources, key=lambda name: (name != "pods", name))
