"""What the status of a Job may become (pkg/apis/batch/validation, pkg/registry/batch/job).

Any controller may write it (``managedBy``), and clients rely on how it goes: a Job that has ended
stays so, with its interim condition, its times, and nothing left to count. Most rules look only at
fields that a write changes, so that a status which broke one before can still be mended.
"""

from collections.abc import Callable, Iterable

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.cluster.api.validation.causes import duplicate, invalid, invalid_whole, required
from kubeherd.cluster.api.validation.checks import not_negative
from kubeherd.cluster.api.validation.workloads.jobpolicies import index_intervals

_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_CONDITIONS = "status.conditions"


class _Side:
    """A Job before or after a write, by the questions that the rules ask of it."""

    def __init__(self, job: JsonObject) -> None:
        self.spec: JsonObject = job.get("spec") or {}
        self.status: JsonObject = job.get("status") or {}
        self.states = {
            (found.get("type"), found.get("status"))
            for found in self.status.get("conditions") or ()
        }
        self.indexed = self.spec.get("completionMode") == "Indexed"
        self.completions = self.spec.get("completions")
        self.complete = self.true("Complete")
        self.failed = self.true("Failed")
        self.finished = self.complete or self.failed
        self.successful = self.true("SuccessCriteriaMet")
        self.failing = self.true("FailureTarget")

    def true(self, kind: str) -> bool:
        return (kind, "True") in self.states

    def get(self, name: str) -> str | None:
        """A field as text, None if it is not set."""
        value = self.status.get(name)
        return None if value is None else str(value)

    @property
    def uncounted(self) -> tuple[list[str], list[str]]:
        uncounted = self.status.get("uncountedTerminatedPods") or {}
        return uncounted.get("succeeded") or [], uncounted.get("failed") or []


def update_job_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """The refusals of a write to the status, in the order of Kubernetes."""
    after, before = _Side(new), _Side(old)

    def changed(*questions: Callable[[_Side], object]) -> bool:
        return any(question(after) != question(before) for question in questions)

    causes = [cause for name in _COUNTS for cause in not_negative(after.status, name, "status")]
    causes += _uncounted(after)
    causes += _ends(after, changed)
    causes += _indexes(after, changed)
    causes += _numbers(after, changed)
    causes += _successes(after)
    return causes + _transitions(after, before)


_Changed = Callable[..., bool]


def _when(*rules: tuple[bool, Callable[[], Cause]]) -> list[Cause]:
    """The causes whose condition holds."""
    return [cause() for broken, cause in rules if broken]


def _whole(detail: str) -> Callable[[], Cause]:
    return lambda: invalid_whole(_CONDITIONS, detail)


def _uncounted(after: _Side) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for kind, uids in zip(("succeeded", "failed"), after.uncounted, strict=True):
        for number, uid in enumerate(uids):
            path = f"status.uncountedTerminatedPods.{kind}[{number}]"
            if not uid:
                causes.append(invalid(path, uid, "must not be empty"))
            elif uid in seen:
                causes.append(duplicate(path, uid))
            seen.add(uid)
    return causes


def _ends(after: _Side, changed: _Changed) -> list[Cause]:
    complete = changed(lambda side: side.complete)
    failed = changed(lambda side: side.failed)
    completion_time, start_time = after.get("completionTime"), after.get("startTime")
    timed = complete or changed(lambda side: side.get("completionTime"))
    times = changed(lambda side: side.get("startTime"), lambda side: side.get("completionTime"))
    backwards = (
        completion_time is not None
        and start_time is not None
        and parse_time(completion_time) < parse_time(start_time)
    )
    both = "cannot set {}=true conditions"
    without = "cannot set {} condition without the {}=true condition"
    return _when(
        (
            (complete or failed) and after.complete and after.failed,
            _whole(both.format("Complete=True and Failed")),
        ),
        (
            (complete or changed(lambda side: side.failing)) and after.complete and after.failing,
            _whole(both.format("Complete=True and FailureTarget")),
        ),
        (
            timed and completion_time is not None and not after.complete,
            lambda: invalid(
                "status.completionTime",
                completion_time,
                "cannot set completionTime when there is no Complete=True condition",
            ),
        ),
        (
            timed and completion_time is None and after.complete,
            lambda: required(
                "status.completionTime", "completionTime is required for Complete jobs"
            ),
        ),
        (
            times and backwards,
            lambda: invalid(
                "status.completionTime", completion_time, "must be equal to or after `startTime`"
            ),
        ),
        (
            (failed or changed(lambda side: side.get("failedIndexes")))
            and after.failed
            and not after.failing,
            _whole(without.format("Failed=True", "FailureTarget")),
        ),
        (
            (complete or changed(lambda side: side.successful))
            and after.complete
            and not after.successful,
            _whole(without.format("Complete=True", "SuccessCriteriaMet")),
        ),
    ) + _finished(after, changed)


