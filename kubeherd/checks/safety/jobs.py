"""Promises about Jobs: what they count."""

from collections.abc import Iterator

import msgspec

from kubeherd.checks.objects import about, condition, number, owner_uid, part, text, uid_of, words
from kubeherd.checks.writes import WriteChecker
from kubeherd.history import Verb, Violation, Write
from kubeherd.history.records import Object

_LAST = ("Complete", "Failed")


class _Pods(msgspec.Struct):
    """How many pods a Job ever had, and how many of them ever succeeded."""

    made: int = 0
    succeeded: int = 0


class CountsOnce(WriteChecker):
    """Job statuses against the Job's pods."""

    name = "job-counts-once"
    promise = (
        "A Job counts each of its pods once and forgets none: succeeded and failed never shrink, "
        "are never more than its pods, and it completes only when enough have succeeded."
    )
    source = "Concepts: Jobs, Job tracking with finalizers; docs/spec/job-controller.md"
    resources = frozenset({"jobs.batch", "pods"})

    def __init__(self) -> None:
        super().__init__()
        self._jobs: set[str] = set()
        self._pods: dict[str, _Pods] = {}

    def note(self, write: Write, before: Object | None) -> None:
        """Count the pods themselves."""
        if write.resource == "jobs.batch":
            uid, tree = uid_of(write.object), write.object
            if write.verb is Verb.DELETE:
                self._pods.pop(uid, None)
                self._jobs.discard(uid)
                return
            self._jobs.add(uid)
            if write.restored and before is None:  # its pods may be gone already
                pods = self._pods.setdefault(uid, _Pods())
                done = number(tree, "status", "succeeded")
                pods.succeeded += done
                pods.made += done + number(tree, "status", "failed")
            return
        uid = owner_uid(write.object, "Job")
        if not uid:
            return
        pods = self._pods.setdefault(uid, _Pods())
        was = owner_uid(before or {}, "Job") == uid
        pods.made += not was
        done_before = was and text(before or {}, "status", "phase") == "Succeeded"
        pods.succeeded += text(write.object, "status", "phase") == "Succeeded" and not done_before

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """Compare a Job's status with the one before, and with its pods."""
        if write.resource == "pods":
            uid = owner_uid(write.object, "Job")
            if write.verb is Verb.DELETE and uid not in self._jobs:
                self._pods.pop(uid, None)  # the last of a Job that is gone
            return
        if write.verb is Verb.DELETE:
            return
        self.looked_at += 1
        job, name = write.object, about(write)
        if before is not None and uid_of(before) == uid_of(job):
            yield from self._compared(write, before)
        succeeded, failed = number(job, "status", "succeeded"), number(job, "status", "failed")
        pods = self._pods.get(uid_of(job), _Pods())
        if succeeded > pods.succeeded:
            what = f"{name} counts {succeeded} succeeded pods; {pods.succeeded} were there"
            yield self.violation(write, what, name)
        elif succeeded + failed > pods.made:
            what = f"{name} counts {succeeded + failed} pods; it had {pods.made}"
            yield self.violation(write, what, name)
        waiting = part(job, "status", "uncountedTerminatedPods")
        both = [*words(waiting, "succeeded"), *words(waiting, "failed")]
        if len(set(both)) < len(both):
            yield self.violation(write, f"{name} is about to count a pod twice", name)

    def _compared(self, write: Write, before: Object) -> Iterator[Violation]:
        job, name = write.object, about(write)
        resized = part(before, "spec").get("completions") != part(job, "spec").get("completions")
        for count in ("succeeded", "failed"):
            was, now = number(before, "status", count), number(job, "status", count)
            if now < was and not resized:
                yield self.violation(write, f"{name} has {now} {count} pods after {was}", name)
        for last in _LAST:
            if _is(before, last) and not _is(job, last):
                yield self.violation(write, f"{name} is no longer {last}", name)
        wanted = part(job, "spec").get("completions")
        if not _is(before, "Complete") and _is(job, "Complete") and isinstance(wanted, int):
            succeeded = number(job, "status", "succeeded")
            if succeeded < wanted and not part(job, "spec", "successPolicy"):
                what = f"{name} is complete with {succeeded} of {wanted} completions"
                yield self.violation(write, what, name)


def _is(job: Object, last: str) -> bool:
    return condition(job, last).get("status") == "True"
