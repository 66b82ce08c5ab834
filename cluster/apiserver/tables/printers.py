"""Which printer a kind has; kinds without one show their name and creation time."""

from datetime import datetime

import msgspec

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.tables import (
    access,
    autoscaling,
    core,
    networking,
    nodes,
    pods,
    storage,
    workloads,
)
from kubeherd.cluster.apiserver.tables.columns import (
    CREATED_AT,
    NAME,
    Cell,
    Printer,
    member,
    name_of,
)


def _default(tree: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(tree), member(tree, "metadata").get("creationTimestamp") or ""]


DEFAULT = Printer((NAME, CREATED_AT), _default)

SCALES = msgspec.structs.replace(
    kinds.resource("apps", "v1", "deployments"), group="autoscaling", kind="Scale", plural="scales"
)
"""Scale is the form of a subresource, no resource; for tables it is one."""

_PRINTERS: dict[str, Printer] = {
    SCALES.group_resource: autoscaling.SCALES,
    "pods": pods.PODS,
    "podtemplates": pods.POD_TEMPLATES,
    "nodes": nodes.NODES,
    "leases.coordination.k8s.io": nodes.LEASES,
    "runtimeclasses.node.k8s.io": nodes.RUNTIME_CLASSES,
    "priorityclasses.scheduling.k8s.io": nodes.PRIORITY_CLASSES,
    "daemonsets.apps": workloads.DAEMON_SETS,
    "deployments.apps": workloads.DEPLOYMENTS,
    "replicasets.apps": workloads.REPLICA_SETS,
    "replicationcontrollers": workloads.REPLICA_SETS,
    "statefulsets.apps": workloads.STATEFUL_SETS,
    "controllerrevisions.apps": workloads.CONTROLLER_REVISIONS,
    "jobs.batch": workloads.JOBS,
    "cronjobs.batch": workloads.CRON_JOBS,
    "poddisruptionbudgets.policy": workloads.POD_DISRUPTION_BUDGETS,
    "namespaces": core.NAMESPACES,
    "configmaps": core.CONFIG_MAPS,
    "secrets": core.SECRETS,
    "serviceaccounts": core.NAMED,
    "events": core.EVENTS,
    "events.events.k8s.io": core.EVENTS,
    "resourcequotas": core.RESOURCE_QUOTAS,
    "componentstatuses": core.COMPONENT_STATUSES,
    "deviceclasses.resource.k8s.io": core.NAMED,
    "resourceclaimtemplates.resource.k8s.io": core.NAMED,
    "resourceclaims.resource.k8s.io": nodes.RESOURCE_CLAIMS,
    "resourceslices.resource.k8s.io": nodes.RESOURCE_SLICES,
    "services": networking.SERVICES,
    "endpoints": networking.ENDPOINTS,
    "endpointslices.discovery.k8s.io": networking.ENDPOINT_SLICES,
    "ingresses.networking.k8s.io": networking.INGRESSES,
    "ingressclasses.networking.k8s.io": networking.INGRESS_CLASSES,
    "networkpolicies.networking.k8s.io": networking.NETWORK_POLICIES,
    "ipaddresses.networking.k8s.io": networking.IP_ADDRESSES,
    "servicecidrs.networking.k8s.io": networking.SERVICE_CIDRS,
    "persistentvolumes": storage.PERSISTENT_VOLUMES,
    "persistentvolumeclaims": storage.PERSISTENT_VOLUME_CLAIMS,
    "storageclasses.storage.k8s.io": storage.STORAGE_CLASSES,
    "volumeattributesclasses.storage.k8s.io": storage.VOLUME_ATTRIBUTES_CLASSES,
    "volumeattachments.storage.k8s.io": storage.VOLUME_ATTACHMENTS,
    "csinodes.storage.k8s.io": storage.CSI_NODES,
    "csidrivers.storage.k8s.io": storage.CSI_DRIVERS,
    "rolebindings.rbac.authorization.k8s.io": access.ROLE_BINDINGS,
    "clusterrolebindings.rbac.authorization.k8s.io": access.ROLE_BINDINGS,
    "certificatesigningrequests.certificates.k8s.io": access.CERTIFICATE_SIGNING_REQUESTS,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": access.WEBHOOK_CONFIGURATIONS,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": access.WEBHOOK_CONFIGURATIONS,
    "validatingadmissionpolicies.admissionregistration.k8s.io": (
        access.VALIDATING_ADMISSION_POLICIES
    ),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": (
        access.ADMISSION_POLICY_BINDINGS
    ),
    "mutatingadmissionpolicies.admissionregistration.k8s.io": access.MUTATING_ADMISSION_POLICIES,
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": (
        access.ADMISSION_POLICY_BINDINGS
    ),
    "flowschemas.flowcontrol.apiserver.k8s.io": access.FLOW_SCHEMAS,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": access.PRIORITY_LEVELS,
    "apiservices.apiregistration.k8s.io": access.API_SERVICES,
    "horizontalpodautoscalers.autoscaling": autoscaling.HORIZONTAL_POD_AUTOSCALERS,
}


def printer(resource: Resource) -> Printer:
    """The printer of a kind."""
    if resource.custom is not None:
        from kubeherd.cluster.apiserver.customresources import printing  # noqa: PLC0415 - seldom

        return printing.printer(resource.custom)
    return _PRINTERS.get(resource.group_resource, DEFAULT)
