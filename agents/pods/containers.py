"""One fake container: pull, start, run, exit, restart with back-off.

Source: spec node-lifecycle 12.4 to 12.7. `drive` moves a container as far as it can go now and
asks the pass to wake it when more is due. Invariants: `attempts` never falls while containers are
restarted; a container is pulled, created and started in this order; back-off only ever delays.
"""

import hashlib
import re
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from kubeherd.agents.faking import annotations
from kubeherd.agents.pods import probing, stopping
from kubeherd.agents.pods.durations import go_duration
from kubeherd.agents.pods.facts import ContainerFacts, ContainerPhase, Probe, Waiting, WaitingReason
from kubeherd.agents.pods.plans import ContainerPlan, Role, Script
from kubeherd.agents.pods.sync import LogKind, Pass
from kubeherd.cluster.api.helpers import commands
from kubeherd.cluster.api.helpers.commands import Program
from kubeherd.cluster.api.helpers.containeroutput import Output, output

RELIST_S: Final = 1.0
"""The kubelet learns of an exit by listing its containers every second (spec 10)."""
BACKOFF_START_S: Final = 10.0
BACKOFF_CAP_S: Final = 300.0
RESTART_BACKOFF_RESET_S: Final = 600.0
PULL_BACKOFF_RESET_S: Final = 2 * BACKOFF_CAP_S
IMAGE_SIZE_BYTES: Final = 31_457_280
MAX_LINES_AT_ONCE: Final = 1000
"""What was due longer ago than that when the container is looked at is not written any more."""
_CHANCE_DIGITS: Final = 12

