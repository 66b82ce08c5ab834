"""The order of the admission plugins: all mutating ones, then (after validation) the others."""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.access import kubelets
from kubeherd.cluster.apiserver.admission import (
    certificate_subject,
    limit_ranger,
    namespace_lifecycle,
    node_restriction,
    pods,
    priority,
    resource_quota,
    runtime_class,
    service_account,
    service_addresses,
    storage,
    topology_labels,
)
from kubeherd.cluster.apiserver.admission.podsecurity import plugin as pod_security
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest, Operation, Plugin, target
from kubeherd.cluster.apiserver.edge.messages import User
from kubeherd.cluster.apiserver.read.lookup import Lookup

_MUTATING: dict[tuple[Operation, str], tuple[Plugin, ...]] = {
    (Operation.CREATE, "pods"): (
        limit_ranger.set_container_defaults,
        service_account.admit,
        pods.add_default_tolerations,
        priority.resolve_priority,
        runtime_class.admit,
    ),
    (Operation.UPDATE, "pods"): (pods.add_default_tolerations, priority.keep_priority),
    (Operation.CREATE, "nodes"): (pods.taint_new_node,),
    (Operation.UPDATE, "pods/resize"): (limit_ranger.set_container_defaults,),
    (Operation.CREATE, "persistentvolumeclaims"): (
        storage.set_default_class,
        storage.protect_while_used,
    ),
    (Operation.CREATE, "persistentvolumes"): (storage.protect_while_used,),
    (Operation.CREATE, "volumeattributesclasses.storage.k8s.io"): (storage.protect_while_used,),
    (Operation.CREATE, "ingresses.networking.k8s.io"): (storage.set_default_ingress_class,),
    (Operation.CREATE, "pods/binding"): (topology_labels.copy_node_labels,),
}
_VALIDATING: dict[tuple[Operation, str], tuple[Plugin, ...]] = {
    (Operation.CREATE, "pods"): (
        limit_ranger.check_pod,
        service_account.check,
        pod_security.check_pod,
        runtime_class.check,
    ),
    (Operation.UPDATE, "pods"): (pod_security.check_pod,),
    (Operation.UPDATE, "pods/resize"): (limit_ranger.check_pod, pod_security.check_pod),
    (Operation.CREATE, "persistentvolumeclaims"): (limit_ranger.check_claim,),
    (Operation.UPDATE, "persistentvolumeclaims"): (
        limit_ranger.check_claim,
        storage.check_growth,
    ),
    (Operation.UPDATE, "pods/ephemeralcontainers"): (
        service_account.check_ephemeral,
        pod_security.check_pod,
    ),
    (Operation.CREATE, "namespaces"): (pod_security.check_namespace,),
    (Operation.UPDATE, "namespaces"): (pod_security.check_namespace,),
    **{
        (operation, target): (pod_security.check_template,)
        for operation in (Operation.CREATE, Operation.UPDATE)
        for target in pod_security.TEMPLATED
    },
    (Operation.CREATE, "certificatesigningrequests.certificates.k8s.io"): (
        certificate_subject.check,
    ),
    (Operation.CREATE, "priorityclasses.scheduling.k8s.io"): (priority.check_single_default,),
    (Operation.UPDATE, "priorityclasses.scheduling.k8s.io"): (priority.check_single_default,),
}


class Admission:
    """The chain. Each step raises `Forbidden` or `NotFound` to refuse the write."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def looks_at(
        self, operation: Operation, resource: Resource, user: User, subresource: str = ""
    ) -> bool:
        """Whether any plugin looks at such writes of a user: else they need not be shown to it."""
        key = (operation, target(resource, subresource))
        return (
            namespace_lifecycle.looks_at(operation)
            or key in _MUTATING
            or key in _VALIDATING
            or kubelets.acting(user) is not None
        )

    def mutate(self, request: AdmissionRequest) -> None:
        """NamespaceLifecycle first, then the mutating plugins for this kind of write."""
        namespace_lifecycle.check(request, self._lookup)
        for plugin in _MUTATING.get((request.operation, request.target), ()):
            plugin(request, self._lookup)

    def allocate(self, request: AdmissionRequest) -> None:
        """What the registry of Kubernetes gives to an object after all that changed it."""
        if request.target == "services":
            service_addresses.allocate(request, self._lookup)

    def check_namespace(self, request: AdmissionRequest) -> None:
        """NamespaceLifecycle once more, after somebody else was waited for."""
        namespace_lifecycle.check(request, self._lookup)

    def validate(self, request: AdmissionRequest) -> None:
        """The plugins that only refuse; runs on the object as it would be stored."""
        for plugin in _VALIDATING.get((request.operation, request.target), ()):
            plugin(request, self._lookup)
        node_restriction.check(request, self._lookup)

    def charge(self, request: AdmissionRequest) -> list[JsonObject]:
        """ResourceQuota, the last of all: what else is to be stored together with the object."""
        return resource_quota.charge(request, self._lookup)
