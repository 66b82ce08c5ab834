"""The slow pass of decoding: walks a tree with paths and words what is wrong with it."""

from kubeherd.cluster.api.goformat import cut
from kubeherd.cluster.api.jsontypes import JsonValue
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas.definitions import Definition, Field, FieldType
from kubeherd.cluster.api.schemas.gotypes import field_path, go_type_of, json_type_of
from kubeherd.cluster.api.schemas.scalars import canonical, fits
from kubeherd.cluster.api.serializer.decodingrules import (
    CONTAINERS,
    ZERO,
    Dropped,
    drops,
    raw_problem,
)

_MAX_PROBLEMS = 100
"""How many unknown fields are reported, as in Kubernetes (sigs.k8s.io/json)."""


class Refused(Exception):
    """A value of the wrong type; the text is that of Go's decoder."""


class Reporter:
    """Walks a tree with paths: drops and reports unknown fields, words the first wrong type.

    Two paths are kept, as in Kubernetes: `path` with list indexes for unknown fields, `names`
    without them for type errors, which also name the innermost Go struct.
    """

    def __init__(self, definition: Definition, converting: bool, dropped: Dropped) -> None:
        self.definition = definition
        self.problems: list[str] = []
        self._converting = converting
        self._dropped = dropped
        self._mismatch = ""

    def _problem(self, text: str) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(text)

    def run(self, tree: JsonValue) -> list[str]:
        """The strict problems. As in Go a value that reads itself (a quantity, a time) is refused
        at once, one of the wrong type when everything has been read."""
        root = Field(FieldType.OBJECT, definition_key=self.definition.key)
        self._value(tree, root, "", "", "")
        if self._mismatch:
            raise Refused(self._mismatch)
        return self.problems

    def _value(
        self, value: JsonValue, field: Field, path: str, names: str, struct: str
    ) -> JsonValue:
        if field.type is FieldType.OBJECT:
            return self._object(value, field, path, names, struct)
        if field.type is FieldType.SCHEMA:
            return self._schema(value, path, names, struct)
        if field.type is FieldType.LIST and value.__class__ is list and field.items is not None:
            for index, item in enumerate(value):
                value[index] = (
                    _zero(field.items)
                    if item is None
                    else self._value(item, field.items, f"{path}[{index}]", names, struct)
                )
            return value
        if field.type is FieldType.MAP and value.__class__ is dict and field.additional is not None:
            for key, item in value.items():
                value[key] = (
                    _zero(field.additional)
                    if item is None
                    else self._value(item, field.additional, cut(f"{path}.{key}"), names, struct)
                )
            return value
        return self._scalar(value, field, names, struct)

    def _schema(self, value: JsonValue, path: str, names: str, struct: str) -> JsonValue:
        inner = Field(FieldType.OBJECT, definition_key=schemas.JSON_SCHEMA)
        if value.__class__ is list:
            return [
                self._value(item, inner, f"{path}[{index}]", names, struct)
                for index, item in enumerate(value)
            ]
        if value.__class__ in (bool, dict):
            return (
                value if value.__class__ is bool else self._value(value, inner, path, names, struct)
            )
        raise Refused("boolean or JSON schema expected")

    def _object(
        self, value: JsonValue, field: Field, path: str, names: str, struct: str
    ) -> JsonValue:
        definition = field.definition
        assert definition is not None  # noqa: S101 - object fields always have one
        if value.__class__ is not dict:
            return self._refused(value, field, names, struct)
        for name in list(value):
            item = value[name]
            inner = definition.properties.get(name)
            inner_path = cut(f"{path}.{name}" if path else name)
            if inner is None:
                self._problem(f'unknown field "{inner_path}"')
                del value[name]
                continue
            if item is not None:
                shown = field_path(definition.go_type, name)
                inner_names = cut(f"{names}.{shown}" if names else shown)
                item = self._value(item, inner, inner_path, inner_names, definition.go_type)
                value[name] = item
            if item is not None and not item and inner.type in CONTAINERS:
                self._dropped.append((value, name, item))
            if item is None or (not item and drops(definition, name, inner)):
                del value[name]
        return value

    def _scalar(self, value: JsonValue, field: Field, names: str, struct: str) -> JsonValue:
        if field.type in (FieldType.RAW, FieldType.RAW_OBJECT):
            problem = raw_problem(value)
            if problem:
                raise Refused(problem)
            if field.type is FieldType.RAW or value.__class__ is dict:
                return value
        elif fits(field.type, value):
            try:
                return canonical(field.type, value)
            except ValueError as error:
                inner = self._converting and field.type is FieldType.BYTES
                raise Refused(
                    f"error decoding from json: {error}" if inner else str(error)
                ) from None
        if field.type is FieldType.INT32 and self._converting and value.__class__ is int:
            return (value + _INT32) % (2 * _INT32) - _INT32  # Go's converter cuts bits off
        if field.type in _READ_THEMSELVES:
            raise Refused(_mismatch(value, field, names, struct))
        return self._refused(value, field, names, struct)

    def _refused(self, value: JsonValue, field: Field, names: str, struct: str) -> JsonValue:
        """Remember that a value has the wrong type; what is returned nobody will see."""
        if self._converting:
            raise Refused(_unconvertible(value, field))
        self._mismatch = self._mismatch or _mismatch(value, field, names, struct)
        return value


