"""What functions there are: their names, and for each the overloads with their types.

An overload's id is cel-go's: the costs of calls are known by it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from kubeherd.cluster.api.cel.checker.types import Type


class Overload(msgspec.Struct, frozen=True, eq=False):
    """A function for arguments of certain types; `member`: the first is the target."""

    id: str
    parameters: tuple[Type, ...]
    result: Type
    run: Callable[..., Any]
    member: bool = False
    guarded: bool = True
    """Whether values of other types are kept from `run`; if not, it looks itself."""


Functions: TypeAlias = Mapping[str, tuple[Overload, ...]]


def function(id_: str, result: Type, run: Callable[..., Any], *parameters: Type) -> Overload:
    """An overload that is called as ``name(a, b)``."""
    return Overload(id_, parameters, result, run)


def member(id_: str, result: Type, run: Callable[..., Any], *parameters: Type) -> Overload:
    """An overload that is called as ``a.name(b)``."""
    return Overload(id_, parameters, result, run, member=True)


def joined(libraries: Iterable[Functions]) -> dict[str, tuple[Overload, ...]]:
    """Several libraries as one; overloads of a name follow each other."""
    found: dict[str, tuple[Overload, ...]] = {}
    for library in libraries:
        for name, overloads in library.items():
            found[name] = found.get(name, ()) + overloads
    return found
