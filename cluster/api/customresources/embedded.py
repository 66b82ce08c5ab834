"""Metadata of custom resources and of the objects embedded in them.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta. apiVersion, kind and
metadata of an embedded object are those of Kubernetes, whatever the schema says of them.
"""

from collections.abc import Iterator

from kubeherd.cluster.api import goformat, names
from kubeherd.cluster.api.customresources.schema import (
    EMBEDDED,
    Schema,
    additional,
    items,
    properties,
    rooted,
)
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.serializer import decoding
from kubeherd.cluster.api.validation import objectmeta
from kubeherd.cluster.api.validation.causes import invalid, invalid_each, required

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class Malformed(Exception):
    """Metadata of the wrong type; the text names the field and shows the value."""


def coerce(tree: JsonObject, schema: Schema | None) -> list[str]:
    """Bring the metadata of an object and of what is embedded in it into its stored form.

    Returns the paths of unknown fields, which are dropped. Malformed if something has the wrong
    type.
    """
    return list(_coerce(tree, rooted(schema), ""))


def _coerce(value: JsonValue, schema: Schema | None, path: str) -> Iterator[str]:
    if schema is None:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _coerce(item, items(schema), f"{path}[{index}]")
    elif isinstance(value, dict):
        if schema.get(EMBEDDED):
            yield from _coerce_meta(value, path)
        for name, inner, at in _members(value, schema, path):
            if not (schema.get(EMBEDDED) and name == "metadata"):
                yield from _coerce(value[name], inner, at)


def _members(value: JsonObject, schema: Schema, path: str) -> Iterator[tuple[str, Schema, str]]:
    declared, others = properties(schema), additional(schema)
    for name in value:
        if name in declared:
            yield name, declared[name], f"{path}.{name}" if path else name
        elif others is not None:
            yield name, others, f"{path}[{name}]"


def _coerce_meta(value: JsonObject, path: str) -> Iterator[str]:
    prefix = f"{path}." if path else ""
    for name in ("apiVersion", "kind"):
        if name in value and not isinstance(value[name], str):
            shown = goformat.value(value[name])
            raise Malformed(f"{prefix}{name}: Invalid value: {shown}: must be a string")
    meta = value.get("metadata")
    if meta is None:
        return
    at = f"{prefix}metadata"
    try:
        problems = decoding.decode_struct(OBJECT_META, meta)
    except ValueError as error:
        raise Malformed(f"{at}: Invalid value: {goformat.value(meta)}: {error}") from None
    for problem in problems:
        yield f"{at}.{problem.removeprefix('unknown field ').strip(chr(34))}"


def check(value: JsonValue, schema: Schema | None, path: str = "") -> list[Cause]:
    """The causes for which embedded objects are refused."""
    if schema is None:
        return []
    causes: list[Cause] = []
    if isinstance(value, list):
        for index, item in enumerate(value):
            causes += check(item, items(schema), f"{path}[{index}]")
    elif isinstance(value, dict):
        if schema.get(EMBEDDED):
            causes += _check_object(value, f"{path}." if path else "")
        for name, inner, at in _members(value, schema, path):
            causes += check(value[name], inner, at)
    return causes


def _check_object(value: JsonObject, prefix: str) -> list[Cause]:
    causes = [required(f"{prefix}{name}") for name in ("apiVersion", "kind") if name not in value]
    version, kind = value.get("apiVersion"), value.get("kind")
    if version == "":
        causes.append(invalid(f"{prefix}apiVersion", "", "must not be empty"))
    elif isinstance(version, str) and version.count("/") > 1:
        detail = f"unexpected GroupVersion string: {version}"
        causes.append(invalid(f"{prefix}apiVersion", version, detail))
    if kind == "":
        causes.append(invalid(f"{prefix}kind", "", "must not be empty"))
    elif isinstance(kind, str) and (problems := names.dns1035_label(kind.lower())):
        detail = "may have mixed case, but should otherwise match: " + ",".join(problems)
        causes.append(invalid(f"{prefix}kind", kind, detail))
    meta = value.get("metadata")
    if isinstance(meta, dict):
        causes += _check_meta(meta, f"{prefix}metadata")
    return causes


def _check_meta(meta: JsonObject, path: str) -> list[Cause]:
    name, namespace = meta.get("name", ""), meta.get("namespace", "")
    causes = invalid_each(f"{path}.name", name, names.path_segment(name)) if name else []
    if namespace:
        causes += invalid_each(f"{path}.namespace", namespace, names.dns_label(namespace))
    return causes + objectmeta.common(meta, path)