def _finished(after: _Side, changed: _Changed) -> list[Cause]:
    if not after.finished:
        return []
    finished = changed(lambda side: side.finished)
    active = after.status.get("active") or 0
    succeeded, failed = after.uncounted
    nothing_to_do = after.spec.get("suspend") is True and after.completions == 0
    return _when(
        (
            active > 0 and (finished or changed(lambda side: side.status.get("active") or 0)),
            lambda: invalid("status.active", active, "active>0 is invalid for finished job"),
        ),
        (
            after.get("startTime") is None
            and (finished or changed(lambda side: side.get("startTime")))
            and not nothing_to_do,
            lambda: required("status.startTime", "startTime is required for finished job"),
        ),
        (
            bool(succeeded or failed) and (finished or changed(lambda side: side.uncounted)),
            lambda: invalid(
                "status.uncountedTerminatedPods",
                {"Succeeded": succeeded or None, "Failed": failed or None},
                "must be empty for finished job",
            ),
        ),
    )


def _indexes(after: _Side, changed: _Changed) -> list[Cause]:
    completed = after.status.get("completedIndexes") or ""
    failed = after.status.get("failedIndexes")
    completed_changed = changed(lambda side: side.status.get("completedIndexes") or "")
    failed_changed = changed(lambda side: side.get("failedIndexes"))
    per_index = after.spec.get("backoffLimitPerIndex") is not None
    causes: list[Cause] = []
    if completed_changed:
        causes += _format(after, "completedIndexes", completed)
    if failed_changed and per_index and failed is not None:
        causes += _format(after, "failedIndexes", failed)
    causes += _when(
        (
            completed_changed and bool(completed) and not after.indexed,
            lambda: invalid(
                "status.completedIndexes",
                completed,
                "cannot set non-empty completedIndexes when non-indexed completion mode",
            ),
        ),
        (
            failed_changed and not per_index and failed is not None,
            lambda: invalid(
                "status.failedIndexes",
                failed,
                "cannot set non-null failedIndexes when backoffLimitPerIndex is null",
            ),
        ),
    )
    if (completed_changed or failed_changed) and after.completions is not None and failed:
        both = _common(completed, failed, after.completions)
        if both is not None:
            detail = f"failedIndexes and completedIndexes overlap at index: {both}"
            causes.append(invalid("status.failedIndexes", failed, detail))
    return causes


def _format(after: _Side, name: str, text: str) -> list[Cause]:
    if after.completions is None:
        return []
    try:
        list(index_intervals(text, after.completions))
    except ValueError as error:
        return [invalid(f"status.{name}", text, f"error parsing {name}: {error}")]
    return []


def _common(completed: str, failed: str, completions: int) -> int | None:
    """The first index that is in both; what cannot be read is passed over."""
    others = list(_readable(failed, completions))
    for first, last in _readable(completed, completions):
        for begin, end in others:
            if first <= end and begin <= last:
                return max(first, begin)
    return None


def _readable(text: str, completions: int) -> Iterable[tuple[int, int]]:
    for part in text.split(","):
        try:
            yield from index_intervals(part, completions)
        except ValueError:
            continue


def _numbers(after: _Side, changed: _Changed) -> list[Cause]:
    status = after.status
    ready, active = status.get("ready"), status.get("active") or 0
    terminating = status.get("terminating") or 0
    busy = changed(lambda side: side.finished, lambda side: side.get("terminating"))
    counts = changed(lambda side: side.get("ready"), lambda side: side.status.get("active") or 0)
    return _when(
        (
            terminating > 0 and after.finished and busy,
            lambda: invalid(
                "status.terminating", terminating, "terminating>0 is invalid for finished job"
            ),
        ),
        (
            ready is not None and ready > active and counts,
            lambda: invalid("status.ready", ready, "cannot set more ready pods than active"),
        ),
    )


def _successes(after: _Side) -> list[Cause]:
    policy = after.spec.get("successPolicy") is not None
    both = "cannot set SuccessCriteriaMet=True and {}=true conditions"
    return _when(
        (after.successful and after.failed, _whole(both.format("Failed"))),
        (after.successful and after.failing, _whole(both.format("FailureTarget"))),
        (
            policy and after.complete and not after.successful,
            _whole(
                "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
            ),
        ),
    )


def _transitions(after: _Side, before: _Side) -> list[Cause]:
    """What a write must not take back."""
    causes = [
        invalid_whole(_CONDITIONS, f"cannot disable the terminal {kind}=True condition")
        for kind in ("Failed", "Complete", "FailureTarget")
        if before.true(kind) and not after.true(kind)
    ]
    scalable = after.indexed and after.completions == after.spec.get("parallelism")
    for name, bound in (("failed", True), ("succeeded", not scalable)):
        count = after.status.get(name) or 0
        if bound and count < (before.status.get(name) or 0):
            causes.append(invalid(f"status.{name}", count, f"cannot decrease the {name} counter"))
    end, start = after.get("completionTime"), after.get("startTime")
    resuming = before.true("Suspended") and ("Suspended", "False") in after.states
    return causes + _when(
        (
            end is not None and before.get("completionTime") not in (None, end),
            lambda: invalid("status.completionTime", end, "field is immutable"),
        ),
        (
            before.get("startTime") not in (None, start)
            and not resuming
            and not after.spec.get("suspend"),
            lambda: invalid(
                "status.startTime", start, "field is immutable for unsuspended job once set"
            ),
        ),
        (
            before.successful and not after.successful,
            _whole("cannot disable the SuccessCriteriaMet=True condition"),
        ),
        (
            before.complete and not before.successful and after.successful,
            _whole(
                "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
            ),
        ),
    )
