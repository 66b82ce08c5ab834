"""The kinds that this room has rules for."""

from collections.abc import Mapping

from kubeherd.cluster.api.validation.cluster import (
    apiservice,
    certificates,
    core,
    devices,
    events,
    flowcontrol,
    limits,
    node,
    policy,
    runtimeclass,
)
from kubeherd.cluster.api.validation.rules import Rules

RULES: Mapping[str, Rules] = {
    **apiservice.RULES,
    **devices.RULES,
    **events.RULES,
    **flowcontrol.RULES,
    **runtimeclass.RULES,
    "nodes": Rules(node.create_node, node.update_node, {"status": node.update_node_status}),
    "namespaces": Rules(
        core.create_namespace,
        None,
        {"status": core.update_namespace_status, "finalize": core.update_namespace_finalize},
    ),
    "configmaps": Rules(core.create_config_map, core.update_config_map),
    "secrets": Rules(core.create_secret, core.update_secret),
    "limitranges": Rules(limits.create_limit_range),
    "resourcequotas": Rules(
        limits.create_resource_quota,
        limits.update_resource_quota,
        {"status": limits.update_resource_quota_status},
    ),
    "events": Rules(core.create_event),
    "leases.coordination.k8s.io": Rules(core.create_lease),
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
