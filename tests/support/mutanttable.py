"""Mutants: code that protects the cluster, broken on purpose, and what must notice.

Each breaks one function of a controller, the store, the API server or the client. Its experiment (a
file in `tests/data/mutants`) is run in the simulation and must show a violation of its promise.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from kubeherd.chaos.experiment import Experiment, load
from kubeherd.cluster.api.helpers.podutil import is_terminating
from kubeherd.cluster.api.helpers.scheduling import target_node_name
from kubeherd.controller.daemonset.site import NodeState
from kubeherd.controller.garbage.graph import Todo
from kubeherd.controller.nodes.taints import TaintChange
from kubeherd.history import Violation
from kubeherd.knownbugs.breaking import (
    Broken,
    as_if_kept,
    broken,
    does_nothing,
    gives,
    keeps_what_is_gone,
    of_silent_nodes,
)
from kubeherd.knownbugs.running import first_violation

EXPERIMENTS = Path(__file__).parents[1] / "data" / "mutants"
SHIPPED = Path(__file__).parents[2] / "kubeherd" / "chaos" / "experiments"

Make: TypeAlias = Callable[[Any], Any]
replace = msgspec.structs.replace


class Mutant(msgspec.Struct, frozen=True):
    """`seed` is one with which the experiment shows a violation of `promise`."""

    id: str
    where: str
    what: str
    make: Make
    experiment: str
    promise: str
    seed: int = 1


def experiment(name: str) -> Experiment:
    """An experiment for mutants, or one that is shipped."""
    own = EXPERIMENTS / f"{name}.yaml"
    return load(own if own.exists() else SHIPPED / f"{name}.yaml")


def caught(mutant: Mutant, seed: int, name: str = "") -> Violation | None:
    """The first promise that the mutant breaks in its experiment (or that of this name)."""
    with broken(Broken(mutant.where, mutant.make)):
        return first_violation(experiment(name or mutant.experiment), seed)


def _one_more_unavailable(old: Any) -> Any:
    return lambda placement, most, gate: old(placement, most + 1, gate)


def _without_empty_nodes(_old: Any) -> Any:
    without = (NodeState.EMPTY, NodeState.NOT_OK)
    return lambda placement: placement.how_many(
        lambda rolling: rolling.unavailable and rolling.state not in without
    )


def _beside_terminating(old: Any) -> Any:
    def manage(placement: Any, *args: Any) -> Any:
        managed = old(placement, *args)
        pods = placement.pods.values()
        nodes = {target_node_name(pod) for pod in pods} - set(managed.creates)
        living = {target_node_name(pod) for pod in pods if not is_terminating(pod)}
        managed.creates += sorted(nodes - living)
        return managed

    return manage


def _one_too_many(old: Any) -> Any:
    return lambda observed, pods, surplus, age_s: old(
        observed, pods, surplus + 1 if surplus else 0, age_s
    )


def _moved_by(step: int) -> Make:
    return lambda old: lambda deployment: old(deployment) + step


def _one_ordinal_more(old: Any) -> Any:
    return lambda of: range(old(of).start, old(of).stop + 1)


def _noted_for_ever(old: Any) -> Any:
    def settled(status: Any, uids: Any) -> Any:
        noted = status.uncounted_terminated_pods
        return replace(old(status, uids), uncounted_terminated_pods=noted)

    return settled


def _probed_at_creation(old: Any) -> Any:
    def observe(known: Any, node: Any, renew_time: Any, now_s: float, created_s: float) -> Any:
        seen = old(known, node, renew_time, now_s, created_s)
        return seen if known else replace(seen, probe_s=created_s)

    return observe


def _shown_anyway(_old: Any) -> Any:
    return lambda self, group, _error, _why: self._publish(group)


def _forgets_dependents(old: Any) -> Any:
    def remove(self: Any, uid: str) -> Todo:
        old(self, uid)
        return Todo()

    return remove


def _never_blocks(old: Any) -> Any:
    def present(*args: Any) -> Any:
        return replace(old(*args), blocks=False)

    return present


MUTANTS = (
    Mutant("daemons-budget", "controller.daemonset.strategy:without_surge",
           "one node more than maxUnavailable", _one_more_unavailable,
           "daemons", "daemonset-budget"),
    Mutant("daemons-empty-nodes", "controller.daemonset.strategy:unavailable",
           "a node without a pod does not count as unavailable", _without_empty_nodes,
           "daemons", "daemonset-budget"),
    Mutant("daemons-beside-terminating", "controller.daemonset.manage:manage",
           "a node gets its pod before the old one is gone", _beside_terminating,
           "daemons", "daemonset-one-pod-per-node", 2),
    Mutant("min-ready-seconds", "cluster.api.helpers.podutil:is_available",
           "a ready pod is available at once",
           lambda old: lambda pod, _min_ready_s, age_s: old(pod, 0, age_s),
           "daemons", "daemonset-budget"),
    Mutant("replicas-surplus", "controller.replicaset.plan:_to_delete",
           "one pod more than is too many is deleted", _one_too_many,
           "replicas", "replicaset-deletes-only-surplus"),
    Mutant("replicas-ended", "controller.workload.pods.activepods:active_pods",
           "pods that have ended or are ending count, too", lambda _old: list,
           "replicas", "replicaset-deletes-only-surplus"),
    Mutant("replicas-unseen-writes", "controller.workload.written:Written.wait_seen",
           "a sync does not wait until the cache shows its own writes", does_nothing,
           "behind", "replicaset-makes-only-missing"),
    Mutant("replicas-new-names", "controller.workload.pods.podnames:PodNames.unanswered",
           "a create without an answer is repeated under another name", gives(None),
           "behind", "replicaset-makes-only-missing"),
    Mutant("deployment-surge", "controller.deployment.limits:max_replicas",
           "one pod more than maxSurge", _moved_by(1),
           "replicas", "deployment-budget"),
    Mutant("deployment-unavailable", "controller.deployment.limits:min_available",
           "one available pod less", _moved_by(-1),
           "replicas", "deployment-budget"),
    Mutant("identities-ordinals", "controller.statefulset.identity:ordinals",
           "one ordinal too many", _one_ordinal_more,
           "identities", "statefulset-one-pod-per-identity"),
    Mutant("identities-order", "controller.statefulset.replicas:present",
           "nothing waits for a pod that is not ready", _never_blocks,
           "identities", "statefulset-in-order"),
    Mutant("job-noted-twice", "controller.job.tracking:settled",
           "what is counted stays noted", _noted_for_ever,
           "work", "job-counts-once"),
    Mutant("job-keeps-finalizers", "controller.job.sync:Sync._untrack",
           "a pod is counted, and keeps its finalizer", does_nothing,
           "work", "job-counts-once"),
    Mutant("silence-too-short", "controller.nodes.health:is_silent",
           "a node is silent after 15 s",
           lambda _old: lambda health, now_s: now_s > health.probe_s + 15,
           "silence", "silence-is-waited-for"),
    Mutant("silence-of-the-server", "controller.nodes.health:observe",
           "a controller that starts gives no fresh grace period", _probed_at_creation,
           "silence", "silence-is-waited-for"),
    Mutant("podgc-unreachable", "controller.podgc.controller:PodGarbageCollector._collect_orphans",
           "pods of unreachable nodes are collected, not those of nodes that are gone",
           of_silent_nodes,
           "silence", "pods-end-where-they-run"),
    Mutant("podgc-away", "controller.podgc.controller:PodGarbageCollector._collect_orphans",
           "pods of nodes that are gone stay", does_nothing,
           "silence", "daemonsets-settle"),
    Mutant("taints-stay", "controller.nodes.taints:clear_change",
           "a node that is back keeps its taint", gives(TaintChange()),
           "silence", "nodes-recover", 2),
    Mutant("orphans-stay", "controller.garbage.graph:Graph.remove",
           "nobody looks at what belonged to an object that goes", _forgets_dependents,
           "silence", "orphans-are-collected"),
    Mutant("scheduler-taints", "cluster.api.helpers.scheduling:first_untolerated",
           "the scheduler sees no taints", gives(None),
           "silence", "pods-bound-where-they-may-run"),
    Mutant("no-fence", "cluster.apiserver.write.fencing:check",
           "what a deposed leader writes is stored", gives(None),
           "terms", "only-the-leader-writes", 5),
    Mutant("informer-misses-deletes", "cluster.client.reflector:Reflector._replace",
           "a new list takes nothing out of the cache", keeps_what_is_gone,
           "forgotten", "daemonsets-settle", 3),
    Mutant("compaction-untold", "cluster.store.watch.history:History.since",
           "a watch from before the compaction begins after it", as_if_kept,
           "forgotten", "replicasets-settle"),
    Mutant("rolled-back-and-shown", "cluster.store.local:LocalStore._roll_back",
           "what could not be stored is shown all the same", _shown_anyway,
           "disk", "immutable-fields-stay", 9),
)  # fmt: skip
