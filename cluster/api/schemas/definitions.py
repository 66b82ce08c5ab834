"""The schemas of Kubernetes 1.36: what fields a kind has, their types, and how lists merge.

`definitions.json.gz` beside this file holds the definitions of Kubernetes' own OpenAPI description;
`scripts/update_schemas.py` makes it, and its first line says from what. Invariants: the 1.3 MB are
read once, when first needed, and kept as bytes, of which only what is asked for becomes trees; a
definition is turned into a `Definition` when it is first asked for and never changes afterwards,
so it can be compared by identity and compiled into closures (see
`cluster.api.serializer.decoding`).
"""

import gzip
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import cache, cached_property
from pathlib import Path

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject

_PREFIX = "#/$defs/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."


JSON_SCHEMA = _EXTENSIONS + "JSONSchemaProps"
"""The key of the definition of schemas themselves."""


class FieldType(Enum):
    """What a field holds, as Go sees it."""

    OBJECT = "object"
    MAP = "map"
    LIST = "list"
    STRING = "string"
    INT32 = "int32"
    INT64 = "int64"
    NUMBER = "number"
    BOOL = "bool"
    QUANTITY = "quantity"
    INT_OR_STRING = "int-or-string"
    TIME = "time"
    MICRO_TIME = "micro-time"
    BYTES = "bytes"
    RAW = "raw"
    """Any JSON value."""
    RAW_OBJECT = "raw-object"
    """Any JSON object (FieldsV1, Patch)."""
    SCHEMA = "schema"
    """A JSONSchemaProps, a list of them, or a boolean (``items``, ``additionalProperties``)."""


_SPECIAL: dict[str, FieldType] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": FieldType.QUANTITY,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": FieldType.INT_OR_STRING,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": FieldType.RAW,
    _META + "Time": FieldType.TIME,
    _META + "MicroTime": FieldType.MICRO_TIME,
    _META + "FieldsV1": FieldType.RAW_OBJECT,
    _META + "Patch": FieldType.RAW_OBJECT,
    _EXTENSIONS + "JSON": FieldType.RAW,
    _EXTENSIONS + "JSONSchemaPropsOrArray": FieldType.SCHEMA,
    _EXTENSIONS + "JSONSchemaPropsOrBool": FieldType.SCHEMA,
    _EXTENSIONS + "JSONSchemaPropsOrStringArray": FieldType.RAW,
}
_SCALARS: dict[tuple[str, str | None], FieldType] = {
    ("string", None): FieldType.STRING,
    ("string", "byte"): FieldType.BYTES,
    ("boolean", None): FieldType.BOOL,
    ("integer", "int32"): FieldType.INT32,
    ("integer", "int64"): FieldType.INT64,
    ("number", "double"): FieldType.NUMBER,
}


class Field(msgspec.Struct, frozen=True, eq=False, dict=True):
    """One field, list item or map value.

    `items` is set for lists, `additional` (the values' type) for maps, `definition_key` for
    objects. `patch_strategies` holds ``merge``, ``replace`` and ``retainKeys``; `list_type` is
    ``atomic``, ``set``, ``map`` or empty; `map_type` is ``atomic``, ``granular`` or empty.
    """

    type: FieldType
    required: bool = False
    definition_key: str = ""
    items: "Field | None" = None
    additional: "Field | None" = None
    merge_key: str = ""
    patch_strategies: frozenset[str] = frozenset()
    list_type: str = ""
    list_map_keys: tuple[str, ...] = ()
    map_type: str = ""

    @cached_property
    def definition(self) -> "Definition | None":
        """The definition of an object field, else None."""
        return by_key(self.definition_key) if self.definition_key else None

    @cached_property
    def properties(self) -> Mapping[str, "Field"]:
        """The fields of an object field; empty for every other type."""
        return self.definition.properties if self.definition is not None else {}


