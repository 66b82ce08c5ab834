"""Defaults that the API server writes into objects (spec api-machinery, section 17).

Invariants: idempotent, in place, and never changes a value that is there (quantities finer than
a milli unit excepted). What belongs to create strategies and admission (phase, QoS class,
generation, default tolerations, priority) is not here.
"""

from collections.abc import Callable

from kubeherd.cluster.api.defaults import (
    admissionregistration,
    autoscaling,
    batch,
    core,
    flowcontrol,
    networking,
    policy,
    storage,
    workloads,
)
from kubeherd.cluster.api.defaults import resource as devices
from kubeherd.cluster.api.defaults.output import fill, fill_status
from kubeherd.cluster.api.defaults.pod import default_pod, default_pod_status
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS, Resource

_DEFAULTERS: dict[str, Callable[[JsonObject], None]] = {
    "pods": default_pod,
    "podtemplates": workloads.pod_template,
    "replicationcontrollers": workloads.replication_controller,
    "daemonsets.apps": workloads.daemon_set,
    "deployments.apps": workloads.deployment,
    "replicasets.apps": workloads.replica_set,
    "statefulsets.apps": workloads.stateful_set,
    "jobs.batch": batch.job,
    "cronjobs.batch": batch.cron_job,
    "services": core.service,
    "secrets": core.secret,
    "nodes": core.node,
    "namespaces": core.namespace,
    "endpoints": core.endpoints,
    "persistentvolumeclaims": core.persistent_volume_claim,
    "persistentvolumes": core.persistent_volume,
    "limitranges": core.limit_range,
    "resourcequotas": core.resource_quota,
    "rolebindings.rbac.authorization.k8s.io": policy.role_binding,
    "clusterrolebindings.rbac.authorization.k8s.io": policy.role_binding,
    "priorityclasses.scheduling.k8s.io": policy.priority_class,
    "networkpolicies.networking.k8s.io": networking.network_policy,
    "ingressclasses.networking.k8s.io": networking.ingress_class,
    "endpointslices.discovery.k8s.io": networking.endpoint_slice,
    "storageclasses.storage.k8s.io": storage.storage_class,
    "csidrivers.storage.k8s.io": storage.csi_driver,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": (
        admissionregistration.validating_webhooks
    ),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": (
        admissionregistration.mutating_webhooks
    ),
    "validatingadmissionpolicies.admissionregistration.k8s.io": (
        admissionregistration.admission_policy
    ),
    "mutatingadmissionpolicies.admissionregistration.k8s.io": (
        admissionregistration.admission_policy
    ),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": (
        admissionregistration.admission_policy_binding
    ),
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": (
        admissionregistration.admission_policy_binding
    ),
    "apiservices.apiregistration.k8s.io": admissionregistration.api_service,
    "flowschemas.flowcontrol.apiserver.k8s.io": flowcontrol.flow_schema,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": flowcontrol.priority_level,
    "resourceclaims.resource.k8s.io": devices.resource_claim,
    "resourceclaimtemplates.resource.k8s.io": devices.resource_claim_template,
    "customresourcedefinitions.apiextensions.k8s.io": core.custom_resource_definition,
}


def apply(resource: Resource, tree: JsonObject) -> None:
    """Write the defaults of `resource` into a decoded object.

    Also fills in what Kubernetes always prints: ``lastProbeTime: null`` of a pod's conditions,
    the zero counters of a DaemonSet's status, empty structs (see `defaults.output`).
    """
    if tree.get("metadata") is None:
        tree["metadata"] = {}
    if resource.custom is not None:
        resource.custom.default(tree)
        return
    defaulter = _DEFAULTERS.get(resource.group_resource)
    if defaulter is not None:
        defaulter(tree)
    elif resource.group == "autoscaling":
        autoscaling.horizontal_pod_autoscaler(resource, tree)
    fill(resource, tree)


def apply_to_status(resource: Resource, tree: JsonObject) -> None:
    """`apply` to an object that may lack what a write to its status does not change. What that is
    worth is known of pods, whose spec is large: their status and metadata get all of it."""
    if resource is not PODS or "spec" in tree:
        apply(resource, tree)
        return
    default_pod_status(tree.get("status") or {})
    fill_status(resource, tree)
