"""Validation of ObjectMeta on create and on update (spec api-machinery, section 5)."""

from kubeherd.cluster.api import goformat, names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.validation.causes import (
    forbidden,
    invalid,
    invalid_each,
    required,
    too_long,
)

MAX_ANNOTATIONS_BYTES = 256 * 1024
_STANDARD_FINALIZERS = frozenset({"orphan", "foregroundDeletion", "kubernetes"})
_IMMUTABLE = (
    "name", "namespace", "uid", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds",
)  # fmt: skip
IMMUTABLE = "field is immutable"
"""The detail of every change of something that may not change."""

_GENERIC_FINALIZERS = frozenset({
    "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io",
    "coordination.k8s.io",
})  # fmt: skip
"""Groups of Kubernetes that know no "standard" finalizers: any qualified name will do."""

_OWN_CHECKS: dict[str, tuple[int, int]] = {
    "events": (0, 0),
    "poddisruptionbudgets.policy": (0, 0),
    "persistentvolumes": (2, 0),
    "limitranges": (1, 0),
    "endpointslices.discovery.k8s.io": (1, 0),
    "volumeattachments.storage.k8s.io": (1, 0),
    "csinodes.storage.k8s.io": (1, 0),
    "flowschemas.flowcontrol.apiserver.k8s.io": (1, 0),
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": (1, 0),
    "validatingadmissionpolicies.admissionregistration.k8s.io": (1, 0),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": (1, 0),
    "mutatingadmissionpolicies.admissionregistration.k8s.io": (1, 0),
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": (1, 0),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": (1, 0),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": (1, 0),
    "events.events.k8s.io": (0, 1),
    "services": (0, 1),
    "resourcequotas": (0, 1),
    "podtemplates": (0, 1),
    "replicationcontrollers": (0, 1),
    "daemonsets.apps": (0, 1),
    "deployments.apps": (0, 1),
    "replicasets.apps": (0, 1),
    "statefulsets.apps": (0, 1),
    "controllerrevisions.apps": (0, 1),
    "cronjobs.batch": (0, 1),
    "horizontalpodautoscalers.autoscaling": (0, 1),
    "networkpolicies.networking.k8s.io": (0, 1),
    "leases.coordination.k8s.io": (0, 1),
    "leasecandidates.coordination.k8s.io": (0, 1),
    "priorityclasses.scheduling.k8s.io": (0, 1),
    "csidrivers.storage.k8s.io": (0, 1),
}
"""How often a kind's own update rules check the metadata once more: (as a create does, as an update
does). What Kubernetes checks for every kind it thus reports again, and clients see each cause two
to four times. Most kinds do both once; read from pkg/apis/*/validation and the strategies, v1.36.
"""
_NO_SUBRESOURCE_CHECKS = frozenset({"cronjobs.batch", "poddisruptionbudgets.policy"})
"""Kinds whose status rules do not look at the metadata; all others check it as an update once."""


def create(resource: Resource, metadata: JsonObject, path: str = "metadata") -> list[Cause]:
    """The causes for which the metadata of a new object is refused.

    The name is expected to be set (generated) already; without name and generateName there is a
    Required error, without a generated name the generateName alone is judged.
    """
    causes = _names(resource, metadata, path)
    if not metadata.get("name") and not metadata.get("generateName"):
        causes.append(required(f"{path}.name", "name or generateName is required"))
    causes += _namespace(resource, metadata, path)
    return causes + common(metadata, path) + _standard_finalizers(resource, metadata, path)


def common(metadata: JsonObject, path: str) -> list[Cause]:
    """What holds for metadata whatever the kind, that of embedded objects too."""
    causes = _generation(metadata, path) + _pairs_and_owners(metadata, path)
    return causes + _finalizers(metadata.get("finalizers"), f"{path}.finalizers")


def change(new: JsonObject, old: JsonObject, path: str = "metadata") -> list[Cause]:
    """The same as `update` for CustomResourceDefinitions and their objects, which are looked at
    once."""
    return _changes(new, old, path) + common(new, path)


