"""Field selectors: text form, which fields a kind offers, their values (spec api-machinery, 13).

The store keeps the selectable values of each object (`selectable`, computed once per write), so a
list or watch with a field selector compares strings and never decodes an object. Invariants: keys
in a checked `FieldSelector` are those of `selectable`; an absent field compares as "".
"""

import re
from collections.abc import Callable, Mapping, Sequence
from sys import intern

import msgspec

from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.memo import remembered


class FieldRequirement(msgspec.Struct, frozen=True):
    """``field = value``, or ``field != value`` if `negated`."""

    field: str
    value: str
    negated: bool = False


class FieldSelector(msgspec.Struct, frozen=True):
    """Requirements that must all hold; none match everything."""

    requirements: tuple[FieldRequirement, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether it matches everything."""
        return not self.requirements

    def matches(self, values: Mapping[str, str]) -> bool:
        """Whether an object whose `selectable` fields are `values` is selected."""
        return all((values.get(r.field, "") == r.value) != r.negated for r in self.requirements)

    def exact(self, field: str) -> str | None:
        """The value that `field` must have, or None if the selector does not fix it."""
        for r in self.requirements:
            if r.field == field and not r.negated:
                return r.value
        return None


EVERYTHING = FieldSelector()
_MAX_FIELDS = 1000
_SPECIAL = re.compile(r"[\\,=]")


def parse(text: str, resource: Resource | None = None) -> FieldSelector:
    """The selector that `text` describes; with `resource`, checked and converted for that kind.

    BadRequest if the text is malformed or names a field that the kind does not offer.
    """
    if not text:
        return EVERYTHING
    requirements = _requirements(text)
    if resource is not None:
        requirements = [_converted(resource, r) for r in requirements]
    return FieldSelector(tuple(requirements))


@remembered(entries=256, longest=200)
def _requirements(text: str) -> Sequence[FieldRequirement]:
    return [_term(term) for term in _split(text) if term]


def _split(text: str) -> list[str]:
    """Splits at the commas that no backslash escapes; the escapes stay."""
    if "\\" not in text:
        return text.split(",")
    terms, start, i = [], 0, 0
    while i < len(text):
        if text[i] == "\\":
            i += 2
            continue
        if text[i] == ",":
            terms.append(text[start:i])
            start = i + 1
        i += 1
    return [*terms, text[start:]]


def _term(term: str) -> FieldRequirement:
    i = 0
    while i < len(term):
        if term[i] == "\\":
            i += 2
            continue
        for operator in ("!=", "==", "="):
            if term.startswith(operator, i):
                value = _unescape(term[i + len(operator) :])
                return FieldRequirement(term[:i], value, operator == "!=")
        i += 1
    raise BadRequest(f"invalid selector: '{term}'; can't understand '{term}'")


def _unescape(value: str) -> str:
    if _SPECIAL.search(value) is None:
        return value
    out, i = [], 0
    while i < len(value):
        char = value[i]
        if char == "\\":
            escaped = value[i + 1 : i + 2]
            if escaped not in ("\\", ",", "=") or not escaped:
                raise BadRequest(f"invalid field selector: invalid escape sequence: \\{escaped}")
            out.append(escaped)
            i += 2
            continue
        if char in ",=":
            raise BadRequest(f"invalid field selector: unescaped character in value: {ord(char)}")
        out.append(char)
        i += 1
    return "".join(out)


_Reader = Callable[[JsonObject], str]


def _at(*path: str) -> _Reader:
    """What stands at a path of one or two names, as text; "" if there is nothing. Eight are read
    with every write of a pod, and kept: mostly what thousands of other pods have there, too."""
    parent, name = path if len(path) > 1 else ("", path[0])

    def read(tree: JsonObject) -> str:
        inside = tree.get(parent) if parent else tree
        value = inside.get(name) if inside.__class__ is dict else None
        if value.__class__ is str:
            return intern(value)
        if value.__class__ is bool:
            return "true" if value else "false"
        return "" if value is None else str(value)

    return read


def _flag(*path: str) -> _Reader:
    read = _at(*path)
    return lambda tree: read(tree) or "false"


def _event_source(tree: JsonObject) -> str:
    component = (tree.get("source") or tree.get("deprecatedSource") or {}).get("component")
    return component or tree.get("reportingComponent") or tree.get("reportingController") or ""


def _either(first: _Reader, second: _Reader) -> _Reader:
    return lambda tree: first(tree) or second(tree)


_OBJECT_KEYS = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_READERS: dict[str, dict[str, _Reader]] = {
    "pods": {
        "spec.nodeName": _at("spec", "nodeName"),
        "spec.restartPolicy": _at("spec", "restartPolicy"),
        "spec.schedulerName": _at("spec", "schedulerName"),
        "spec.serviceAccountName": _at("spec", "serviceAccountName"),
        "spec.hostNetwork": _flag("spec", "hostNetwork"),
        "status.phase": _at("status", "phase"),
        "status.podIP": _at("status", "podIP"),
        "status.nominatedNodeName": _at("status", "nominatedNodeName"),
    },
    "nodes": {"spec.unschedulable": _flag("spec", "unschedulable")},
    "namespaces": {"status.phase": _at("status", "phase")},
    "secrets": {"type": _at("type")},
    "services": {"spec.clusterIP": _at("spec", "clusterIP"), "spec.type": _at("spec", "type")},
    "replicationcontrollers": {"status.replicas": _at("status", "replicas")},
    "jobs.batch": {"status.successful": _at("status", "succeeded")},
    "certificatesigningrequests.certificates.k8s.io": {
        "spec.signerName": _at("spec", "signerName")
    },
    "resourceslices.resource.k8s.io": {
        "spec.nodeName": _at("spec", "nodeName"),
        "spec.driver": _at("spec", "driver"),
    },
    "events": {
        **{
            f"involvedObject.{key}": _either(_at("involvedObject", key), _at("regarding", key))
            for key in _OBJECT_KEYS
        },
        "reason": _at("reason"),
        "reportingComponent": _either(_at("reportingComponent"), _at("reportingController")),
        "source": _event_source,
        "type": _at("type"),
    },
}
_READERS["events.events.k8s.io"] = _READERS["events"]
"""Both event APIs share one storage, so both have the values of core/v1."""
_OF_STATUS: dict[str, dict[str, _Reader]] = {
    name: {key: read for key, read in readers.items() if key.startswith("status.")}
    for name, readers in _READERS.items()
}

_ALIASES: dict[str, dict[str, str]] = {
    "pods": {"spec.host": "spec.nodeName", "status.podIPs": "status.podIPs"},
    "events.events.k8s.io": {
        **{f"regarding.{key}": f"involvedObject.{key}" for key in _OBJECT_KEYS},
        "reportingController": "reportingComponent",
    },
}
_NOT_NAMESPACED = frozenset({"nodes", "namespaces", "resourceslices.resource.k8s.io"})
_KNOWN: dict[str, dict[str, str]] = {
    name: {
        "metadata.name": "metadata.name",
        **({} if name in _NOT_NAMESPACED else {"metadata.namespace": "metadata.namespace"}),
        **{key: key for key in readers},
        **_ALIASES.get(name, {}),
    }
    for name, readers in _READERS.items()
}
for _key in [k for k in _KNOWN["events.events.k8s.io"] if k.startswith("involvedObject.")]:
    del _KNOWN["events.events.k8s.io"][_key]
del _KNOWN["events.events.k8s.io"]["reportingComponent"]
_META = ("metadata.name", "metadata.namespace")


def every_field(tree: JsonObject) -> dict[str, str]:
    """All strings, numbers and booleans of a custom resource outside lists, by their paths: which
    of them may be selected by, its definition says, and may say otherwise tomorrow."""
    values: dict[str, str] = {}
    pending: list[tuple[str, JsonObject]] = [("", tree)]
    while pending and len(values) < _MAX_FIELDS:
        prefix, parent = pending.pop()
        for name, value in parent.items():
            if isinstance(value, dict):
                if prefix or name != "metadata":
                    pending.append((f"{prefix}{name}.", value))
            elif isinstance(value, bool):
                values[prefix + name] = "true" if value else "false"
            elif isinstance(value, str | int):
                values[prefix + name] = str(value)
    metadata = tree.get("metadata") or {}
    for name in ("name", "namespace"):
        if metadata.get(name):
            values[f"metadata.{name}"] = metadata[name]
    return values


def _converted(resource: Resource, r: FieldRequirement) -> FieldRequirement:
    custom = resource.custom
    known = custom.field_labels if custom is not None else _KNOWN.get(resource.group_resource)
    if known is None:
        if r.field not in _META:
            raise BadRequest(
                f'"{r.field}" is not a known field selector: only "metadata.name",'
                ' "metadata.namespace"'
            )
        return r
    key = known.get(r.field)
    if key is None:
        raise BadRequest(f"field label not supported: {r.field}")
    return r if key == r.field else FieldRequirement(key, r.value, r.negated)


def selectable(resource: Resource, tree: JsonObject) -> dict[str, str]:
    """The selectable fields of an object and their values; fields without a value are left out."""
    metadata = tree.get("metadata") or {}
    values = {"metadata.name": intern(metadata.get("name") or "")}
    namespace = metadata.get("namespace")
    if namespace:
        values["metadata.namespace"] = intern(namespace)
    readers = _READERS.get(resource.group_resource)
    if readers is not None:
        for key, read in readers.items():
            value = read(tree)
            if value:
                values[key] = value
    return values


def of_status(resource: Resource, tree: JsonObject) -> dict[str, str]:
    """The selectable fields of the status of an object, "" for those without a value."""
    readers = _OF_STATUS.get(resource.group_resource, {})
    return {key: read(tree) for key, read in readers.items()}


def replaced(values: Mapping[str, str], some: Mapping[str, str]) -> Mapping[str, str]:
    """The selectable `values` of an object of which `some` have changed, "" for those that have
    none any more; the same mapping if none has changed."""
    changed = {**values, **some}
    for key, value in some.items():
        if not value:
            del changed[key]
    return values if changed == values else changed
