"""What Go knows of the API's structs and JSON schemas do not tell.

`gostructs.json` beside this file is made by `scripts/update_gostructs.py`: for each served kind its
struct, and for each struct its fields in Go's order, one struct a line:
``GoName:jsonName:protobufNumber:flags:type``, joined by ``;``. The Go name is left out where it is
the JSON name with a capital. Flags: ``p`` pointer, ``r`` repeated, ``o`` omitempty, ``z``
omitzero, ``i`` embedded. Types are ``string``, ``bool``, ``int32``, ``int64``, ``float64``,
``bytes``, a struct, or ``map:`` and the type of the values; ``=`` begins a named list.

Invariants: the file is read when first needed and kept as text; a struct is taken apart when it is
first asked for and never changes.
"""

from functools import cache
from pathlib import Path

import msgspec

_MAP = "map:"
_PACKAGES = (
    "io.k8s.api.", "io.k8s.apimachinery.pkg.", "io.k8s.apiextensions-apiserver.pkg.",
    "io.k8s.kube-aggregator.pkg.",
)  # fmt: skip
"""How keys of OpenAPI definitions begin and names of structs do not."""


class GoField(msgspec.Struct, frozen=True):
    """One field of a struct. `number` is its protobuf number, `type` of a map that of the values;
    `name` is "" where JSON has the fields of an embedded struct in its place."""

    go_name: str
    name: str
    number: int
    type: str
    is_map: bool
    pointer: bool
    repeated: bool
    omitempty: bool
    omitzero: bool = False


class _File(msgspec.Struct, frozen=True):
    kinds: dict[str, str]
    types: dict[str, str]


@cache
def _file() -> _File:
    text = Path(__file__).with_name("gostructs.json").read_bytes()
    return msgspec.json.decode(text, type=_File)


def struct_of(api_version: str, kind: str) -> str | None:
    """The struct of a kind (``core.v1.Pod``), or None if the kind is not served."""
    return _file().kinds.get(f"{api_version}/{kind}")


def struct_of_definition(key: str) -> str:
    """The struct of an OpenAPI definition: ``core.v1.Pod`` of ``io.k8s.api.core.v1.Pod``."""
    for package in _PACKAGES:
        if key.startswith(package):
            return key.removeprefix(package)
    return key


def is_struct(type_: str) -> bool:
    """Whether a type is in the table, be it a struct or a named list."""
    return type_ in _file().types


def items_of(type_: str) -> str:
    """The type of the items of a named list, or "" of everything else."""
    text = _file().types.get(type_, "")
    return text[1:] if text.startswith("=") else ""


@cache
def fields(struct: str) -> tuple[GoField, ...]:
    """The fields of a struct in Go's order; KeyError if there is no such struct."""
    text = _file().types[struct]
    return tuple(map(_field, text.split(";"))) if text and not text.startswith("=") else ()


def _field(text: str) -> GoField:
    go_name, name, number, flags, type_ = text.split(":", 4)
    return GoField(
        go_name=go_name or name[:1].upper() + name[1:],
        name=name,
        number=int(number),
        type=type_.removeprefix(_MAP),
        is_map=type_.startswith(_MAP),
        pointer="p" in flags,
        repeated="r" in flags,
        omitempty="o" in flags,
        omitzero="z" in flags,
    )


@cache
def omitted_zeros(struct: str) -> frozenset[str]:
    """The JSON names of the scalars that are no pointers and that Go leaves out when they are zero,
    those of embedded structs included; none of a struct that is not in the table."""
    found = {"apiVersion", "kind"}
    for field in fields(struct) if is_struct(struct) else ():
        if not field.name:
            found |= omitted_zeros(field.type)
        elif field.omitempty and not field.pointer and not is_struct(field.type):
            found.add(field.name)
    return frozenset(found)
