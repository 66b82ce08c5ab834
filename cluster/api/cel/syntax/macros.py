"""Macros: ``has``, the loops with one or two variables, and those of optional values.

Source: github.com/google/cel-go/parser/macro.go, cel/macro.go, cel/library.go (optMap, optFlatMap),
ext/comprehensions.go, ext/lists.go (sortBy).
"""

from collections.abc import Callable

from kubeherd.cluster.api.cel.syntax.nodes import (
    ACCUMULATOR,
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
)


class Misused(Exception):
    """A macro with arguments that it cannot have."""

    def __init__(self, text: str, at: int) -> None:
        super().__init__(text)
        self.text = text
        self.at = at


def expanded(call: Call) -> Node:
    """What a call stands for if it is a macro, else the call itself."""
    if call.target is None:
        return _has(call) if call.function == "has" and len(call.arguments) == 1 else call
    expand = _MACROS.get((call.function, len(call.arguments)))
    return call if expand is None else expand(call, call.target, call.arguments)


def _has(call: Call) -> Node:
    argument = call.arguments[0]
    if not isinstance(argument, Select):
        raise Misused("invalid argument to has() macro", argument.at)
    return Select(argument.operand, argument.field, test=True, at=call.at)


def _name(node: Node) -> str:
    if not isinstance(node, Ident):
        raise Misused("argument must be a simple name", node.at)
    if node.name == "__result__":
        raise Misused("iteration variable overwrites accumulator variable", node.at)
    return node.name


def _names(arguments: list[Node], count: int) -> tuple[str, str]:
    """The loop's variables; the second is "" if there is one only."""
    first = _name(arguments[0])
    if count == 1:
        return first, ""
    second = _name(arguments[1])
    if first == second:
        raise Misused(f"duplicate variable name: {first}", arguments[1].at)
    return first, second


class _Loop:
    """The nodes of a comprehension, all at the place of the macro's call."""

    def __init__(self, call: Call, over: Node, names: tuple[str, str]) -> None:
        self.at, self.over, self.names = call.at, over, names

    def accumulator(self) -> Node:
        return Ident(ACCUMULATOR, at=self.at)

    def literal(self, value: object) -> Node:
        return Literal(value, at=self.at)

    def call(self, function: str, *arguments: Node) -> Node:
        return Call(function, list(arguments), at=self.at)

    def made(
        self, init: Node, step: Node, condition: Node | None = None, result: Node | None = None
    ) -> Node:
        return Comprehension(
            self.over,
            *self.names,
            ACCUMULATOR,
            init,
            self.literal(True) if condition is None else condition,
            step,
            self.accumulator() if result is None else result,
            at=self.at,
        )


def _all(variables: int) -> Callable[[Call, Node, list[Node]], Node]:
    def expand(call: Call, target: Node, arguments: list[Node]) -> Node:
        loop = _Loop(call, target, _names(arguments, variables))
        return loop.made(
            loop.literal(True),
            loop.call("_&&_", loop.accumulator(), arguments[-1]),
            loop.call("@not_strictly_false", loop.accumulator()),
        )

    return expand


def _exists(variables: int) -> Callable[[Call, Node, list[Node]], Node]:
    def expand(call: Call, target: Node, arguments: list[Node]) -> Node:
        loop = _Loop(call, target, _names(arguments, variables))
        negated = loop.call("!_", loop.accumulator())
        return loop.made(
            loop.literal(False),
            loop.call("_||_", loop.accumulator(), arguments[-1]),
            loop.call("@not_strictly_false", negated),
        )

    return expand


def _exists_one(variables: int) -> Callable[[Call, Node, list[Node]], Node]:
    def expand(call: Call, target: Node, arguments: list[Node]) -> Node:
        loop = _Loop(call, target, _names(arguments, variables))
        counted = loop.call("_+_", loop.accumulator(), loop.literal(1))
        return loop.made(
            loop.literal(0),
            loop.call("_?_:_", arguments[-1], counted, loop.accumulator()),
            result=loop.call("_==_", loop.accumulator(), loop.literal(1)),
        )

    return expand


