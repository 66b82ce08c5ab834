"""What the containers of pods do while faults of pods are in force. Pure.

A fault changes the plans by which the pod machine lets containers behave, of pods that run already
as well; what follows from that (back-off, events, reasons, recovery) is the machine's own.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from msgspec.structs import replace

from kubeherd.agents.faking.annotations import Behaviour
from kubeherd.agents.pods.plans import ContainerPlan, Role
from kubeherd.agents.pods.sync import HurtPods
from kubeherd.cluster.api import labels
from kubeherd.cluster.api.objects import Pod
from kubeherd.faults import effects
from kubeherd.faults.effects import PodEffect

_SERVING = (Role.REGULAR, Role.SIDECAR)

_Hurt = tuple[PodEffect, Callable[[Pod], bool]]


def hurting(pod_effects: Sequence[PodEffect], images: Collection[str]) -> HurtPods:
    """What changes the plans of a pod while these are in force; `images` are those on the node."""
    return partial(_hurt, [(effect, _chosen(effect)) for effect in pod_effects], images)


def _chosen(effect: PodEffect) -> Callable[[Pod], bool]:
    selector, namespace = labels.parse(effect.selector), effect.namespace
    names = frozenset(effect.names)

    def chosen(pod: Pod) -> bool:
        metadata = pod.metadata
        return (
            namespace in ("", metadata.namespace)
            and selector.matches(metadata.labels)
            and (not names or f"{metadata.namespace}/{metadata.name}" in names)
        )

    return chosen


def _hurt(
    hurts: Sequence[_Hurt], images: Collection[str], pod: Pod, plans: list[ContainerPlan]
) -> list[ContainerPlan]:
    for effect, chosen in hurts:
        if chosen(pod):
            plans = [
                replace(plan, behaviour=_behaviour(effect, pod, plan, images)) for plan in plans
            ]
    return plans


def _behaviour(
    effect: PodEffect, pod: Pod, plan: ContainerPlan, images: Collection[str]
) -> Behaviour:
    behaviour = plan.behaviour
    match effect:
        case effects.PodCrash() if plan.role in _SERVING and not _ends_sooner(plan, effect.after_s):
            return replace(
                behaviour,
                crash_after_s=effect.after_s,
                crash_times=None,
                exit_code=effect.exit_code,
            )
        case effects.PodUnready() if plan.role in _SERVING:
            return replace(behaviour, fail_readiness=True)
        case effects.PodPullFailure() if plan.pull_policy == "Always" or plan.image not in images:
            return replace(behaviour, pull_error=behaviour.pull_error or _unreachable(plan.image))
        case effects.PodSlowStart():
            return replace(behaviour, start_delay_s=behaviour.start_delay_s + effect.delay_s)
        case effects.PodStuckTerminating() if pod.metadata.deletion_timestamp is not None:
            return replace(behaviour, unkillable=True)
    return behaviour


def _ends_sooner(plan: ContainerPlan, after_s: float) -> bool:
    """Whether the container ends by itself before it would crash."""
    program = plan.program
    own_s = plan.behaviour.run_for_s
    if program is not None and not plan.behaviour.ends:
        own_s = program.ends_s
    return own_s is not None and own_s < after_s


def _unreachable(image: str) -> str:
    """What containerd says when it does not reach the registry."""
    return (
        f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
        "failed to do request: dial tcp: i/o timeout"
    )
