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


def create(
    resource: Resource,
    metadata: JsonObject,
    path: str = "metadata",
    *,
    any_finalizer: bool = False,
) -> list[Cause]:
    """The causes for which the metadata of a new object is refused.

    The name is expected to be set (generated) already; without name and generateName there is a
    Required error, without a generated name the generateName alone is judged. `any_finalizer`:
    finalizers need no domain (the kinds of apiextensions.k8s.io, and custom resources).
    """
    causes: list[Cause] = []
    generate_name = metadata.get("generateName", "")
    if generate_name:
        problems = names.problems_of(resource, generate_name, prefix=True)
        causes += invalid_each(f"{path}.generateName", generate_name, problems)
    name = metadata.get("name", "")
    if name:
        problems = names.problems_of(resource, name) or names.path_segment(name)
        causes += invalid_each(f"{path}.name", name, problems)
    elif not generate_name:
        causes.append(required(f"{path}.name", "name or generateName is required"))
    causes += _namespace(resource, metadata, path)
    return causes + common(metadata, path, any_finalizer=any_finalizer)


def _namespace(resource: Resource, metadata: JsonObject, path: str) -> list[Cause]:
    namespace = metadata.get("namespace", "")
    if not resource.namespaced:
        return [forbidden(f"{path}.namespace", "not allowed on this type")] if namespace else []
    if not namespace:
        return [required(f"{path}.namespace")]
    return invalid_each(f"{path}.namespace", namespace, names.dns_label(namespace))


def common(metadata: JsonObject, path: str, *, any_finalizer: bool = False) -> list[Cause]:
    """What holds for metadata on create and on update, whatever the kind."""
    causes: list[Cause] = []
    if metadata.get("generation", 0) < 0:
        detail = "must be greater than or equal to 0"
        causes.append(invalid(f"{path}.generation", metadata["generation"], detail))
    causes += labels(metadata.get("labels"), f"{path}.labels")
    causes += annotations(metadata.get("annotations"), f"{path}.annotations")
    causes += _owner_references(metadata.get("ownerReferences"), f"{path}.ownerReferences")
    finalizers = metadata.get("finalizers")
    causes += _finalizers(finalizers, f"{path}.finalizers", any_name=any_finalizer)
    return causes


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
    causes: list[Cause] = []
    controller = ""
    for index, reference in enumerate(references or ()):
        at = f"{path}[{index}]"
        api_version = reference.get("apiVersion", "")
        if not api_version.rpartition("/")[2]:
            causes.append(invalid(f"{at}.apiVersion", api_version, "version must not be empty"))
        causes += [
            invalid(f"{at}.{name}", "", "must not be empty")
            for name in ("kind", "name", "uid")
            if not reference.get(name)
        ]
        if reference.get("kind") == "Event" and api_version in ("v1", "events.k8s.io/v1"):
            group, _, version = api_version.rpartition("/")
            detail = f"{group}/{version}, Kind=Event is disallowed from being an owner"
            causes.append(invalid(at, reference, detail))
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


def _finalizers(finalizers: list[str] | None, path: str, *, any_name: bool = False) -> list[Cause]:
    causes: list[Cause] = []
    for finalizer in finalizers or ():
        problems = names.qualified_name(finalizer)
        causes += invalid_each(path, finalizer, problems)
        standard = any_name or "/" in finalizer or finalizer in _STANDARD_FINALIZERS
        if not problems and not standard:
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            causes.append(invalid(path, finalizer, detail))
    if finalizers and "orphan" in finalizers and "foregroundDeletion" in finalizers:
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        causes.append(invalid(path, finalizers, detail))
    return causes


def update(
    new: JsonObject, old: JsonObject, path: str = "metadata", *, any_finalizer: bool = False
) -> list[Cause]:
    """The causes for which new metadata may not replace old metadata."""
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
    causes += [
        invalid(f"{path}.{name}", new.get(name, ""), IMMUTABLE)
        for name in _IMMUTABLE
        if new.get(name) != old.get(name)
    ]
    return causes + common(new, path, any_finalizer=any_finalizer)
