"""Validation of objects (spec api-machinery, sections 5 and 18; daemonset-controller, 12).

Objects are expected decoded and defaulted. The result is a list of causes in the order in which
Kubernetes reports them, at most `causes.MAX_CAUSES`; empty means valid. Kinds without rules of
their own get the rules of metadata and the ``required`` fields of their schema.
"""

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.validation import (
    admissionpolicies,
    apiservice,
    autoscaling,
    batch,
    certificates,
    claims,
    core,
    daemonset,
    devices,
    discovery,
    endpoints,
    events,
    flowcontrol,
    ingress,
    limits,
    networking,
    node,
    persistentvolumes,
    pod,
    policy,
    replicationcontroller,
    required_fields,
    runtimeclass,
    service,
    storage,
    webhooks,
    workloads,
    workloadstatus,
)
from kubeherd.cluster.api.validation import objectmeta as metadata
from kubeherd.cluster.api.validation.causes import collected
from kubeherd.cluster.api.validation.rules import Rules

_RULES: dict[str, Rules] = {
    **admissionpolicies.RULES,
    **apiservice.RULES,
    **autoscaling.RULES,
    **batch.RULES,
    **devices.RULES,
    **discovery.RULES,
    **events.RULES,
    **flowcontrol.RULES,
    **ingress.RULES,
    **networking.RULES,
    **runtimeclass.RULES,
    **storage.RULES,
    **webhooks.RULES,
    "pods": Rules(
        pod.create_pod,
        pod.update_pod,
        {
            "status": pod.update_pod_status,
            "ephemeralcontainers": pod.update_ephemeral_containers,
            "resize": pod.update_resize,
        },
    ),
    "nodes": Rules(node.create_node, node.update_node, {"status": node.update_node_status}),
    "namespaces": Rules(
        core.create_namespace,
        None,
        {"status": core.update_namespace_status, "finalize": core.update_namespace_finalize},
    ),
    "configmaps": Rules(core.create_config_map, core.update_config_map),
    "secrets": Rules(core.create_secret, core.update_secret),
    "services": Rules(
        service.create_service, service.update_service, {"status": service.update_service_status}
    ),
    "persistentvolumes": Rules(
        persistentvolumes.create_persistent_volume, persistentvolumes.update_persistent_volume
    ),
    "persistentvolumeclaims": Rules(
        claims.create_claim, claims.update_claim, {"status": claims.update_claim_status}
    ),
    "replicationcontrollers": Rules(
        replicationcontroller.create_replication_controller,
        None,
        {"status": replicationcontroller.update_replication_controller_status},
    ),
    "endpoints": Rules(endpoints.create_endpoints, endpoints.update_endpoints),
    "limitranges": Rules(limits.create_limit_range),
    "resourcequotas": Rules(
        limits.create_resource_quota,
        limits.update_resource_quota,
        {"status": limits.update_resource_quota_status},
    ),
    "events": Rules(core.create_event),
    "leases.coordination.k8s.io": Rules(core.create_lease),
    "podtemplates": Rules(workloads.create_pod_template),
    "daemonsets.apps": Rules(
        daemonset.create_daemon_set,
        daemonset.update_daemon_set,
        {"status": daemonset.update_daemon_set_status},
    ),
    "controllerrevisions.apps": Rules(
        workloads.create_controller_revision, workloads.update_controller_revision
    ),
    "deployments.apps": Rules(
        workloads.create_deployment,
        workloads.update_deployment,
        {"status": workloadstatus.update_deployment_status},
    ),
    "replicasets.apps": Rules(
        workloads.create_replica_set,
        workloads.update_replica_set,
        {"status": workloadstatus.update_replica_set_status},
    ),
    "statefulsets.apps": Rules(
        workloads.create_stateful_set,
        workloads.update_stateful_set,
        {"status": workloadstatus.update_stateful_set_status},
    ),
    "priorityclasses.scheduling.k8s.io": Rules(
        policy.create_priority_class, policy.update_priority_class
    ),
    "poddisruptionbudgets.policy": Rules(policy.create_disruption_budget),
    "certificatesigningrequests.certificates.k8s.io": Rules(
        certificates.create_signing_request,
        certificates.update_signing_request,
        {"approval": certificates.update_approval, "status": certificates.update_status},
    ),
    "roles.rbac.authorization.k8s.io": Rules(policy.create_role),
    "clusterroles.rbac.authorization.k8s.io": Rules(policy.create_cluster_role),
    "rolebindings.rbac.authorization.k8s.io": Rules(
        policy.create_role_binding, policy.update_role_binding
    ),
    "clusterrolebindings.rbac.authorization.k8s.io": Rules(
        policy.create_cluster_role_binding, policy.update_cluster_role_binding
    ),
}


_METADATA_LAST = frozenset({"events"})
"""Kinds whose own rules leave metadata to those of every kind, which are asked only if there is
nothing else to say."""


_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


def _create_definition(resource: Resource, tree: JsonObject) -> list[Cause]:
    """The rules of CustomResourceDefinitions, which few clusters have."""
    from kubeherd.cluster.api.customresources import definitionrules  # noqa: PLC0415 - large

    return definitionrules.create(resource, tree)


def _update_definition(new: JsonObject, old: JsonObject, subresource: str) -> list[Cause]:
    from kubeherd.cluster.api.customresources import definitionrules  # noqa: PLC0415 - large

    return definitionrules.update(new, old, subresource)


def create(resource: Resource, tree: JsonObject) -> list[Cause]:
    """The causes for which a new object is refused."""
    return collected(lambda: _create_causes(resource, tree))


def _create_causes(resource: Resource, tree: JsonObject) -> list[Cause]:
    if resource.custom is not None:
        return resource.custom.create_causes(resource, tree)
    if resource.group_resource == _DEFINITIONS:
        return _create_definition(resource, tree)
    rules = _RULES.get(resource.group_resource)
    if resource.group_resource in _METADATA_LAST and rules is not None:
        return rules.create(tree) or metadata.create(resource, tree.get("metadata") or {})
    causes = metadata.create(resource, tree.get("metadata") or {})
    if rules is not None:
        return causes + rules.create(tree)
    return causes + required_fields.check(resource, tree)


def update(
    resource: Resource, new: JsonObject, old: JsonObject, subresource: str = ""
) -> list[Cause]:
    """The causes for which `new` may not replace `old`, through the object or a subresource."""
    return collected(lambda: _update_causes(resource, new, old, subresource))


def _update_causes(
    resource: Resource, new: JsonObject, old: JsonObject, subresource: str
) -> list[Cause]:
    if resource.custom is not None:
        return resource.custom.update_causes(new, old, subresource)
    if resource.group_resource == _DEFINITIONS:
        return _update_definition(new, old, subresource)
    causes = metadata.update(
        resource, new.get("metadata") or {}, old.get("metadata") or {}, subresource
    )
    rules = _RULES.get(resource.group_resource)
    if subresource:
        rule = rules.subresources.get(subresource) if rules is not None else None
        return causes + (rule(new, old) if rule is not None else [])
    if rules is None:
        return causes + required_fields.check(resource, new)
    return causes + (rules.update(new, old) if rules.update else rules.create(new))
