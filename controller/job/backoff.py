"""How long to wait before a failed pod is replaced (spec job-controller 5.4).

Invariant: the wait is 10 s after the first failure and doubles with each further one, up to ten
minutes; a success makes an end of it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.job.model import POD_BACKOFF_CAP_S, POD_BACKOFF_S, Backoff
from kubeherd.controller.job.pods import failures, finished_at, ignored_failures

AgeOf = Callable[[str | datetime], float]


def after(known: Backoff, succeeded: Sequence[Pod], failed: Sequence[Pod]) -> Backoff:
    """The record when these pods have ended since it was made."""
    failed_at = sorted(map(finished_at, failed))
    if succeeded:
        last_success = max(map(finished_at, succeeded))
        failed_at = [moment for moment in failed_at if moment > last_success]
        known = Backoff()
    if not failed_at:
        return known
    return Backoff(known.failures + len(failed_at), failed_at[-1])


def remaining_s(backoff: Backoff, age_s: AgeOf) -> float:
    """Nominal seconds until the next pod may be created."""
    if backoff.failures == 0 or backoff.last_failure is None:
        return 0.0
    doublings = min(backoff.failures - 1, 16)
    delay_s = min(POD_BACKOFF_CAP_S, POD_BACKOFF_S * (1 << doublings))
    return max(0.0, delay_s - age_s(backoff.last_failure))


def remaining_of_index_s(last_failed: Pod | None, age_s: AgeOf) -> float:
    """The same for one index, whose last failed pod carries how many failed before it."""
    if last_failed is None:
        return 0.0
    count = failures(last_failed) + ignored_failures(last_failed) + 1
    return remaining_s(Backoff(count, finished_at(last_failed)), age_s)
