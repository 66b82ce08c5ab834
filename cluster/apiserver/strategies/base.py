"""The common strategy: metadata.generation, status kept apart, what a delete answers.

Source: spec api-machinery, sections 4, 6, 9. Strategies change trees in place and do no I/O.
Invariant: after `prepare_update` the status is the old one (kinds with a status subresource), after
`prepare_status` everything but the status and the freely writable metadata is the old object's.
"""

from datetime import datetime

from kubeherd.cluster.api.defaults import output
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.strategies import disabledfields
from kubeherd.cluster.apiserver.write import deletion
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.deletion import DeleteOptions, DeletePlan

_RETURNS_OBJECT = frozenset({
    "pods", "namespaces", "serviceaccounts", "services", "persistentvolumes",
    "persistentvolumeclaims", "resourcequotas", "podtemplates",
})  # fmt: skip
_RETURNS_OBJECT_GROUPS = frozenset({"storage.k8s.io", "resource.k8s.io"})
_RETURNS_STATUS = "csistoragecapacities.storage.k8s.io"

_GENERATION = frozenset({
    "daemonsets.apps", "deployments.apps", "replicasets.apps", "statefulsets.apps",
    "replicationcontrollers", "podtemplates", "jobs.batch", "cronjobs.batch",
    "poddisruptionbudgets.policy", "ingresses.networking.k8s.io",
    "ingressclasses.networking.k8s.io", "networkpolicies.networking.k8s.io",
    "endpointslices.discovery.k8s.io",
    "priorityclasses.scheduling.k8s.io", "deviceclasses.resource.k8s.io",
    "resourceslices.resource.k8s.io", "flowschemas.flowcontrol.apiserver.k8s.io",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "mutatingadmissionpolicies.admissionregistration.k8s.io",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
})  # fmt: skip

_CREATE_ON_UPDATE = frozenset({
    "endpoints", "events", "events.events.k8s.io", "leases.coordination.k8s.io", "limitranges",
    "runtimeclasses.node.k8s.io", "roles.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io", "services",
})  # fmt: skip

_NO_UNCONDITIONAL_UPDATE = frozenset({
    "leases.coordination.k8s.io", "poddisruptionbudgets.policy", "csidrivers.storage.k8s.io",
    "csinodes.storage.k8s.io", "csistoragecapacities.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "mutatingadmissionpolicies.admissionregistration.k8s.io",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
    "runtimeclasses.node.k8s.io", "apiservices.apiregistration.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
})  # fmt: skip

_KEPT_BY_STATUS_WRITE = (
    "labels", "annotations", "finalizers", "managedFields", "resourceVersion", "uid",
)  # fmt: skip
"""A uid only to be refused, if it is that of another object."""


def returns_deleted_object(resource: Resource) -> bool:
    """Whether the answer to DELETE is the object that is gone, as it is for some kinds of
    Kubernetes, rather than a Status."""
    key = resource.group_resource
    return resource.custom is None and (
        (key in _RETURNS_OBJECT or resource.group in _RETURNS_OBJECT_GROUPS)
        and key != _RETURNS_STATUS
    )


class Strategy:
    """Rules of one kind; see the subclasses for kinds with more to them."""

    def __init__(self, resource: Resource) -> None:
        key = resource.group_resource
        self.resource = resource
        self.has_status = resource.subresource("status") is not None
        self.tracks_generation = key in _GENERATION
        self.allows_create_on_update = key in _CREATE_ON_UPDATE
        self.allows_unconditional_update = key not in _NO_UNCONDITIONAL_UPDATE
        self.returns_deleted_object = returns_deleted_object(resource)

    def initial_status(self, tree: JsonObject) -> JsonObject | None:
        """The status of a new object whatever the client sent; None keeps what was sent."""
        return output.zero_status(self.resource)

    def normalise(self, tree: JsonObject) -> None:
        """What Kubernetes' decoding adds to every object of the kind, before ownership of fields
        is recorded."""

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        """Reset what a client may not set at creation. A generation that it sends stays on kinds
        which do not count theirs."""
        disabledfields.drop(self.resource.group_resource, tree, {})
        if self.tracks_generation:
            tree["metadata"]["generation"] = 1
        if self.has_status:
            status = self.initial_status(tree)
            if status is not None:
                tree["status"] = status
            if status == {}:
                output.fill(self.resource, tree)  # the zeros of the kind

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        """Keep the status; count a changed spec in metadata.generation."""
        disabledfields.drop(self.resource.group_resource, new, old)
        if self.has_status:
            keep(new, old, "status")
        if self.tracks_generation and self.content_changed(new, old):
            meta = new["metadata"]
            meta["generation"] = int(old["metadata"].get("generation", 0)) + 1

    def warnings(self, new: JsonObject, old: JsonObject) -> list[str]:
        """What the client is told about a valid object (`old` is empty: a new one)."""
        return []

    def content_changed(self, new: JsonObject, old: JsonObject) -> bool:
        """Whether anything but kind, metadata and status differs: a new generation."""
        skipped = ("kind", "apiVersion", "metadata", "status")
        keys = (new.keys() | old.keys()).difference(skipped)
        return any(new.get(key) != old.get(key) for key in keys)

    def plan_delete(
        self, resource: Resource, tree: JsonObject, options: DeleteOptions, now: datetime
    ) -> DeletePlan:
        """What a delete does to an object that is stored as `resource`."""
        return deletion.plan(resource, tree, options, now)

    def prepare_status(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        """A write to ``/status``: everything else stays as it was."""
        keep_all_but_status(new, old)


def keep(new: JsonObject, old: JsonObject, key: str) -> None:
    """Make `new[key]` what it is in `old`, absent if it is absent there."""
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)


def keep_all_but_status(new: JsonObject, old: JsonObject) -> None:
    """The old object with the status and the freely writable metadata of `new`."""
    meta = dict(old["metadata"])
    for key in _KEPT_BY_STATUS_WRITE:
        keep(meta, new["metadata"], key)
    status = new.get("status")
    new.clear()
    new.update(old)
    new["metadata"] = meta
    if status is None:
        new.pop("status", None)
    else:
        new["status"] = status