def _list(variables: int) -> Callable[[Call, Node, list[Node]], Node]:
    """``map`` and ``transformList``, with a filter before the value or without."""

    def expand(call: Call, target: Node, arguments: list[Node]) -> Node:
        loop = _Loop(call, target, _names(arguments, variables))
        element = ListNode([arguments[-1]], at=call.at)
        step = loop.call("_+_", loop.accumulator(), element)
        if len(arguments) > variables + 1:
            step = loop.call("_?_:_", arguments[variables], step, loop.accumulator())
        return loop.made(ListNode([], at=call.at), step)

    return expand


def _filter(call: Call, target: Node, arguments: list[Node]) -> Node:
    loop = _Loop(call, target, _names(arguments, 1))
    element = ListNode([Ident(loop.names[0], at=arguments[0].at)], at=call.at)
    step = loop.call("_+_", loop.accumulator(), element)
    step = loop.call("_?_:_", arguments[1], step, loop.accumulator())
    return loop.made(ListNode([], at=call.at), step)


def _map(call: Call, target: Node, arguments: list[Node]) -> Node:
    """``transformMap`` and ``transformMapEntry``."""
    loop = _Loop(call, target, _names(arguments, 2))
    inserted = [loop.accumulator(), arguments[-1]]
    if call.function == "transformMap":
        inserted.insert(1, Ident(loop.names[0], at=arguments[0].at))
    step = loop.call("cel.@mapInsert", *inserted)
    if len(arguments) == 4:
        step = loop.call("_?_:_", arguments[2], step, loop.accumulator())
    return loop.made(MapNode([], at=call.at), step)


def _bound(name: str, value: Node, result: Node, at: int) -> Node:
    """`result` with `name` for the value."""
    false, ident = Literal(False, at=at), Ident(name, at=at)
    return Comprehension(
        ListNode([], at=at), "#unused", "", name, value, false, ident, result, at=at
    )


def _optional_map(call: Call, target: Node, arguments: list[Node]) -> Node:
    name, at = _name(arguments[0]), call.at
    bound = _bound(name, Call("value", [], target, at=at), arguments[1], at)
    if call.function == "optMap":
        bound = Call("optional.of", [bound], at=at)
    has = Call("hasValue", [], target, at=at)
    return Call("_?_:_", [has, bound, Call("optional.none", [], at=at)], at=at)


def _sort_by(call: Call, target: Node, arguments: list[Node]) -> Node:
    if isinstance(target, Literal | MapNode):
        text = (
            "sortBy can only be applied to a list, identifier, comprehension, call or select "
            "expression"
        )
        raise Misused(text, target.at)
    name = "@__sortBy_input__"
    keys = _list(1)(call, Ident(name, at=call.at), arguments)
    sort = Call("@sortByAssociatedKeys", [keys], Ident(name, at=call.at), at=call.at)
    return _bound(name, target, sort, call.at)


_MACROS: dict[tuple[str, int], Callable[[Call, Node, list[Node]], Node]] = {
    ("all", 2): _all(1),
    ("all", 3): _all(2),
    ("exists", 2): _exists(1),
    ("exists", 3): _exists(2),
    ("exists_one", 2): _exists_one(1),
    ("exists_one", 3): _exists_one(2),
    ("existsOne", 2): _exists_one(1),
    ("existsOne", 3): _exists_one(2),
    ("map", 2): _list(1),
    ("map", 3): _list(1),
    ("filter", 2): _filter,
    ("transformList", 3): _list(2),
    ("transformList", 4): _list(2),
    ("transformMap", 3): _map,
    ("transformMap", 4): _map,
    ("transformMapEntry", 3): _map,
    ("transformMapEntry", 4): _map,
    ("optMap", 2): _optional_map,
    ("optFlatMap", 2): _optional_map,
    ("sortBy", 2): _sort_by,
}