_INT32 = 2**31
_INTEGERS = frozenset({FieldType.INT32, FieldType.INT64, FieldType.INT_OR_STRING})
_READ_THEMSELVES = frozenset({
    FieldType.TIME, FieldType.MICRO_TIME, FieldType.INT_OR_STRING, FieldType.QUANTITY,
})  # fmt: skip
_READ_AS = {
    FieldType.TIME: "string", FieldType.MICRO_TIME: "string", FieldType.INT_OR_STRING: "int32",
}  # fmt: skip
"""What types that read themselves ask Go's decoder for."""
_RESTORED = {
    FieldType.OBJECT: "struct from:", FieldType.LIST: "slice from", FieldType.MAP: "map from",
}  # fmt: skip
_KINDS = {
    FieldType.STRING: "string",
    FieldType.BYTES: "slice",
    FieldType.BOOL: "bool",
    FieldType.INT32: "int32",
    FieldType.INT64: "int64",
    FieldType.NUMBER: "float64",
}
_GO_KINDS = {
    dict: "map",
    list: "slice",
    str: "string",
    bool: "bool",
    int: "int64",
    float: "float64",
}


def _unconvertible(value: JsonValue, field: Field) -> str:
    """The text of k8s.io/apimachinery, runtime/converter.go (fromUnstructured)."""
    given = _GO_KINDS[type(value)]
    if field.type in _RESTORED:
        return f"cannot restore {_RESTORED[field.type]} {given}"
    if field.type is FieldType.STRING and given == "int64":
        return "cannot convert int64 to string"
    return f"unrecognized type: {_KINDS.get(field.type, 'interface')}"


def _mismatch(value: JsonValue, field: Field, names: str, struct: str) -> str:
    """Go's text for a value of the wrong type (golden case selector-mismatch)."""
    shown = json_type_of(value)
    if shown == "number" and field.type in _INTEGERS:
        shown = f"number {value}"  # a number, but not one that fits the type
    text = f"json: cannot unmarshal {shown} into Go "
    if not struct:
        return f"{text}value of type {go_type_of(field, '', '')}"
    go_type = _READ_AS.get(field.type) or go_type_of(field, struct, names.rpartition(".")[2])
    return f"{text}struct field {struct}.{names} of type {go_type}"


def _zero(field: Field) -> JsonValue:
    """What Go makes of a null inside a list or a map."""
    if field.type in (FieldType.OBJECT, FieldType.MAP):
        return {}
    return [] if field.type is FieldType.LIST else ZERO.get(field.type)
