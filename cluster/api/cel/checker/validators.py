"""What the types of a checked expression do not show: literals that no evaluation could use.

Source: github.com/google/cel-go/cel/validator.go and ext/formatting.go (stringFormatValidator);
which of them Kubernetes uses, k8s.io/apiserver/pkg/cel/environment/base.go.
"""

from collections.abc import Callable, Iterator
from typing import Any

from kubeherd.cluster.api.cel.checker.types import Kind, Type, unwrapped
from kubeherd.cluster.api.cel.functions import formatting
from kubeherd.cluster.api.cel.interpreter.datatypes import Failure
from kubeherd.cluster.api.cel.syntax.lexing import Problem
from kubeherd.cluster.api.cel.syntax.nodes import (
    Call,
    Entry,
    ListNode,
    Literal,
    MapNode,
    Node,
)
from kubeherd.cluster.api.customresources import patterns

_READ_WHEN_COMPILED = frozenset({"find", "findAll"})
_PARAMETRIC = frozenset({Kind.LIST, Kind.MAP, Kind.OPAQUE})


def check(tree: Node) -> list[Problem]:
    """What is wrong with the literals of a checked expression."""
    return list(_walk(tree, mixed=False))


def unreadable_pattern(tree: Node) -> str:
    """The error of a pattern that cannot be compiled ahead, "" if all can."""
    for node in _nodes(tree):
        if isinstance(node, Call) and node.function in _READ_WHEN_COMPILED and node.target:
            pattern = node.arguments[0]
            if isinstance(pattern, Literal) and isinstance(pattern.value, str):
                try:
                    patterns.check(pattern.value)
                except patterns.NoPattern as error:
                    return str(error)
    return ""


def _nodes(tree: Node) -> Iterator[Node]:
    yield tree
    for inner in inside(tree):
        yield from _nodes(inner)


def inside(node: Node) -> Iterator[Node]:
    """The nodes right below one."""
    for name in node.__struct_fields__:
        value = getattr(node, name)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Node):
                yield one
            elif isinstance(one, Entry):
                yield one.key
                yield one.value


def _walk(node: Node, *, mixed: bool) -> Iterator[Problem]:
    """`mixed`: lists and maps may have elements of different types, as inside of ``format``."""
    if isinstance(node, Call):
        yield from _argument(node)
        yield from _format(node)
        mixed = mixed or node.function == "format"
    elif not mixed and isinstance(node, ListNode):
        yield from _list(node)
    elif not mixed and isinstance(node, MapNode):
        yield from _map(node)
    for inner in inside(node):
        yield from _walk(inner, mixed=mixed)


def _equivalent(left: Type, right: Type) -> bool:
    """Whether two types are the same, whatever is not known of them."""
    if left.kind is not right.kind or left.name != right.name:
        return False
    if left.kind not in _PARAMETRIC:
        return True
    return all(map(_equivalent, left.parameters, right.parameters))


def _mismatch(node: Node, expected: Type, found: Type) -> Problem:
    return Problem(f"expected type '{expected}' but found '{found}'", node.at)


def _list(node: ListNode) -> Iterator[Problem]:
    first: Type | None = None
    for index, element in enumerate(node.elements):
        found = unwrapped(element.type) if index in node.optional else element.type
        if first is None:
            first = found
        elif not _equivalent(first, found):
            yield _mismatch(element, first, found)
            return


def _map(node: MapNode) -> Iterator[Problem]:
    key: Type | None = None
    value: Type | None = None
    for entry in node.entries:
        found = unwrapped(entry.value.type) if entry.optional else entry.value.type
        if key is None or value is None:
            key, value = entry.key.type, found
            continue
        if not _equivalent(key, entry.key.type):
            yield _mismatch(entry.key, key, entry.key.type)
        if not _equivalent(value, found):
            yield _mismatch(entry.value, value, found)


def _argument(call: Call) -> Iterator[Problem]:
    """A duration, a time or a pattern that is written out must be one."""
    argument = call.arguments[0] if call.arguments else None
    if not isinstance(argument, Literal) or call.function not in _CHECKED:
        return
    try:
        _CHECKED[call.function](call, argument.value)
    except (Failure, patterns.NoPattern):
        yield Problem(f"invalid {call.function} argument", argument.at)


def _evaluated(call: Call, value: Any) -> None:
    if len(call.overloads) == 1:
        call.overloads[0].run(value)


def _pattern(_: Call, value: Any) -> None:
    if isinstance(value, str):
        patterns.check(value)


_CHECKED: dict[str, Callable[[Call, Any], None]] = {
    "duration": _evaluated,
    "timestamp": _evaluated,
    "matches": _pattern,
}


# --- '%d'.format([x]) ---


def _format(call: Call) -> Iterator[Problem]:
    text = call.target
    if call.function != "format" or not isinstance(text, Literal) or len(call.arguments) != 1:
        return
    arguments = call.arguments[0]
    if not isinstance(text.value, str) or not isinstance(arguments, ListNode):
        return
    used = 0
    try:
        for clause in formatting.clauses(text.value, len(arguments.elements)):
            bad = _unfit(clause, arguments.elements[used])
            if bad is not None:
                yield Problem(_unfit_text(clause, bad.type), bad.at)
                return
            used += 1
    except Failure as failure:
        yield Problem(str(failure), call.at)
        return
    if used < len(arguments.elements):
        count = len(arguments.elements)
        text_ = f"too many arguments supplied to string.format (expected {used}, got {count})"
        yield Problem(text_, call.at)


def _unfit_text(clause: str, type_: Type) -> str:
    only = formatting.ONLY[clause]
    return f"error during formatting: {only}, was given {type_.runtime_name}"


def _unfit(clause: str, node: Node) -> Node | None:
    """The node that a clause cannot write: the argument, or one in it."""
    if node.type.kind is Kind.DYN:
        return None
    if node.type.kind not in formatting.KINDS[clause]:
        return node
    if clause != "s" or not isinstance(node, ListNode | MapNode):
        return None
    return next((bad for one in inside(node) if (bad := _unfit(clause, one)) is not None), None)
