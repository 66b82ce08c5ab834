"""Which controllers there are: a name and where its class is, imported when it is wanted.

Names are those of kube-controller-manager where it has the controller. To add one, add a line: the
attribute is called with `controller.manager.Context` and returns a `controller.manager.Controller`.
One that is of no use before some object exists says what wakes it: see `ondemand`.
"""

from collections.abc import Mapping
from importlib import import_module

import msgspec

from kubeherd.cluster.api.kinds import (
    CRONJOBS,
    DEPLOYMENTS,
    ENDPOINTS,
    HORIZONTALPODAUTOSCALERS,
    JOBS,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODDISRUPTIONBUDGETS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    SECRETS,
    SERVICES,
    SIGNINGREQUESTS,
    STATEFULSETS,
)
from kubeherd.cluster.api.objects import PartialObject, Pod
from kubeherd.controller.manager import Context, Controller, Factory
from kubeherd.controller.ondemand import OnDemand, Wake

SCHEDULER = "scheduler"
_PACKAGE = "kubeherd.controller"


class Line(msgspec.Struct, frozen=True):
    """Where a controller's class is, and what makes it: `wake` None: it is always there."""

    path: str
    wake: Wake | None = None


def _is_not_the_servers_own(found: PartialObject) -> bool:
    """Every cluster has the Service `kubernetes`, whose endpoints the API server itself makes."""
    return (found.metadata.namespace, found.metadata.name) != ("default", "kubernetes")


def _is_counted(pod: Pod) -> bool:
    """A Job that is gone may have left pods whose finalizer nobody else takes away."""
    return "batch.kubernetes.io/job-tracking" in pod.metadata.finalizers


def _has_ephemeral_claims(pod: Pod) -> bool:
    return any(volume.ephemeral is not None for volume in pod.spec.volumes)


def _is_bootstrap_token(found: PartialObject) -> bool:
    meta = found.metadata
    return meta.namespace == "kube-system" and meta.name.startswith("bootstrap-token-")


_SERVICES = Wake((SERVICES, ENDPOINTS), _is_not_the_servers_own)

_TOKENS = Wake((SECRETS,), _is_bootstrap_token)

CONTROLLERS: Mapping[str, Line] = {
    "daemonset-controller": Line("daemonset.controller:DaemonSetController"),
    "deployment-controller": Line(
        "deployment.controller:DeploymentController", Wake((DEPLOYMENTS,))
    ),
    "replicaset-controller": Line(
        "replicaset.controller:ReplicaSetController", Wake((REPLICASETS,))
    ),
    "replicationcontroller-controller": Line(
        "replicaset.controller:ReplicationManager", Wake((REPLICATIONCONTROLLERS,))
    ),
    "statefulset-controller": Line(
        "statefulset.controller:StatefulSetController", Wake((STATEFULSETS,))
    ),
    "job-controller": Line("job.controller:JobController", Wake((JOBS,), pod=_is_counted)),
    "cronjob-controller": Line("cronjob.controller:CronJobController", Wake((CRONJOBS,))),
    "ttl-after-finished-controller": Line(
        "ttlafterfinished.controller:TTLAfterFinishedController", Wake((JOBS,))
    ),
    "horizontal-pod-autoscaler-controller": Line(
        "podautoscaler.controller:HorizontalPodAutoscalerController",
        Wake((HORIZONTALPODAUTOSCALERS,)),
    ),
    "disruption-controller": Line(
        "disruption.controller:DisruptionController", Wake((PODDISRUPTIONBUDGETS,))
    ),
    "endpoints-controller": Line("endpoints.endpoints:EndpointsController", _SERVICES),
    "endpointslice-controller": Line("endpoints.endpointslice:EndpointSliceController", _SERVICES),
    "endpointslice-mirroring-controller": Line(
        "endpoints.mirroring:EndpointSliceMirroringController", _SERVICES
    ),
    SCHEDULER: Line("scheduler.controller:Scheduler"),
    "node-lifecycle-controller": Line("nodes.controller:NodeLifecycleController"),
    "taint-eviction-controller": Line("tainteviction.controller:TaintEvictionController"),
    "pod-garbage-collector-controller": Line("podgc.controller:PodGarbageCollector"),
    "garbage-collector-controller": Line("garbage.controller:GarbageCollector"),
    "namespace-controller": Line("namespace.controller:NamespaceController"),
    "serviceaccount-controller": Line("serviceaccount.controller:ServiceAccountController"),
    "root-ca-certificate-publisher-controller": Line("serviceaccount.rootca:RootCAPublisher"),
    "serviceaccount-token-controller": Line("serviceaccount.tokens:TokensController"),
    "persistentvolume-binder-controller": Line(
        "volume.controller:VolumeBinder", Wake((PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES))
    ),
    "ephemeral-volume-controller": Line(
        "volume.ephemeral:EphemeralVolumeController", Wake((), pod=_has_ephemeral_claims)
    ),
    "persistentvolumeclaim-protection-controller": Line(
        "storageprotection.controller:ClaimProtection"
    ),
    "persistentvolume-protection-controller": Line("storageprotection.controller:VolumeProtection"),
    "volumeattributesclass-protection-controller": Line(
        "storageprotection.controller:ClassProtection"
    ),
    "resourcequota-controller": Line("quota.controller:QuotaController"),
    "certificatesigningrequest-approving-controller": Line(
        "certificates.controller:ApprovingController"
    ),
    "certificatesigningrequest-signing-controller": Line(
        "certificates.controller:SigningController"
    ),
    "certificatesigningrequest-cleaner-controller": Line(
        "certificates.cleaner:CleanerController", Wake((SIGNINGREQUESTS,))
    ),
    "bootstrap-signer-controller": Line("bootstrap.bootstrapsigner:BootstrapSigner", _TOKENS),
    "token-cleaner-controller": Line("bootstrap.tokencleaner:TokenCleaner", _TOKENS),
    "clusterrole-aggregation-controller": Line(
        "clusterroles.controller:ClusterRoleAggregationController"
    ),
}


class UnknownController(ValueError):
    """A name in ``--controllers`` that no controller has."""


def select(wanted: str) -> dict[str, Factory]:
    """The factories for a list such as ``*``, ``*,-scheduler`` or ``daemonset-controller``.

    As kube-controller-manager's flag: ``*`` means all, ``-name`` takes one out. UnknownController
    for a name that does not exist.
    """
    items = [item.strip() for item in wanted.split(",") if item.strip()]
    for name in (item.removeprefix("-") for item in items if item != "*"):
        if name not in CONTROLLERS:
            known = ", ".join(CONTROLLERS)
            raise UnknownController(f'"{name}" is not in the list of known controllers: {known}')
    return {
        name: _factory(line)
        for name, line in CONTROLLERS.items()
        if f"-{name}" not in items and (name in items or "*" in items)
    }


def load_all() -> None:
    """Import all controllers that every cluster has, for processes forked from this one."""
    for line in CONTROLLERS.values():
        if line.wake is None:
            import_module(f"{_PACKAGE}.{line.path.partition(':')[0]}")


def _factory(line: Line) -> Factory:
    module, _, attribute = line.path.partition(":")
    wake = line.wake

    def make(context: Context) -> Controller:
        controller: Controller = getattr(import_module(f"{_PACKAGE}.{module}"), attribute)(context)
        return controller

    return make if wake is None else lambda context: OnDemand(context, make, wake)
