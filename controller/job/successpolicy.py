"""Whether ``successPolicy`` of an indexed Job is met (spec job-controller 9)."""

from kubeherd.controller.job import intervals
from kubeherd.controller.job.intervals import Intervals
from kubeherd.controller.workload.jobs import SuccessPolicy, SuccessRule


def met(policy: SuccessPolicy | None, completions: int, completed: Intervals) -> str:
    """The message that names the first rule that is met; "" if none is."""
    if policy is None or not completed:
        return ""
    for number, rule in enumerate(policy.rules):
        if _rule_met(rule, completions, completed):
            return f"Matched rules at index {number}"
    return ""


def _rule_met(rule: SuccessRule, completions: int, completed: Intervals) -> bool:
    count = rule.succeeded_count
    if rule.succeeded_indexes is None:
        return count is not None and intervals.total(completed) >= count
    wanted = intervals.parse(rule.succeeded_indexes, completions)
    if not wanted:
        return False
    reached = intervals.overlap(wanted, completed)
    return reached == intervals.total(wanted) or (count is not None and reached >= count)
