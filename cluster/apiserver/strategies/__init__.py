"""What distinguishes the kinds of Kubernetes in create, update and delete.

`base.Strategy` is what most kinds do; a kind with rules of its own has a module here. `strategies.
of(resource)` is the only way in.
"""

from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.strategies import (
    batch,
    customresource,
    daemonset,
    namespace,
    node,
    pod,
    service,
    serviceaccount,
    signingrequest,
    volumes,
    workload,
)
from kubeherd.cluster.apiserver.strategies.base import Strategy

_OWN: dict[str, type[Strategy]] = {
    "pods": pod.PodStrategy,
    "nodes": node.NodeStrategy,
    "namespaces": namespace.NamespaceStrategy,
    "serviceaccounts": serviceaccount.ServiceAccountStrategy,
    "services": service.ServiceStrategy,
    "daemonsets.apps": daemonset.DaemonSetStrategy,
    "persistentvolumeclaims": volumes.ClaimStrategy,
    "persistentvolumes": volumes.VolumeStrategy,
    "certificatesigningrequests.certificates.k8s.io": signingrequest.SigningRequestStrategy,
    "deployments.apps": workload.DeploymentStrategy,
    "endpointslices.discovery.k8s.io": workload.EndpointSliceStrategy,
    "priorityclasses.scheduling.k8s.io": workload.PriorityClassStrategy,
    "apiservices.apiregistration.k8s.io": workload.ServersOwnStrategy,
    "csidrivers.storage.k8s.io": workload.CSIDriverStrategy,
    "leases.coordination.k8s.io": workload.LeaseStrategy,
    "volumeattachments.storage.k8s.io": workload.StatusOnlyStrategy,
    "servicecidrs.networking.k8s.io": workload.ServiceCIDRStrategy,
    "resourceclaims.resource.k8s.io": workload.StatusOnlyStrategy,
    "flowschemas.flowcontrol.apiserver.k8s.io": workload.StatusOnlyStrategy,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": workload.StatusOnlyStrategy,
    "validatingadmissionpolicies.admissionregistration.k8s.io": workload.StatusOnlyStrategy,
    "jobs.batch": batch.JobStrategy,
    "customresourcedefinitions.apiextensions.k8s.io": customresource.DefinitionStrategy,
}


def of(resource: Resource) -> Strategy:
    """The strategy of a resource: its own, or the common one with the flags of its kind."""
    return _OWN.get(resource.group_resource, Strategy)(resource)


__all__ = ["Strategy", "of"]
