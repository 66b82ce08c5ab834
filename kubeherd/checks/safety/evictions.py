"""Promises about disruption budgets."""

from collections.abc import Iterator

from kubeherd.checks.objects import about, condition, number, part, ready, selects, text
from kubeherd.checks.objects import labels as labels_of
from kubeherd.checks.writes import WriteChecker
from kubeherd.history import Verb, Violation, Write
from kubeherd.history.records import Object

_BUDGETS = "poddisruptionbudgets.policy"


class BudgetRespected(WriteChecker):
    """Evictions.

    An eviction takes its share of a budget (an entry in ``status.disruptedPods`` and one less in
    ``disruptionsAllowed``) before it marks the pod; the mark shows that it was one.
    """

    name = "disruption-budgets-respected"
    promise = (
        "A ready pod is evicted only after its PodDisruptionBudget allowed a disruption and "
        "counted it, and never one more than were allowed."
    )
    source = "docs/spec/api-machinery.md 9; Concepts: Disruptions; API-initiated Eviction"
    resources = frozenset({"pods", _BUDGETS})

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """A budget that is spent, or a pod that is marked as evicted."""
        if before is None or write.verb is not Verb.UPDATE:
            return
        if write.resource == _BUDGETS:
            yield from self._spent(write, before)
        elif _evicted(write.object) and not _evicted(before):
            yield from self._marked(write, before)

    def _spent(self, write: Write, before: Object) -> Iterator[Violation]:
        had, has = (
            part(before, "status", "disruptedPods"),
            part(write.object, "status", "disruptedPods"),
        )
        new = has.keys() - had.keys()
        if not new:
            return
        self.looked_at += 1
        allowed = number(before, "status", "disruptionsAllowed")
        if len(new) > allowed:
            what = f"{about(write)} lets {', '.join(sorted(new))} be evicted, and allowed {allowed}"
            yield self.violation(write, what, about(write))

    def _marked(self, write: Write, before: Object) -> Iterator[Violation]:
        guards = [
            name
            for name, budget in self.live.all(_BUDGETS).items()
            if text(budget, "metadata", "namespace") == write.namespace
            and selects(part(budget, "spec", "selector"), labels_of(before))
        ]
        if text(before, "status", "phase") != "Running" or not ready(before):
            return
        for name in guards:
            self.looked_at += 1
            counted = part(self.live.all(_BUDGETS)[name], "status", "disruptedPods")
            if write.name not in counted:
                what = f"pod {write.namespace}/{write.name} is evicted, which {name} did not allow"
                yield self.violation(write, what, about(write), f"{_BUDGETS} {name}")


def _evicted(pod: Object) -> bool:
    return condition(pod, "DisruptionTarget").get("reason") == "EvictionByEvictionAPI"
