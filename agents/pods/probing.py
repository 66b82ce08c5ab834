"""What the probers of one running container decide: started, ready, or to be killed.

Source: spec node-lifecycle 12.7. The answers come from the container's `Behaviour`, the counting
from `agents.pods.probes`. Terminating containers are probed for readiness only (13, step 3).
"""

from msgspec.structs import replace

from kubeherd.agents.pods import probes, stopping
from kubeherd.agents.pods.facts import ContainerFacts
from kubeherd.agents.pods.plans import ContainerPlan
from kubeherd.agents.pods.probes import ProbeSpec
from kubeherd.agents.pods.sync import Pass

_OUTPUT = "simulated failure"


def probe(facts: ContainerFacts, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    """Run all probes that are due; may begin a stop of the container."""
    if plan.startup is not None and not facts.started:
        return _probe_startup(facts, plan, plan.startup, sync)
    if plan.liveness is not None:
        checked = _probe_liveness(facts, plan, plan.liveness, sync)
        if checked.stop is not None:
            return checked
        facts = checked
    return probe_readiness(facts, plan, sync)


def probe_readiness(facts: ContainerFacts, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    """Set `ready` by the readiness probe, or by the delay alone where there is none."""
    if not facts.started:
        return facts
    behaviour, now_s = plan.behaviour, sync.now.s
    ready_from_s = facts.started_s + behaviour.ready_delay_s
    answers_yes = now_s >= ready_from_s and not behaviour.fail_readiness
    if plan.readiness is None or facts.readiness is None:
        if now_s < ready_from_s:
            sync.wake(ready_from_s)
        return facts if facts.ready == answers_yes else replace(facts, ready=answers_yes)
    outcome = probes.run(
        plan.readiness,
        facts.readiness,
        first_s=facts.started_s + plan.readiness.initial_delay_s,
        answers_yes=answers_yes,
        answer_changes_s=ready_from_s if now_s < ready_from_s else None,
        now_s=now_s,
    )
    _report(outcome, "Readiness", plan, sync)
    if outcome.probe == facts.readiness:
        return facts
    return replace(facts, readiness=outcome.probe, ready=outcome.probe.healthy)


def _probe_liveness(
    facts: ContainerFacts, plan: ContainerPlan, spec: ProbeSpec, sync: Pass
) -> ContainerFacts:
    after_s = plan.behaviour.fail_liveness_after_s
    if after_s is None or facts.liveness is None:
        return facts
    fails_from_s = facts.started_s + after_s
    answers_yes = sync.now.s < fails_from_s
    outcome = probes.run(
        spec,
        facts.liveness,
        first_s=facts.started_s + spec.initial_delay_s,
        answers_yes=answers_yes,
        answer_changes_s=fails_from_s if answers_yes else None,
        now_s=sync.now.s,
    )
    _report(outcome, "Liveness", plan, sync)
    if outcome.probe != facts.liveness:
        facts = replace(facts, liveness=outcome.probe)
    return facts if outcome.probe.healthy else _kill(facts, plan, spec, "liveness", sync)


def _probe_startup(
    facts: ContainerFacts, plan: ContainerPlan, spec: ProbeSpec, sync: Pass
) -> ContainerFacts:
    first_s = facts.started_s + spec.initial_delay_s
    if not plan.behaviour.fail_startup or facts.startup is None:
        if sync.now.s < first_s:
            sync.wake(first_s)
            return facts
        return replace(facts, started=True)
    outcome = probes.run(
        spec,
        facts.startup,
        first_s=first_s,
        answers_yes=False,
        answer_changes_s=None,
        now_s=sync.now.s,
    )
    _report(outcome, "Startup", plan, sync)
    if outcome.probe != facts.startup:
        facts = replace(facts, startup=outcome.probe)
    return facts if outcome.probe.healthy else _kill(facts, plan, spec, "startup", sync)


def _report(outcome: probes.Outcome, kind: str, plan: ContainerPlan, sync: Pass) -> None:
    if outcome.wake_s is not None:
        sync.wake(outcome.wake_s)
    for _ in range(outcome.failures):
        sync.warning("Unhealthy", f"{kind} probe failed: {_OUTPUT}", plan.field_path)


def _kill(
    facts: ContainerFacts, plan: ContainerPlan, spec: ProbeSpec, kind: str, sync: Pass
) -> ContainerFacts:
    grace_s = spec.grace_period_s
    if grace_s is None:
        grace_s = stopping.pod_grace_s(sync.pod)
    why = f"failed {kind} probe"
    if plan.restart_policy == "Never":
        return stopping.begin_stop(facts, plan, sync, grace_s, f"Container {plan.name} {why}")
    return stopping.begin_restart(facts, plan, sync, grace_s, why)
