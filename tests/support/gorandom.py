"""Random objects of any kind, in the form in which Go's JSON encoder would write them."""

import random
from typing import Any

from kubeherd.cluster.api.schemas import gostructs
from kubeherd.cluster.api.schemas.gostructs import GoField

_TEXTS = ("a", "name", "é", "x-y.z", "\U0001f600", "0")
_TIME = "2023-11-14T22:13:20"
_RAW: tuple[Any, ...] = ({}, {"a": [1, None]}, "x", 0, False, [])
_VALUES: dict[str, tuple[Any, ...]] = {
    "string": ("", *_TEXTS),
    "bool": (False, True),
    "int32": (0, 1, -1, 2**31 - 1, -(2**31)),
    "int64": (0, 1, -1, 2**63 - 1, -(2**63)),
    "float64": (0, 2.5, -1, 1e300),
    "bytes": ("", "AP8=", "AAAA"),
    "apis.meta.v1.Time": (f"{_TIME}Z",),
    "api.resource.Quantity": ("0", "500m", "1Gi"),
    "util.intstr.IntOrString": (0, -7, "", "http", "5%"),
    "apis.meta.v1.FieldsV1": ({}, {"f:a": {".": {}}}),
    "runtime.RawExtension": _RAW,
    "apis.apiextensions.v1.JSON": _RAW,
}
_OR_ELSE = "apis.apiextensions.v1.JSONSchemaPropsOr"


class Objects:
    """Makes values of the types in the table; below `depth` only what has to be there."""

    def __init__(self, rng: random.Random, depth: int = 6) -> None:
        self._rng = rng
        self._depth = depth

    def of_kind(self, api_version: str, kind: str) -> dict[str, Any]:
        struct = gostructs.struct_of(api_version, kind)
        assert struct is not None, (api_version, kind)
        return {"kind": kind, "apiVersion": api_version, **self.struct(struct)}

    def struct(self, struct: str) -> dict[str, Any]:
        self._depth -= 1
        tree: dict[str, Any] = {}
        for field in gostructs.fields(struct):
            if not field.number:
                continue
            if not field.name:
                tree |= self.struct(field.type)
                continue
            value = self._field(field)
            if value is not None:
                tree[field.name] = value
        self._depth += 1
        return tree

    def _field(self, field: GoField) -> Any:
        """A field's value, or None if it is left out."""
        optional = field.pointer or field.repeated or field.is_map
        left_out = self._depth < 0 or self._rng.random() < 0.5
        if optional and left_out:
            return None
        count = self._rng.randint(1, 2)
        if field.is_map:
            return {self._text(): self.value(field.type) for _ in range(count)}
        if field.repeated:
            return [self.value(field.type) for _ in range(count)]
        value = self.value(field.type)
        if field.type == "bytes" and not field.omitempty:
            return None if left_out else value
        droppable = field.omitempty and not field.pointer and not gostructs.is_struct(field.type)
        return None if droppable and not value else value

    def _text(self) -> str:
        return self._rng.choice(_TEXTS)

    def value(self, type_: str) -> Any:
        """A value of a scalar type, a struct or a named list."""
        rng = self._rng
        if gostructs.items_of(type_):
            return [self.value(gostructs.items_of(type_)) for _ in range(rng.randint(1, 2))]
        if type_ in _VALUES:
            return rng.choice(_VALUES[type_])
        if type_ == "apis.meta.v1.MicroTime":
            return f"{_TIME}.{rng.randint(0, 999_999):06}Z"
        if type_.startswith(_OR_ELSE):
            return self._schema_or_else(type_.removeprefix(_OR_ELSE))
        return self.struct(type_)

    def _schema_or_else(self, other: str) -> Any:
        if self._depth > 0 and self._rng.random() < 0.5:
            return self.struct("apis.apiextensions.v1.JSONSchemaProps")
        if other == "Bool":
            return self._rng.random() < 0.5
        return ["a"] if other == "StringArray" else [{}]
