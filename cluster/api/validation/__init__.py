"""Validation of objects (spec api-machinery, sections 5 and 18; daemonset-controller, 12).

Objects are expected decoded and defaulted. The result is a list of causes in the order in which
Kubernetes reports them, at most `causes.MAX_CAUSES`; empty means valid. Kinds without rules of
their own get the rules of metadata and the ``required`` fields of their schema.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.validation import (
    core,
    daemonset,
    node,
    pod,
    policy,
    required_fields,
    workloads,
)
from kubeherd.cluster.api.validation import objectmeta as metadata
from kubeherd.cluster.api.validation.causes import collected

_Create = Callable[[JsonObject], list[Cause]]
_Update = Callable[[JsonObject, JsonObject], list[Cause]]


@dataclass(frozen=True)
class _Rules:
    """The rules of a kind beyond its metadata.

    Without `update` an update follows the rules of `create`; a subresource that is not listed
    (``status`` of most kinds) has no rules but those of metadata.
    """

    create: _Create
    update: _Update | None = None
    subresources: Mapping[str, _Update] = field(default_factory=dict)


_RULES: dict[str, _Rules] = {
    "pods": _Rules(
        pod.create_pod,
        pod.update_pod,
        {
            "status": pod.update_pod_status,
            "ephemeralcontainers": pod.update_ephemeral_containers,
            "resize": pod.update_resize,
        },
    ),
    "nodes": _Rules(node.create_node, node.update_node, {"status": node.update_node}),
    "namespaces": _Rules(
        core.create_namespace,
        None,
        {"status": core.update_namespace_status, "finalize": core.update_namespace_finalize},
    ),
    "configmaps": _Rules(core.create_config_map, core.update_config_map),
    "secrets": _Rules(core.create_secret, core.update_secret),
    "services": _Rules(core.create_service, core.update_service),
    "resourcequotas": _Rules(core.create_resource_quota, core.update_resource_quota),
    "events": _Rules(core.create_event),
    "events.events.k8s.io": _Rules(core.create_events_event),
    "leases.coordination.k8s.io": _Rules(core.create_lease),
    "podtemplates": _Rules(workloads.create_pod_template),
    "daemonsets.apps": _Rules(
        daemonset.create_daemon_set,
        daemonset.update_daemon_set,
        {"status": daemonset.update_daemon_set_status},
    ),
    "controllerrevisions.apps": _Rules(
        workloads.create_controller_revision, workloads.update_controller_revision
    ),
    "deployments.apps": _Rules(workloads.create_deployment, workloads.update_deployment),
    "replicasets.apps": _Rules(workloads.create_replica_set, workloads.update_replica_set),
    "statefulsets.apps": _Rules(workloads.create_stateful_set, workloads.update_stateful_set),
    "jobs.batch": _Rules(workloads.create_job, workloads.update_job),
    "cronjobs.batch": _Rules(workloads.create_cron_job),
    "priorityclasses.scheduling.k8s.io": _Rules(
        policy.create_priority_class, policy.update_priority_class
    ),
    "poddisruptionbudgets.policy": _Rules(policy.create_disruption_budget),
    "roles.rbac.authorization.k8s.io": _Rules(policy.create_role),
    "clusterroles.rbac.authorization.k8s.io": _Rules(policy.create_cluster_role),
    "rolebindings.rbac.authorization.k8s.io": _Rules(
        policy.create_role_binding, policy.update_role_binding
    ),
    "clusterrolebindings.rbac.authorization.k8s.io": _Rules(
        policy.create_cluster_role_binding, policy.update_cluster_role_binding
    ),
}


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
    causes = metadata.create(resource, tree.get("metadata") or {})
    rules = _RULES.get(resource.group_resource)
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
    causes = metadata.update(new.get("metadata") or {}, old.get("metadata") or {})
    rules = _RULES.get(resource.group_resource)
    if subresource:
        rule = rules.subresources.get(subresource) if rules is not None else None
        return causes + (rule(new, old) if rule is not None else [])
    if rules is None:
        return causes + required_fields.check(resource, new)
    return causes + (rules.update(new, old) if rules.update else rules.create(new))