class Definition(msgspec.Struct, frozen=True, eq=False, dict=True):
    """One struct of the API: `key` as in the OpenAPI document, its fields by JSON name."""

    key: str
    properties: Mapping[str, Field]
    map_type: str = ""

    @cached_property
    def go_type(self) -> str:
        """The Go struct's name, for example ``DaemonSetSpec``."""
        return self.key.rpartition(".")[2]

    @cached_property
    def required(self) -> frozenset[str]:
        """The names of the fields that the schema requires."""
        return frozenset(name for name, field in self.properties.items() if field.required)

    def field(self, name: str) -> Field | None:
        """The field with this JSON name, or None."""
        return self.properties.get(name)


class Source(msgspec.Struct, frozen=True):
    """What the definitions are made from: a version of a package, and of Kubernetes in it."""

    package: str
    package_version: str
    kubernetes_version: str


class _File(msgspec.Struct, frozen=True):
    source: Source
    kinds: dict[str, str]
    """``group/version/kind`` to the key of its definition."""
    definitions: dict[str, msgspec.Raw]


class _MapType(msgspec.Struct):
    map_type: str = msgspec.field(name="x-kubernetes-map-type", default="")


@cache
def _file() -> _File:
    text = gzip.decompress(Path(__file__).with_name("definitions.json.gz").read_bytes())
    return msgspec.json.decode(text, type=_File)


def source() -> Source:
    """What the shipped definitions are made from."""
    return _file().source


def keys() -> Iterable[str]:
    """The keys of all definitions."""
    return _file().definitions.keys()


def raw(key: str) -> JsonObject:
    """A definition as shipped (OpenAPI schema with ``x-kubernetes-*``); KeyError if unknown.

    References are ``#/$defs/<key>``, nullable types are ``["string", "null"]``. Each call
    gives a tree of its own.
    """
    tree: JsonObject = msgspec.json.decode(_file().definitions[key])
    return tree


def key_of(group: str, version: str, kind: str) -> str:
    """The definition key of a kind (``io.k8s.api.apps.v1.DaemonSet``); KeyError if unknown."""
    return _file().kinds[f"{group}/{version}/{kind}"]


@cache
def definition(group: str, version: str, kind: str) -> Definition:
    """The schema of a kind; KeyError if Kubernetes 1.36 has none."""
    return by_key(key_of(group, version, kind))


@cache
def by_key(key: str) -> Definition:
    """The definition with this key; KeyError if there is none."""
    schema = raw(key)
    required = frozenset(schema.get("required", ()))
    return Definition(
        key=key,
        properties={
            name: _field(prop, name in required)
            for name, prop in schema.get("properties", {}).items()
        },
        map_type=schema.get("x-kubernetes-map-type", ""),
    )


def _map_type(key: str) -> str:
    return msgspec.json.decode(_file().definitions[key], type=_MapType).map_type


def _scalar_type(schema: JsonObject) -> str:
    declared = schema.get("type")
    if isinstance(declared, list):
        return str(next(name for name in declared if name != "null"))
    return str(declared)


def _field(schema: JsonObject, required: bool = False) -> Field:
    common = {
        "required": required,
        "merge_key": schema.get("x-kubernetes-patch-merge-key", ""),
        "patch_strategies": frozenset(
            filter(None, schema.get("x-kubernetes-patch-strategy", "").split(","))
        ),
        "list_type": schema.get("x-kubernetes-list-type", ""),
        "list_map_keys": tuple(schema.get("x-kubernetes-list-map-keys", ())),
        "map_type": schema.get("x-kubernetes-map-type", ""),
    }
    if "$ref" in schema:
        key = schema["$ref"].removeprefix(_PREFIX)
        special = _SPECIAL.get(key)
        if special is not None:
            return Field(special, **common)
        common["map_type"] = common["map_type"] or _map_type(key)
        return Field(FieldType.OBJECT, definition_key=key, **common)
    declared = _scalar_type(schema)
    if declared == "array":
        return Field(FieldType.LIST, items=_field(schema["items"]), **common)
    if declared == "object":
        if "additionalProperties" in schema:
            values = _field(schema["additionalProperties"])
            return Field(FieldType.MAP, additional=values, **common)
        return Field(FieldType.RAW_OBJECT, **common)
    return Field(_SCALARS[declared, schema.get("format")], **common)
