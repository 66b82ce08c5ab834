"""Access reviews: what a question must say (pure).

Source: Kubernetes v1.36, pkg/apis/authorization/validation/validation.go. A review is not stored,
so these checks are for its handlers, not part of `validation.create`.
"""

from collections.abc import Callable, Iterator

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation import causes
from kubeherd.cluster.api.validation.checks import each

_VALUED, _BARE = ("In", "NotIn"), ("Exists", "DoesNotExist")


def subject_access(tree: JsonObject) -> list[Cause]:
    """A SubjectAccessReview."""
    return [*_spec(tree), *_subject(tree), *_attributes(tree), *_metadata(tree, "must be empty")]


def self_subject_access(tree: JsonObject) -> list[Cause]:
    """A SelfSubjectAccessReview."""
    return [*_spec(tree), *_attributes(tree), *_metadata(tree, "must be empty")]


def local_subject_access(tree: JsonObject) -> list[Cause]:
    """A LocalSubjectAccessReview, whose metadata.namespace is that of the request."""
    spec, namespace = tree["spec"], tree["metadata"].get("namespace", "")
    found = [
        *_spec(tree),
        *_subject(tree),
        *_attributes(tree),
        *_metadata(tree, "must be empty except for namespace", "namespace"),
    ]
    resource = spec.get("resourceAttributes")
    if resource is not None and resource.get("namespace", "") != namespace:
        found.append(
            causes.invalid(
                "spec.resourceAttributes.namespace",
                resource.get("namespace", ""),
                "must match metadata.namespace",
            )
        )
    if (path := spec.get("nonResourceAttributes")) is not None:
        found.append(
            causes.invalid(
                "spec.nonResourceAttributes", _in_go(path), "disallowed on this kind of request"
            )
        )
    return found


def _spec(tree: JsonObject) -> Iterator[Cause]:
    resource = tree["spec"].get("resourceAttributes")
    path = tree["spec"].get("nonResourceAttributes")
    if resource is not None and path is not None:
        yield causes.invalid(
            "spec.nonResourceAttributes",
            _in_go(path),
            "cannot be specified in combination with resourceAttributes",
        )
    if resource is None and path is None:
        yield causes.invalid(
            "spec.resourceAttributes",
            None,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )


def _in_go(path: JsonObject) -> JsonObject:
    """The internal type, which has no JSON names."""
    return {"Path": path.get("path", ""), "Verb": path.get("verb", "")}


def _subject(tree: JsonObject) -> Iterator[Cause]:
    if not tree["spec"].get("user") and not tree["spec"].get("groups"):
        yield causes.invalid("spec.user", "", "at least one of user or group must be specified")


def _metadata(tree: JsonObject, why: str, *allowed: str) -> Iterator[Cause]:
    meta = tree["metadata"]
    if any(value for key, value in meta.items() if key not in (*allowed, "managedFields")):
        yield causes.invalid("metadata", meta, why)


def _attributes(tree: JsonObject) -> Iterator[Cause]:
    attributes = tree["spec"].get("resourceAttributes") or {}
    path = "spec.resourceAttributes"
    yield from _selector(attributes, "fieldSelector", path, _field_key)
    yield from _selector(attributes, "labelSelector", path, _label_key)


def _selector(
    attributes: JsonObject, name: str, parent: str, check: Callable[[JsonObject, str], list[Cause]]
) -> Iterator[Cause]:
    """A selector as a text or as requirements; operators that are not known are no error."""
    selector, path = attributes.get(name), f"{parent}.{name}"
    if selector is None:
        return
    text, requirements = selector.get("rawSelector"), selector.get("requirements")
    if text and requirements:
        yield causes.invalid(
            f"{path}.rawSelector", text, "may not specified at the same time as requirements"
        )
    if not text and not requirements:
        yield causes.required(
            f"{path}.requirements",
            f"when {path} is specified, requirements or rawSelector is required",
        )
    for where, requirement in each(requirements, f"{path}.requirements"):
        yield from check(requirement, where)


def _operator(requirement: JsonObject, path: str) -> list[Cause]:
    operator, values = requirement.get("operator"), requirement.get("values")
    if operator in _VALUED and not values:
        why = "must be specified when `operator` is 'In' or 'NotIn'"
        return [causes.required(f"{path}.values", why)]
    if operator in _BARE and values:
        why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        return [causes.forbidden(f"{path}.values", why)]
    return []


def _field_key(requirement: JsonObject, path: str) -> list[Cause]:
    found = _operator(requirement, path)
    if requirement.get("key"):
        return found
    return [causes.required(f"{path}.key", "must be specified"), *found]


def _label_key(requirement: JsonObject, path: str) -> list[Cause]:
    found = _operator(requirement, path)
    key = requirement.get("key", "")
    found += causes.invalid_each(f"{path}.key", key, names.qualified_name(key))
    for index, value in enumerate(requirement.get("values") or ()):
        found += causes.invalid_each(f"{path}.values[{index}]", value, names.label_value(value))
    return found
