"""Which controllers there are: a name and where its class is, imported when it is wanted.

Names are those of kube-controller-manager where it has the controller. To add one, add a line: the
attribute is called with `controller.manager.Context` and returns a `controller.manager.Controller`.
One that is of no use before some object exists gets a line in `ON_DEMAND` as well.
"""

from collections.abc import Mapping
from importlib import import_module

from kubeherd.cluster.api.kinds import REPLICASETS, REPLICATIONCONTROLLERS
from kubeherd.cluster.api.kinds import STATEFULSETS
from kubeherd.cluster.api.kinds import ENDPOINTS, SERVICES
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.api.kinds import JOBS
from kubeherd.cluster.api.kinds import CRONJOBS, HORIZONTALPODAUTOSCALERS, PODDISRUPTIONBUDGETS
from kubeherd.cluster.api.storageobjects import CLAIMS, VOLUMES
from kubeherd.cluster.api.kinds import DEPLOYMENTS, REPLICASETS, REPLICATIONCONTROLLERS
from kubeherd.controller.manager import Context, Controller, Factory
from kubeherd.controller.ondemand import OnDemand, Wake

_PACKAGE = "kubeherd.controller"

CONTROLLERS: Mapping[str, str] = {
    "daemonset-controller": "daemonset.controller:DaemonSetController",
    "deployment-controller": "deployment.controller:DeploymentController",
    "replicaset-controller": "replicaset.controller:ReplicaSetController",
    "replicationcontroller-controller": "replicaset.controller:ReplicationManager",
    "scheduler": "scheduler.controller:Scheduler",
    "node-lifecycle-controller": "nodes.controller:NodeLifecycleController",
    "taint-eviction-controller": "tainteviction.controller:TaintEvictionController",
    "pod-garbage-collector-controller": "podgc.controller:PodGarbageCollector",
    "garbage-collector-controller": "garbage.controller:GarbageCollector",
    "namespace-controller": "namespace.controller:NamespaceController",
    "serviceaccount-controller": "serviceaccount.controller:ServiceAccountController",
    "root-ca-certificate-publisher-controller": ("serviceaccount.rootca:RootCAPublisher"),
    "persistentvolumeclaim-protection-controller": "storageprotection.controller:ClaimProtection",
    "persistentvolume-protection-controller": "storageprotection.controller:VolumeProtection",
    "volumeattributesclass-protection-controller": "storageprotection.controller:ClassProtection",
    "persistentvolume-binder-controller": "volume.controller:VolumeBinder",
    "resourcequota-controller": "quota.controller:QuotaController",
    "serviceaccount-token-controller": "serviceaccount.tokens:TokensController",
    "certificatesigningrequest-approving-controller": (
        "certificates.controller:ApprovingController"
    ),
    "certificatesigningrequest-signing-controller": "certificates.controller:SigningController",
    "disruption-controller": "disruption.controller:DisruptionController",
    "clusterrole-aggregation-controller": (
        "clusterroles.controller:ClusterRoleAggregationController"
    ),
    "statefulset-controller": "statefulset.controller:StatefulSetController",
}

ON_DEMAND: Mapping[str, Wake] = {
    "deployment-controller": Wake((DEPLOYMENTS,)),
    "replicaset-controller": Wake((REPLICASETS,)),
    "replicationcontroller-controller": Wake((REPLICATIONCONTROLLERS,)),
    "statefulset-controller": Wake((STATEFULSETS,)),
    "endpoints-controller": "endpoints.endpoints:EndpointsController",
    "endpointslice-controller": "endpoints.endpointslice:EndpointSliceController",
    "endpointslice-mirroring-controller": "endpoints.mirroring:EndpointSliceMirroringController",
}


def _is_not_the_servers_own(found: PartialObject) -> bool:
    """Every cluster has the Service `kubernetes`, whose endpoints the API server itself makes."""
    return (found.metadata.namespace, found.metadata.name) != ("default", "kubernetes")


_FOR_SERVICES = Wake((SERVICES, ENDPOINTS), _is_not_the_servers_own)

ON_DEMAND: Mapping[str, Wake] = {
    "endpoints-controller": _FOR_SERVICES,
    "endpointslice-controller": _FOR_SERVICES,
    "endpointslice-mirroring-controller": _FOR_SERVICES,
    "job-controller": "job.controller:JobController",
    "ttl-after-finished-controller": "ttlafterfinished.controller:TTLAfterFinishedController",
}

ON_DEMAND: Mapping[str, Wake] = {
    # A Job that is gone may have left pods whose finalizer nobody else takes away.
    "job-controller": Wake(
        (JOBS,), pod=lambda pod: "batch.kubernetes.io/job-tracking" in pod.metadata.finalizers
    ),
    "ttl-after-finished-controller": Wake((JOBS,)),
    "cronjob-controller": "cronjob.controller:CronJobController",
    "horizontal-pod-autoscaler-controller": (
        "podautoscaler.controller:HorizontalPodAutoscalerController"
    ),
}

ON_DEMAND: Mapping[str, Wake] = {
    "cronjob-controller": Wake((CRONJOBS,)),
    "disruption-controller": Wake((PODDISRUPTIONBUDGETS,)),
    "horizontal-pod-autoscaler-controller": Wake((HORIZONTALPODAUTOSCALERS,)),
    "persistentvolume-binder-controller": Wake((CLAIMS, VOLUMES)),
}
"""Controllers that most clusters never need, and what makes each: see `ondemand`."""


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
        name: _factory(name, path)
        for name, path in CONTROLLERS.items()
        if f"-{name}" not in items and (name in items or "*" in items)
    }


def load_all() -> None:
    """Import all controllers that every cluster has, for processes forked from this one."""
    for name, path in CONTROLLERS.items():
        if name not in ON_DEMAND:
            import_module(f"{_PACKAGE}.{path.partition(':')[0]}")


def _factory(name: str, path: str) -> Factory:
    module, _, attribute = path.partition(":")

    def make(context: Context) -> Controller:
        controller: Controller = getattr(import_module(f"{_PACKAGE}.{module}"), attribute)(context)
        return controller

    wake = ON_DEMAND.get(name)
    return make if wake is None else lambda context: OnDemand(context, make, wake)
