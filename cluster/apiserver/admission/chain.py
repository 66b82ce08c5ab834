"""The order of the admission plugins: all mutating ones, then (after validation) the others."""

from kubeherd.cluster.apiserver.admission import (
    limit_ranger,
    namespace_lifecycle,
    node_restriction,
    pods,
    priority,
    runtime_class,
    service_addresses,
    storage_protection,
    topology_labels,
)
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest, Operation, Plugin
from kubeherd.cluster.apiserver.read.lookup import Lookup

_MUTATING: dict[tuple[Operation, str], tuple[Plugin, ...]] = {
    (Operation.CREATE, "pods"): (
        limit_ranger.set_container_defaults,
        pods.set_service_account,
        pods.add_default_tolerations,
        priority.resolve_priority,
        runtime_class.apply_class,
    ),
    (Operation.UPDATE, "pods"): (pods.add_default_tolerations, priority.keep_priority),
    (Operation.CREATE, "services"): (service_addresses.allocate,),
    (Operation.UPDATE, "services"): (service_addresses.allocate,),
    (Operation.CREATE, "persistentvolumes"): (storage_protection.protect,),
    (Operation.CREATE, "persistentvolumeclaims"): (storage_protection.protect,),
    (Operation.CREATE, "nodes"): (pods.taint_new_node,),
    (Operation.CREATE, "pods/binding"): (topology_labels.copy_node_labels,),
}
_VALIDATING: dict[tuple[Operation, str], tuple[Plugin, ...]] = {
    (Operation.CREATE, "pods"): (pods.check_mirror_pod, runtime_class.check_overhead),
    (Operation.CREATE, "priorityclasses.scheduling.k8s.io"): (priority.check_single_default,),
    (Operation.UPDATE, "priorityclasses.scheduling.k8s.io"): (priority.check_single_default,),
}


class Admission:
    """The chain. Each step raises `Forbidden` or `NotFound` to refuse the write."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def mutate(self, request: AdmissionRequest) -> None:
        """NamespaceLifecycle first, then the mutating plugins for this kind of write."""
        namespace_lifecycle.check(request, self._lookup)
        for plugin in _MUTATING.get((request.operation, request.target), ()):
            plugin(request, self._lookup)

    def validate(self, request: AdmissionRequest) -> None:
        """The plugins that only refuse; runs on the object as it would be stored."""
        for plugin in _VALIDATING.get((request.operation, request.target), ()):
            plugin(request, self._lookup)
        node_restriction.check(request, self._lookup)
