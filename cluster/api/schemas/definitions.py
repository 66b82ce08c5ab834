"""The schemas of Kubernetes 1.36: what fields a kind has, their types, and how lists merge.

Read from the definitions that `kubernetes-validate` ships (made from Kubernetes' own OpenAPI).
Invariants: the 1.6 MB file is read when first needed and kept as bytes, of which only what is asked
for becomes trees; a definition is turned into a `Definition` when it is first asked for and never
changes afterwards, so it can be compared by identity and compiled into closures (see
`cluster.api.serializer.decoding`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject

T = TypeVar("T")

_PATH = Path("kubernetes-json-schema", "v1.36.0-local", "_definitions.json")
_PREFIX = "#/$defs/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."


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


_SPECIAL: dict[str, FieldType] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": FieldType.QUANTITY,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": FieldType.INT_OR_STRING,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": FieldType.RAW,
    _META + "Time": FieldType.TIME,
    _META + "MicroTime": FieldType.MICRO_TIME,
    _META + "FieldsV1": FieldType.RAW_OBJECT,
    _META + "Patch": FieldType.RAW_OBJECT,
    _EXTENSIONS + "JSON": FieldType.RAW,
    _EXTENSIONS + "JSONSchemaPropsOrArray": FieldType.RAW,
    _EXTENSIONS + "JSONSchemaPropsOrBool": FieldType.RAW,
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


@dataclass(frozen=True, eq=False)
class Field:
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

    @property
    def properties(self) -> Mapping[str, "Field"]:
        """The fields of an object field; empty for every other type."""
        return self.definition.properties if self.definition is not None else {}


@dataclass(frozen=True, eq=False)
class Definition:
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


class _Kind(msgspec.Struct, frozen=True):
    group: str
    version: str
    kind: str


class _Summary(msgspec.Struct):
    kinds: list[_Kind] = msgspec.field(name="x-kubernetes-group-version-kind", default_factory=list)
    map_type: str = msgspec.field(name="x-kubernetes-map-type", default="")


class _File(msgspec.Struct, Generic[T]):
    definitions: dict[str, T] = msgspec.field(name="$defs")


def _file() -> bytes:
    # found without an import: the package loads a validator that is not needed here
    spec = find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the package kubernetes-validate is not installed")
    package = Path(spec.submodule_search_locations[0])
    return (package / _PATH).read_bytes()


@cache
def _raw() -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(_file(), type=_File[msgspec.Raw]).definitions


@cache
def _summaries() -> dict[str, _Summary]:
    return msgspec.json.decode(_file(), type=_File[_Summary]).definitions


def keys() -> Iterable[str]:
    """The keys of all definitions."""
    return _raw().keys()


def raw(key: str) -> JsonObject:
    """A definition as shipped (OpenAPI schema with ``x-kubernetes-*``); KeyError if unknown.

    References are ``#/$defs/<key>``, nullable types are ``["string", "null"]``. Each call
    gives a tree of its own.
    """
    tree: JsonObject = msgspec.json.decode(_raw()[key])
    return tree


@cache
def _keys_by_kind() -> dict[tuple[str, str, str], str]:
    return {
        (one.group, one.version, one.kind): key
        for key, summary in _summaries().items()
        for one in summary.kinds
    }


def key_of(group: str, version: str, kind: str) -> str:
    """The definition key of a kind (``io.k8s.api.apps.v1.DaemonSet``); KeyError if unknown."""
    return _keys_by_kind()[group, version, kind]


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
        common["map_type"] = common["map_type"] or _summaries()[key].map_type
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
