"""Simulated probes (spec node-lifecycle 12.7): thresholds, periods and initial delays are real.

Only the answers of the container are simulated, by annotations. A prober whose answer agrees with
its standing result needs no wake-ups: ten thousand healthy probed pods cost nothing.
"""

import math
from typing import Final

import msgspec

from kubeherd.agents.pods.facts import Probe
from kubeherd.cluster.api.jsontypes import JsonObject


class ProbeSpec(msgspec.Struct, frozen=True, gc=False):
    """The numbers of a probe, with the defaults of Kubernetes."""

    initial_delay_s: float = 0.0
    period_s: float = 10.0
    success_threshold: int = 1
    failure_threshold: int = 3
    grace_period_s: float | None = None


DEFAULT: Final = ProbeSpec()


def parse(tree: JsonObject | None) -> ProbeSpec | None:
    """The probe of a container, or None."""
    if tree is None:
        return None
    grace_s = tree.get("terminationGracePeriodSeconds")
    return ProbeSpec(
        initial_delay_s=float(tree.get("initialDelaySeconds") or 0),
        period_s=float(tree.get("periodSeconds") or 10),
        success_threshold=int(tree.get("successThreshold") or 1),
        failure_threshold=int(tree.get("failureThreshold") or 3),
        grace_period_s=None if grace_s is None else float(grace_s),
    )


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The prober's new memory, how many runs failed since, and when it must run again."""

    probe: Probe
    failures: int
    wake_s: float | None


def run(
    spec: ProbeSpec,
    probe: Probe,
    *,
    first_s: float,
    answers_yes: bool,
    answer_changes_s: float | None,
    now_s: float,
) -> Outcome:
    """Run the probe at every tick up to now.

    `first_s` is the first tick; `answers_yes` what the container answers now; `answer_changes_s`
    when it will next answer otherwise (None: never).
    """
    healthy, streak, failures = probe.healthy, probe.streak, 0
    next_s = first_s if probe.next_s is None else probe.next_s
    if healthy and streak == 0:
        # Nobody woke us for the successes since the last run.
        next_s = max(next_s, _tick_at_or_after(spec, first_s, now_s))
    if answers_yes and healthy:
        settled = probe if streak == 0 else Probe(True, 0, next_s)
        if answer_changes_s is None:
            return Outcome(settled, 0, None)
        changes_s = max(answer_changes_s, now_s)
        return Outcome(settled, 0, _tick_at_or_after(spec, first_s, changes_s))
    while next_s <= now_s:
        next_s += spec.period_s
        if not answers_yes:
            failures += 1
        if answers_yes == healthy:
            streak = 0
            continue
        streak += 1
        if streak >= (spec.success_threshold if answers_yes else spec.failure_threshold):
            healthy, streak = answers_yes, 0
    quiet = healthy and answers_yes and answer_changes_s is None
    return Outcome(Probe(healthy, streak, next_s), failures, None if quiet else next_s)


def _tick_at_or_after(spec: ProbeSpec, first_s: float, at_s: float) -> float:
    if at_s <= first_s:
        return first_s
    return first_s + math.ceil((at_s - first_s) / spec.period_s) * spec.period_s
