"""The types of CEL, as the checker compares them and as messages name them.

Source: github.com/google/cel-go/common/types (types.go) and checker/format.go.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

import msgspec


class Kind(Enum):
    """What sort of type one is; the value is the name that messages show."""

    DYN = "dyn"
    ERROR = "!error!"
    NULL = "null"
    BOOL = "bool"
    INT = "int"
    UINT = "uint"
    DOUBLE = "double"
    STRING = "string"
    BYTES = "bytes"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    LIST = "list"
    MAP = "map"
    TYPE = "type"
    STRUCT = "struct"
    OPAQUE = "opaque"
    PARAMETER = "parameter"


_RUNTIME_NAMES = {
    Kind.NULL: "null_type",
    Kind.TIMESTAMP: "google.protobuf.Timestamp",
    Kind.DURATION: "google.protobuf.Duration",
}


class Type(msgspec.Struct, frozen=True):
    """A type; `name` of objects, opaque types and type parameters, "" of all others."""

    kind: Kind
    name: str = ""
    parameters: tuple["Type", ...] = ()

    def __str__(self) -> str:
        name = self.name or self.kind.value
        if not self.parameters:
            return name
        return f"{name}({', '.join(str(one) for one in self.parameters)})"

    @property
    def runtime_name(self) -> str:
        """How a value of this type names its type."""
        return self.name or _RUNTIME_NAMES.get(self.kind, self.kind.value)


DYN: Final = Type(Kind.DYN)
ERROR: Final = Type(Kind.ERROR)
NULL: Final = Type(Kind.NULL)
BOOL: Final = Type(Kind.BOOL)
INT: Final = Type(Kind.INT)
UINT: Final = Type(Kind.UINT)
DOUBLE: Final = Type(Kind.DOUBLE)
STRING: Final = Type(Kind.STRING)
BYTES: Final = Type(Kind.BYTES)
TIMESTAMP: Final = Type(Kind.TIMESTAMP)
DURATION: Final = Type(Kind.DURATION)
LIST: Final = Type(Kind.LIST)
MAP: Final = Type(Kind.MAP)
TYPE: Final = Type(Kind.TYPE)

URL: Final = Type(Kind.STRUCT, "kubernetes.URL")
QUANTITY: Final = Type(Kind.STRUCT, "kubernetes.Quantity")
SEMVER: Final = Type(Kind.STRUCT, "kubernetes.Semver")
FORMAT: Final = Type(Kind.STRUCT, "kubernetes.NamedFormat")
IP: Final = Type(Kind.OPAQUE, "net.IP")
CIDR: Final = Type(Kind.OPAQUE, "net.CIDR")
OPTIONAL: Final = Type(Kind.OPAQUE, "optional_type")


def declared_name(type_: Type) -> str:
    """How Go's messages outside of the checker name a type."""
    if not type_.parameters:
        return type_.runtime_name
    inner = ", ".join(declared_name(one) for one in type_.parameters)
    return f"{type_.runtime_name}({inner})"


def list_of(element: Type) -> Type:
    """The type of lists of these elements."""
    return Type(Kind.LIST, "", (element,))


def map_of(key: Type, value: Type) -> Type:
    """The type of maps from these keys to these values."""
    return Type(Kind.MAP, "", (key, value))


def optional_of(value: Type) -> Type:
    """The type of a value that may be missing."""
    return Type(Kind.OPAQUE, OPTIONAL.name, (value,))


def parameter(name: str) -> Type:
    """A type parameter of a function."""
    return Type(Kind.PARAMETER, name)


def type_of(type_: Type) -> Type:
    """The type of a type."""
    return Type(Kind.TYPE, "", (type_,))


def is_optional(type_: Type) -> bool:
    """Whether values of this type may be missing."""
    return type_.kind is Kind.OPAQUE and type_.name == OPTIONAL.name


def unwrapped(type_: Type) -> Type:
    """The type inside of an optional one; any other as it is."""
    return type_.parameters[0] if is_optional(type_) and type_.parameters else type_


def is_dynamic(type_: Type) -> bool:
    """Whether only the run shows what the values are."""
    return type_.kind in (Kind.DYN, Kind.ERROR)


def substitute(type_: Type, found: dict[str, Type], *, free: Type | None = None) -> Type:
    """A type with what its parameters were found to be; parameters that are free become `free`."""
    if type_.kind is Kind.PARAMETER:
        if type_.name in found:
            return substitute(found[type_.name], found, free=free)
        return type_ if free is None else free
    if not type_.parameters:
        return type_
    inner = tuple(substitute(one, found, free=free) for one in type_.parameters)
    return Type(type_.kind, type_.name, inner)


def parameter_names(types: Iterable[Type]) -> set[str]:
    """The names of all type parameters in these types."""
    names: set[str] = set()
    for one in types:
        if one.kind is Kind.PARAMETER:
            names.add(one.name)
        names |= parameter_names(one.parameters)
    return names
