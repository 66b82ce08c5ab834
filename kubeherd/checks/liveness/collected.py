"""What is deleted goes, and what belonged to it."""

from collections.abc import Iterator
from typing import Final

from kubeherd.checks.liveness.settled import SettledChecker
from kubeherd.checks.objects import going, items, seconds, text, uid_of, words
from kubeherd.checks.writes import EVERYTHING
from kubeherd.history import Step, Violation, Write
from kubeherd.history.records import Object

_OURS: Final = frozenset(
    {
        "foregroundDeletion",
        "orphan",
        "kubernetes",
        "kubernetes.io/pv-protection",
        "kubernetes.io/pvc-protection",
        "batch.kubernetes.io/job-tracking",
    }
)
"""Finalizers that the cluster's own controllers take away; others are their users' affair."""


class DeletedGoes(SettledChecker):
    """Objects that are being deleted, namespaces among them."""

    name = "what-is-deleted-goes"
    promise = (
        "In the end nothing is still being deleted, no namespace either, unless a finalizer of "
        "somebody else or a grace period keeps it."
    )
    source = "Concepts: Finalizers; Namespaces; Pod Lifecycle, Termination of Pods"
    resources = EVERYTHING

    def __init__(self) -> None:
        super().__init__()
        self._deletions = 0

    def note(self, write: Write, before: Object | None) -> None:
        """Count what was deleted on the way: that is what the promise is about."""
        self._deletions += going(write.object) and not going(before or {})

    def settled(self, step: Step) -> Iterator[Violation]:
        """What is left."""
        self.looked_at += self._deletions
        kept = {
            text(tree, "metadata", "namespace")
            for resource in self.live.resources()
            for tree in self.live.all(resource).values()
            if set(words(tree, "metadata", "finalizers")) - _OURS
        }
        for resource in self.live.resources():
            for key, tree in self.live.all(resource).items():
                if not going(tree) or set(words(tree, "metadata", "finalizers")) - _OURS:
                    continue
                if seconds(text(tree, "metadata", "deletionTimestamp")) > step.at:
                    continue
                if resource == "namespaces" and key in kept:
                    continue
                what = f"{resource} {key} is still being deleted"
                yield self.violation(step, what, f"{resource} {key}")


class OrphansCollected(SettledChecker):
    """Garbage collection."""

    name = "orphans-are-collected"
    promise = "In the end nothing is left whose owners are all gone."
    source = "Concepts: Garbage Collection, Owners and dependents"
    resources = EVERYTHING

    def __init__(self) -> None:
        super().__init__()
        self._kinds: set[tuple[str, str]] = set()
        """Group and kind of all that was ever written: others may have owners nobody saw."""

    def note(self, write: Write, before: Object | None) -> None:
        """Which kinds there are."""
        self._kinds.add(_group_kind(write.object))

    def settled(self, step: Step) -> Iterator[Violation]:
        """Look up the owners of everything."""
        uids = {
            uid_of(tree)
            for resource in self.live.resources()
            for tree in self.live.all(resource).values()
        }
        for resource in self.live.resources():
            for key, tree in self.live.all(resource).items():
                owners = items(tree, "metadata", "ownerReferences")
                if not owners or any(_group_kind(owner) not in self._kinds for owner in owners):
                    continue
                self.looked_at += 1
                if not going(tree) and not any(text(owner, "uid") in uids for owner in owners):
                    named = ", ".join(
                        f"{text(owner, 'kind')} {text(owner, 'name')}" for owner in owners
                    )
                    what = f"{resource} {key} is left without {named}"
                    yield self.violation(step, what, f"{resource} {key}")


def _group_kind(tree: Object) -> tuple[str, str]:
    return text(tree, "apiVersion").rpartition("/")[0], text(tree, "kind")