def _names(resource: Resource, metadata: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if generate_name := metadata.get("generateName", ""):
        problems = names.problems_of(resource, generate_name, prefix=True)
        causes += invalid_each(f"{path}.generateName", generate_name, problems)
    return causes + name(resource, metadata.get("name", ""), path)


def name(resource: Resource, own: str, path: str) -> list[Cause]:
    """The causes for which an object may not have this name; none against an empty one."""
    problems = own and (names.problems_of(resource, own) or names.path_segment(own))
    return invalid_each(f"{path}.name", own, problems) if problems else []


def _namespace(resource: Resource, metadata: JsonObject, path: str) -> list[Cause]:
    namespace = metadata.get("namespace", "")
    if not resource.namespaced:
        return [forbidden(f"{path}.namespace", "not allowed on this type")] if namespace else []
    if not namespace:
        return [required(f"{path}.namespace")]
    return invalid_each(f"{path}.namespace", namespace, names.dns_label(namespace))


def _generation(metadata: JsonObject, path: str) -> list[Cause]:
    generation = metadata.get("generation", 0)
    if generation >= 0:
        return []
    return [invalid(f"{path}.generation", generation, "must be greater than or equal to 0")]


def _pairs_and_owners(metadata: JsonObject, path: str) -> list[Cause]:
    """What every check of metadata looks at."""
    causes = labels(metadata.get("labels"), f"{path}.labels")
    causes += annotations(metadata.get("annotations"), f"{path}.annotations")
    return causes + _owner_references(metadata.get("ownerReferences"), f"{path}.ownerReferences")


def labels(pairs: dict[str, str] | None, path: str) -> list[Cause]:
    """Keys are qualified names, values label values; the error names the whole map's field."""
    causes: list[Cause] = []
    for key, value in (pairs or {}).items():
        causes += invalid_each(path, key, names.qualified_name(key))
        causes += invalid_each(path, value, names.label_value(value))
    return causes


def annotations(pairs: dict[str, str] | None, path: str) -> list[Cause]:
    """Keys are qualified names, judged in lower case; all of it at most 256 KiB."""
    causes: list[Cause] = []
    total = 0
    for key, value in (pairs or {}).items():
        causes += invalid_each(path, key, names.qualified_name(key.lower()))
        total += _byte_length(key) + _byte_length(value)
    if total > MAX_ANNOTATIONS_BYTES:
        causes.append(too_long(path, MAX_ANNOTATIONS_BYTES))
    return causes


def _byte_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _owner_references(references: list[JsonObject] | None, path: str) -> list[Cause]:
    """The fields are named without the index of the reference."""
    causes: list[Cause] = []
    controller = ""
    for reference in references or ():
        api_version = reference.get("apiVersion", "")
        group, _, version = api_version.rpartition("/")
        if not version or "/" in group:
            detail = "version must not be empty"
            causes.append(invalid(f"{path}.apiVersion", api_version, detail))
        causes += [
            invalid(f"{path}.{name}", "", "must not be empty")
            for name in ("kind", "name", "uid")
            if not reference.get(name)
        ]
        if reference.get("kind") == "Event" and api_version in ("v1", "events.k8s.io/v1"):
            detail = f"{group}/{version}, Kind=Event is disallowed from being an owner"
            causes.append(invalid(path, reference, detail))
        if reference.get("controller"):
            this = f"{reference.get('kind')}/{reference.get('name')}"
            if controller:
                detail = (
                    "Only one reference can have Controller set to true. Found "
                    f'"true" in references for {controller} and {this}'
                )
                causes.append(invalid(path, references, detail))
            controller = controller or this
    return causes


def _finalizers(finalizers: list[str] | None, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for finalizer in finalizers or ():
        causes += invalid_each(path, finalizer, names.qualified_name(finalizer))
    if finalizers and "orphan" in finalizers and "foregroundDeletion" in finalizers:
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        causes.append(invalid(path, finalizers, detail))
    return causes


def standard_finalizer(finalizer: str, path: str) -> list[Cause]:
    """A finalizer without a domain must be one of Kubernetes' own."""
    if "/" in finalizer or finalizer in _STANDARD_FINALIZERS:
        return []
    detail = "name is neither a standard finalizer name nor is it fully qualified"
    return [invalid(path, finalizer, detail)]


def _standard_finalizers(resource: Resource, metadata: JsonObject, path: str) -> list[Cause]:
    if resource.group in _GENERIC_FINALIZERS or resource.custom is not None:
        return []
    return [
        cause
        for index, finalizer in enumerate(metadata.get("finalizers") or ())
        for cause in standard_finalizer(finalizer, f"{path}.finalizers[{index}]")
    ]


def update(
    resource: Resource,
    new: JsonObject,
    old: JsonObject,
    subresource: str = "",
    path: str = "metadata",
) -> list[Cause]:
    """The causes for which new metadata may not replace old metadata.

    Each is there as often as Kubernetes finds it: once or twice for every kind, and again in the
    rules of the kind (`_OWN_CHECKS`).
    """
    as_create, as_update = _own_checks(resource.group_resource, subresource)
    causes = _names(resource, new, path) * as_create if as_create else []
    causes += _generation(new, path) * (1 + as_create)
    causes += _pairs_and_owners(new, path) * (2 + as_create + as_update)
    causes += _finalizers(new.get("finalizers"), f"{path}.finalizers") * (1 + as_create)
    causes += _standard_finalizers(resource, new, path) * (as_create + as_update)
    return causes + _changes(new, old, path) * (1 + as_update)


def _own_checks(group_resource: str, subresource: str) -> tuple[int, int]:
    if subresource:
        return (0, 0) if group_resource in _NO_SUBRESOURCE_CHECKS else (0, 1)
    return _OWN_CHECKS.get(group_resource, (1, 1))


def _changes(new: JsonObject, old: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if old.get("deletionTimestamp"):
        existing = set(old.get("finalizers") or ())
        added = [name for name in new.get("finalizers") or () if name not in existing]
        if added:
            detail = (
                "no new finalizers can be added if the object is being deleted, found new "
                f"finalizers {goformat.string_slice(sorted(added))}"
            )
            causes.append(forbidden(f"{path}.finalizers", detail))
    if not new.get("resourceVersion"):
        detail = "must be specified for an update"
        causes.append(invalid(f"{path}.resourceVersion", 0, detail))
    if new.get("generation", 0) < old.get("generation", 0):
        detail = "must not be decremented"
        causes.append(invalid(f"{path}.generation", new.get("generation", 0), detail))
    return causes + [
        invalid(f"{path}.{name}", new.get(name, _UNSET.get(name, "")), IMMUTABLE)
        for name in _IMMUTABLE
        if new.get(name) != old.get(name)
    ]


_UNSET: JsonObject = {
    "creationTimestamp": None, "deletionTimestamp": None, "deletionGracePeriodSeconds": None,
}  # fmt: skip
"""How the error texts show what is not set, where that is no empty text."""
