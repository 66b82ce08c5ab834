"""Expressions as trees. Macros are expanded in them: every loop is a comprehension."""

from typing import Any

import msgspec

from kubeherd.cluster.api.cel.checker.declarations import Overload
from kubeherd.cluster.api.cel.checker.types import DYN, Type


class Node(msgspec.Struct, kw_only=True, eq=False):
    """A part of an expression; `at` is where it stands, counted from 0."""

    at: int = 0
    type: Type = DYN
    """What the checker found."""


class Literal(Node, eq=False):
    """A value written in the expression."""

    value: Any


class Ident(Node, eq=False):
    """A variable, or the name of a type."""

    name: str


class Select(Node, eq=False):
    """A field of a value; `test`: whether it is there (``has``); `optional`: ``.?field``."""

    operand: Node
    field: str
    test: bool = False
    optional: bool = False


class Call(Node, eq=False):
    """A function or an operator; `overloads` is what the checker chose."""

    function: str
    arguments: list[Node]
    target: Node | None = None
    overloads: tuple[Overload, ...] = ()

    def operands(self) -> list[Node]:
        """The target, if there is one, and the arguments."""
        return self.arguments if self.target is None else [self.target, *self.arguments]


class ListNode(Node, eq=False):
    """``[a, ?b]``; `optional` has the positions that may be left out."""

    elements: list[Node]
    optional: frozenset[int] = frozenset()


class Entry(msgspec.Struct, eq=False):
    """An entry of a map or an object."""

    key: Node
    value: Node
    optional: bool = False


class MapNode(Node, eq=False):
    """``{a: b}``."""

    entries: list[Entry]


class StructNode(Node, eq=False):
    """``Name{field: value}``; the keys are literals."""

    name: str
    fields: list[Entry]


class Comprehension(Node, eq=False):
    """A loop: `step` makes the next value of `accumulator` for each element of `over`."""

    over: Node
    variable: str
    second: str
    accumulator: str
    init: Node
    condition: Node
    step: Node
    result: Node

    @property
    def is_bind(self) -> bool:
        """Whether it goes over nothing, only to give a value a name."""
        over, condition = self.over, self.condition
        return (
            isinstance(over, ListNode)
            and not over.elements
            and isinstance(condition, Literal)
            and condition.value is False
            and self.accumulator != ACCUMULATOR
        )


ACCUMULATOR = "@result"
"""The variable of macros, which no expression can name."""


def qualified_name(node: Node) -> str:
    """``a.b.c`` for a chain of names, "" for anything else."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test and not node.optional:
        name = qualified_name(node.operand)
        return f"{name}.{node.field}" if name else ""
    return ""