_REFERENCE: Final = re.compile(
    r"([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*"
    r"(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)


def drive(facts: ContainerFacts, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    """Let time pass for the container and start or restart it if that is due."""
    while True:
        new = progress(facts, plan, sync)
        if new is facts:
            new = _begin(facts, plan, sync)
            if new is facts:
                return facts
        facts = new


def progress(facts: ContainerFacts, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    """What happens by itself: pulls end, processes start, fail, answer probes, obey signals."""
    match facts.phase:
        case ContainerPhase.PULLING:
            if sync.now.s < facts.due_s:
                sync.wake(facts.due_s)
                return facts
            return _pulled(facts, plan, sync)
        case ContainerPhase.STARTING:
            # A fault that made it slow to start may be over since it was created.
            due_s = min(facts.due_s, sync.now.s + plan.behaviour.start_delay_s)
            if sync.now.s < due_s:
                sync.wake(due_s)
                return facts
            return _started(facts, plan, sync)
        case ContainerPhase.RUNNING:
            return _running(facts, plan, sync)
    return facts


# --- before the process runs ---


def _begin(facts: ContainerFacts, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    match facts.phase:
        case ContainerPhase.ABSENT:
            return _pull(facts, plan, sync)
        case ContainerPhase.PULL_FAILED:
            return _retry_pull(facts, plan, sync)
        case ContainerPhase.EXITED if plan.may_restart(facts):
            return _restart(facts, plan, sync)
    return facts


def _pull(facts: ContainerFacts, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    image, behaviour = plan.image, plan.behaviour
    if not valid_reference(image):
        message = (
            f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": '
            "invalid reference format"
        )
        if facts.waiting is None:
            sync.warning("InspectFailed", message, plan.field_path)
            sync.warning("Failed", "Error: InvalidImageName", plan.field_path)
        return _fail_pull(facts, WaitingReason.INVALID_IMAGE_NAME, message, sync)
    error = annotations.pull_error(image, behaviour)
    delay_s = behaviour.pull_delay_s
    present = not error and (delay_s == 0 or image in sync.node.pulled_images)
    if plan.pull_policy == "Never" and not present:
        message = f'Container image "{image}" is not present with pull policy of Never'
        if facts.waiting is None:
            sync.warning("ErrImageNeverPull", message, plan.field_path)
            sync.warning("Failed", "Error: ErrImageNeverPull", plan.field_path)
        return _fail_pull(facts, WaitingReason.ERR_IMAGE_NEVER_PULL, message, sync)
    if present and plan.pull_policy != "Always":
        sync.normal(
            "Pulled",
            f'Container image "{image}" already present on machine and can be accessed by the pod',
            plan.field_path,
        )
        return _create(facts, plan, sync)
    sync.normal("Pulling", f'Pulling image "{image}"', plan.field_path)
    return replace(
        facts,
        phase=ContainerPhase.PULLING,
        pull_began_s=sync.now.s,
        due_s=sync.now.s + (0.0 if present else delay_s),
    )


def _pulled(facts: ContainerFacts, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    error = annotations.pull_error(plan.image, plan.behaviour)
    if error:
        sync.warning("Failed", f'Failed to pull image "{plan.image}": {error}', plan.field_path)
        sync.warning("Failed", "Error: ErrImagePull", plan.field_path)
        expired = sync.now.s - facts.pull_failed_s > PULL_BACKOFF_RESET_S
        backoff_s = next_backoff_s(0.0 if expired else facts.pull_backoff_s)
        return replace(
            facts,
            phase=ContainerPhase.PULL_FAILED,
            waiting=Waiting(WaitingReason.ERR_IMAGE_PULL, error),
            pull_backoff_s=backoff_s,
            pull_failed_s=sync.now.s,
            due_s=sync.now.s + backoff_s,
        )
    took = go_duration(round(sync.now.s - facts.pull_began_s, 3))
    sync.normal(
        "Pulled",
        f'Successfully pulled image "{plan.image}" in {took} ({took} including waiting). '
        f"Image size: {IMAGE_SIZE_BYTES} bytes.",
        plan.field_path,
    )
    sync.pulled.append(plan.image)
    return _create(facts, plan, sync)


def _fail_pull(
    facts: ContainerFacts, reason: WaitingReason, message: str, sync: Pass
) -> ContainerFacts:
    """An image that needs no pull to fail: looked at again after the ordinary sync retry."""
    return replace(
        facts,
        phase=ContainerPhase.PULL_FAILED,
        waiting=Waiting(reason, message),
        pull_failed_s=sync.now.s,
        due_s=sync.now.s + BACKOFF_START_S,
    )


def _retry_pull(facts: ContainerFacts, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    if facts.image and facts.image != plan.image:
        return replace(facts, phase=ContainerPhase.ABSENT, pull_backoff_s=0.0, image="")
    if sync.now.s >= facts.due_s:
        return replace(facts, phase=ContainerPhase.ABSENT)
    waiting = facts.waiting
    if waiting is None or waiting.reason is not WaitingReason.ERR_IMAGE_PULL:
        sync.wake(facts.due_s)
        return facts
    if sync.now.s < facts.pull_failed_s + RELIST_S:
        sync.wake(facts.pull_failed_s + RELIST_S)
        return facts
    message = f'Back-off pulling image "{plan.image}"'
    sync.normal("BackOff", message, plan.field_path)
    sync.warning("Failed", "Error: ImagePullBackOff", plan.field_path)
    text = f"{message}: ErrImagePull: {waiting.message}"
    return replace(facts, waiting=Waiting(WaitingReason.IMAGE_PULL_BACK_OFF, text))


def _create(facts: ContainerFacts, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    attempts = facts.attempts + 1
    sync.normal("Created", "Container created", plan.field_path)
    return replace(
        facts,
        phase=ContainerPhase.STARTING,
        due_s=sync.now.s + plan.behaviour.start_delay_s,
        attempts=attempts,
        container_id=container_id(sync.pod.metadata.uid, plan.name, attempts),
        image=plan.image,
        waiting=None,
        last=facts.terminated or facts.last,
        terminated=None,
        started=False,
        ready=False,
        stop=None,
        replaced=False,
        readiness=None,
        liveness=None,
        startup=None,
        pull_backoff_s=0.0,
    )


def _started(facts: ContainerFacts, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    sync.normal("Started", "Container started", plan.field_path)
    if facts.attempts > 1:
        sync.log(plan.name, "", LogKind.BEGIN)
    program = None if plan.script is None else _begun(facts, plan.script, sync)
    _note(plan, f"started (attempt {facts.attempts}, image {plan.image})", sync)
    return replace(
        facts,
        phase=ContainerPhase.RUNNING,
        written=0,
        started_s=sync.now.s,
        started_at=sync.now.text,
        started=plan.startup is None,
        program=program,
        readiness=Probe(healthy=False),
        liveness=Probe(healthy=True),
        startup=Probe(healthy=True),
    )


def _begun(facts: ContainerFacts, script: Script, sync: Pass) -> Program | None:
    """What a process does that finds these files, and leaves its own at once."""
    chance = int(facts.container_id[-_CHANCE_DIGITS:], 16)
    around = script.around._replace(files=sync.files(script.mounts), chance=chance)
    found = commands.program(script.command, script.args, around)
    if found is not None and script.mounts:
        sync.leave(script.mounts, found.files)
    return found


# --- while it runs ---


def _running(facts: ContainerFacts, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    if facts.stop is not None and plan.behaviour.unkillable:
        return stopping.survive(facts, facts.stop, plan, sync)
    now_s = sync.now.s
    own_exit = _own_exit(facts, plan)
    told = plan.output
    if facts.program is not None:
        told = output(plan.behaviour.log, plan.behaviour.log_interval_s, facts.program)
    if told is not None:
        facts = _write(facts, plan.name, told, sync)
    if facts.stop is not None:
        stop = facts.stop
        if own_exit is None or own_exit[0] > stop.exits_s:
            return _stopping(facts, plan, sync)
    if own_exit is not None:
        exits_s, code, reason = own_exit
        if now_s >= exits_s:
            _note(plan, f"exited with code {code} ({reason})", sync)
            return stopping.exited(facts, code, reason, sync)
        sync.wake(exits_s)
    if facts.stop is None and facts.image != plan.image and plan.role is not Role.INIT:
        unpunished, grace_s = replace(facts, backoff_s=0.0), stopping.pod_grace_s(sync.pod)
        return stopping.begin_restart(unpunished, plan, sync, grace_s, "definition changed")
    return probing.probe(facts, plan, sync)


def _write(facts: ContainerFacts, name: str, told: Output, sync: Pass) -> ContainerFacts:
    """Write the lines that are due, and ask to be woken for the next one."""
    elapsed_s = sync.now.s - facts.started_s
    written = told.written(elapsed_s)
    for number in range(max(facts.written, written - MAX_LINES_AT_ONCE), written):
        sync.log(name, told.text(number), LogKind.OUTPUT)
    due_s = told.due_s(written)
    if due_s is not None:
        sync.wake(facts.started_s + due_s)
    return replace(facts, written=written) if written > facts.written else facts


def _note(plan: ContainerPlan, text: str, sync: Pass) -> None:
    """A line of kubeherd's own: only where the container writes nothing itself."""
    if plan.output is None:
        sync.log(plan.name, text)


def _own_exit(facts: ContainerFacts, plan: ContainerPlan) -> tuple[float, int, str] | None:
    """When the process ends by itself, with which code and reason; None if it runs for ever."""
    behaviour = plan.behaviour
    program = facts.program or plan.program
    if program is not None and not behaviour.ends:
        ends_s, code = program.ends_s, program.exit_code
        reason = "Error" if code else "Completed"
        return None if ends_s is None else (facts.started_s + ends_s, code, reason)
    ends: list[tuple[float, int, str]] = []
    if behaviour.oom_after_s is not None:
        ends.append((facts.started_s + behaviour.oom_after_s, 137, "OOMKilled"))
    crashes = behaviour.crash_times is None or facts.attempts <= behaviour.crash_times
    if behaviour.crash_after_s is not None and crashes:
        reason = "Error" if behaviour.exit_code else "Completed"
        ends.append((facts.started_s + behaviour.crash_after_s, behaviour.exit_code, reason))
    if behaviour.run_for_s is not None:
        reason = "Error" if behaviour.run_exit_code else "Completed"
        ends.append((facts.started_s + behaviour.run_for_s, behaviour.run_exit_code, reason))
    return min(ends) if ends else None


def _stopping(facts: ContainerFacts, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    """Let time pass for a container that is being stopped."""
    stop = facts.stop
    if stop is None:
        return facts
    if not stop.signalled and sync.now.s >= stop.sigterm_s:
        _note(plan, "received SIGTERM", sync)
        return replace(facts, stop=replace(stop, signalled=True))
    if sync.now.s < stop.exits_s:
        sync.wake(stop.exits_s if stop.signalled else stop.sigterm_s)
        return probing.probe_readiness(facts, plan, sync)
    how = "killed by SIGKILL" if stop.killed else f"exited with code {stop.exit_code}"
    _note(plan, how, sync)
    reason = "Completed" if stop.exit_code == 0 else "Error"
    return stopping.exited(facts, stop.exit_code, reason, sync)


# --- after it ended ---


def _restart(facts: ContainerFacts, plan: ContainerPlan, sync: Pass) -> ContainerFacts:
    noticed_s = facts.finished_s + RELIST_S
    if sync.now.s < noticed_s and not facts.replaced:
        sync.wake(noticed_s)
        return facts
    known_s = facts.finished_before_s if facts.replaced else facts.finished_s
    expired = known_s - facts.backoff_bumped_s > RESTART_BACKOFF_RESET_S
    backoff_s = 0.0 if expired else facts.backoff_s
    if facts.image != plan.image:
        backoff_s = 0.0
    due_s = known_s + backoff_s
    if sync.now.s >= due_s:
        bumped = replace(
            facts,
            phase=ContainerPhase.ABSENT,
            backoff_s=next_backoff_s(backoff_s),
            backoff_bumped_s=sync.now.s,
        )
        return _pull(bumped, plan, sync)
    if facts.replaced:  # not at once, but as if it had ended by itself
        return replace(facts, replaced=False)
    sync.wake(due_s)
    if facts.waiting is not None:
        return facts
    pod = sync.pod.metadata
    where = f"{pod.name}_{pod.namespace}({pod.uid})"
    sync.warning(
        "BackOff",
        f"Back-off restarting failed container {plan.name} in pod {where}",
        plan.field_path,
    )
    text = f"back-off {go_duration(backoff_s)} restarting failed container={plan.name} pod={where}"
    return replace(facts, waiting=Waiting(WaitingReason.CRASH_LOOP_BACK_OFF, text))


def next_backoff_s(backoff_s: float) -> float:
    """The delay after `backoff_s` (0: none yet): 10 s, doubling, at most 300 s."""
    return min(BACKOFF_CAP_S, 2 * backoff_s) if backoff_s else BACKOFF_START_S


# --- names of images and containers ---


def container_id(pod_uid: str, name: str, attempt: int) -> str:
    """`fake://<64 hex digits>`: the same for the same attempt, whoever computes it."""
    digest = hashlib.sha256(f"{pod_uid}/{name}/{attempt}".encode()).hexdigest()
    return f"fake://{digest}"


@lru_cache(maxsize=1024)
def image_id(image: str) -> str:
    """The reference with a digest made from it, as runtimes report what they run."""
    if "@" in image:
        return image
    repository, _, tag = image.rpartition(":")
    name = image if not repository or "/" in tag else repository
    return f"{name}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"


@lru_cache(maxsize=1024)
def valid_reference(image: str) -> bool:
    """Whether an image reference can be parsed."""
    return _REFERENCE.fullmatch(image) is not None
