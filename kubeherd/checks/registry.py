"""All promises, by name, in the order in which people are told of them."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from types import MappingProxyType
from typing import Final

import msgspec

from kubeherd.checks.checker import Checker


class Kind(StrEnum):
    """When a promise is to hold, and what it takes to judge it."""

    SAFETY = "safety"
    """At every write: the writes are enough."""
    API = "api"
    """At every answer: it takes what clients asked and were told."""
    LIVENESS = "liveness"
    """When the time for convergence is over: it takes the steps of an experiment."""


class Line(msgspec.Struct, frozen=True):
    """A promise: its kind, and ``module:class`` of its checker."""

    kind: Kind
    where: str

    def load(self) -> type[Checker]:
        """The checker; imports its module."""
        module, _, name = self.where.partition(":")
        found: type[Checker] = getattr(import_module(f"kubeherd.checks.{module}"), name)
        return found


def _lines(kind: Kind, names: Mapping[str, str]) -> dict[str, Line]:
    return {name: Line(kind, where) for name, where in names.items()}


PROMISES: Final[Mapping[str, Line]] = MappingProxyType(
    {
        **_lines(
            Kind.SAFETY,
            {
                "names-and-uids-never-come-back": "safety.metadata:ExistsOnce",
                "revisions-and-generations-grow": "safety.metadata:RevisionsGrow",
                "finalizers-respected": "safety.metadata:FinalizersRespected",
                "one-owner-controls": "safety.metadata:OneController",
                "immutable-fields-stay": "safety.metadata:ImmutableFields",
                "namespaces-are-empty-when-they-go": "safety.shared:NamespaceEmpty",
                "service-addresses-are-given-once": "safety.shared:AddressesUnique",
                "volumes-are-bound-to-one-claim": "safety.shared:VolumeBoundOnce",
                "only-the-leader-writes": "safety.shared:OnlyTheLeader",
                "ended-pods-stay-ended": "safety.pods:LastPhase",
                "pods-end-where-they-run": "safety.pods:EndedByTheirNode",
                "pods-bound-where-they-may-run": "safety.pods:BoundWhereAllowed",
                "silence-is-waited-for": "safety.silence:SilenceWaitedFor",
                "disruption-budgets-respected": "safety.evictions:BudgetRespected",
                "daemonset-one-pod-per-node": "safety.daemonsets:OnePodPerNode",
                "daemonset-budget": "safety.daemonsetbudget:DaemonSetBudget",
                "daemon-pods-are-not-evicted-for-silence": "safety.daemonsets:NeverEvicted",
                "replicaset-deletes-only-surplus": "safety.replicas:OnlySurplusDeleted",
                "replicaset-makes-only-missing": "safety.replicascreated:OnlyMissingMade",
                "deployment-budget": "safety.replicas:DeploymentBudget",
                "statefulset-one-pod-per-identity": "safety.statefulsets:OnePodPerIdentity",
                "statefulset-in-order": "safety.statefulsets:InOrder",
                "job-counts-once": "safety.jobs:CountsOnce",
            },
        ),
        **_lines(
            Kind.API,
            {
                "observers-see-revisions-grow": "api.observers:RevisionsSeenGrow",
                "nothing-acknowledged-is-lost": "api.acknowledged:NothingLost",
                "nothing-refused-is-visible": "api.acknowledged:NothingRefusedVisible",
                "reads-and-writes-are-linearizable": "api.linearizability:Linearizable",
                "watch-ordered": "api.watchpromises:WatchOrdered",
                "watch-unique": "api.watchpromises:WatchUnique",
                "watch-reliable": "api.watchpromises:WatchReliable",
                "watch-resumable": "api.watchpromises:WatchResumable",
                "watch-bookmarkable": "api.watchpromises:WatchBookmarkable",
                "watch-atomic": "api.watchpromises:WatchAtomic",
                "watch-typed": "api.watchpromises:WatchTyped",
            },
        ),
        **_lines(
            Kind.LIVENESS,
            {
                "nodes-recover": "liveness.workloads:NodesRecover",
                "daemonsets-settle": "liveness.workloads:DaemonSetsSettle",
                "replicasets-settle": "liveness.workloads:ReplicaSetsSettle",
                "deployments-settle": "liveness.workloads:DeploymentsSettle",
                "statefulsets-settle": "liveness.workloads:StatefulSetsSettle",
                "jobs-finish": "liveness.workloads:JobsFinish",
                "what-is-deleted-goes": "liveness.collected:DeletedGoes",
                "orphans-are-collected": "liveness.collected:OrphansCollected",
                "controllers-stop-writing": "liveness.quiet:StopWriting",
            },
        ),
    }
)


class Unknown(ValueError):
    """There is no such promise: one line for a person."""


def of_kind(*kinds: Kind) -> Sequence[type[Checker]]:
    """The checkers of these kinds."""
    return [line.load() for line in PROMISES.values() if line.kind in kinds]


def named(*names: str) -> Sequence[type[Checker]]:
    """The checkers of these names; Unknown if there is none."""
    for name in names:
        if name not in PROMISES:
            raise Unknown(f"there is no promise {name!r}: `kubeherd check --list` names them")
    return [PROMISES[name].load() for name in names]
