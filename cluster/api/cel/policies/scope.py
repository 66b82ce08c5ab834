"""What an expression of admission may name, and what it has to evaluate to.

Apart from what evaluates them: who only declares expressions imports no more than this.
"""

from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec


class Returns(Enum):
    """What an expression has to evaluate to."""

    BOOL = "bool"
    STRING = "string"
    STRING_OR_NULL = "string or null"
    OBJECT = "Object"
    PATCH = "list(JSONPatch)"
    ANYTHING = "dyn"


class Variables(msgspec.Struct, frozen=True, eq=False):
    """The variables of a policy, in order: their names and expressions.

    There may be thousands of them, so they are the same only as an object (`variables_of`), and
    what is known of one is found once: `types` has the types of those that have been compiled.
    """

    pairs: tuple[tuple[str, str], ...]
    places: dict[str, int]
    types: dict[int, Any] = msgspec.field(default_factory=dict)


class Scope(msgspec.Struct, frozen=True):
    """What an expression may name beside the request and its objects."""

    params: bool = False
    authorizer: bool = True
    patches: bool = False
    variables: Variables | None = None
    """The names after ``variables.``; None where there are none at all."""
    seen: int = 0
    """So many of the variables it may name: the first ones."""


def _new(pairs: tuple[tuple[str, str], ...], params: bool) -> Variables:
    places: dict[str, int] = {}
    for place, (name, _) in enumerate(pairs):
        places.setdefault(name, place)
    return Variables(pairs, places)


# Small ones, and few of those that can be as large as an object.
_interned = lru_cache(maxsize=256)(_new)
_interned_large = lru_cache(maxsize=4)(_new)
_LARGE_CHARS = 16 * 1024


def scope_of(pairs: tuple[tuple[str, str], ...], *, params: bool, patches: bool = False) -> Scope:
    """What the expressions of a policy may name that has these variables: all of them."""
    chars = sum(len(name) + len(expression) for name, expression in pairs)
    variables = (_interned if chars <= _LARGE_CHARS else _interned_large)(pairs, params)
    return Scope(params=params, patches=patches, variables=variables, seen=len(pairs))
