"""What an expression of admission may name, and what it has to evaluate to.

Apart from what evaluates them: who only declares expressions imports no more than this.
"""

from enum import Enum

import msgspec


class Returns(Enum):
    """What an expression has to evaluate to."""

    BOOL = "bool"
    STRING = "string"
    STRING_OR_NULL = "string or null"
    OBJECT = "Object"
    PATCH = "list(JSONPatch)"
    ANYTHING = "dyn"


class Scope(msgspec.Struct, frozen=True):
    """What an expression may name beside the request and its objects."""

    params: bool = False
    authorizer: bool = True
    patches: bool = False
    variables: tuple[tuple[str, str], ...] | None = None
    """The names after ``variables.`` with their expressions; None where there are none at all."""
