"""Checked expressions as functions that evaluate them.

Each node becomes a closure, so a rule is read once and run often. An evaluation is charged as in
cel-go (interpreter/runtimecost.go) and ends when it has cost too much.
"""

from collections.abc import Callable
from typing import Any

from kubeherd.cluster.api.cel.checker.types import Kind
from kubeherd.cluster.api.cel.costs.charges import NEW_LIST, NEW_MAP, NEW_OBJECT
from kubeherd.cluster.api.cel.functions import library
from kubeherd.cluster.api.cel.interpreter import calls, weights
from kubeherd.cluster.api.cel.interpreter.datatypes import (
    NO_OVERLOAD,
    Failure,
    Growing,
    GrowingMap,
    ObjectValue,
    Optional,
)
from kubeherd.cluster.api.cel.interpreter.running import Frame, Lazy, Run, optional_field
from kubeherd.cluster.api.cel.syntax.nodes import (
    Call,
    Comprehension,
    Entry,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
    StructNode,
    qualified_name,
)


def plan(node: Node) -> Run:
    """The function that evaluates a checked node."""
    return _PLANS[type(node)](node)


def _constant(value: Any) -> Run:
    return lambda frame: value


def _literal(node: Literal) -> Run:
    return _constant(node.value)


def _ident(node: Ident) -> Run:
    name = node.name
    if node.type.kind is Kind.TYPE and name in library.TYPES:
        return _constant(library.TYPES[name])

    def run(frame: Frame) -> Any:
        frame.cost += 1
        value = frame.variables.get(name, frame)
        if value is frame:
            raise Failure(f"no such attribute(s): {name}")
        if isinstance(value, Failure):
            raise value
        return value() if type(value) is Lazy else value

    return run


def _select(node: Select) -> Run:
    name = qualified_name(node)
    if node.type.kind is Kind.TYPE and name in library.TYPES:
        return _constant(library.TYPES[name])
    operand, field = plan(node.operand), node.field
    if node.test:
        return lambda frame: _has(operand(frame), field)
    if node.optional:
        return _optional(operand, field)

    def run(frame: Frame) -> Any:
        value = operand(frame)
        frame.cost += 1
        try:
            return value[field]
        except KeyError:
            raise Failure(f"no such key: {field}") from None
        except TypeError:
            if isinstance(value, Optional):
                return optional_field(value, field)
            if name in frame.variables:  # a variable with a dot in its name
                return frame.variables[name]
            raise Failure(NO_OVERLOAD) from None

    return run


def _optional(operand: Run, field: str) -> Run:
    def run(frame: Frame) -> Any:
        value = operand(frame)
        frame.cost += 1
        return optional_field(value, field)

    return run


def _has(value: Any, field: str) -> bool:
    if isinstance(value, Optional):
        return value.present and _has(value.value, field)
    if not isinstance(value, dict):
        raise Failure(NO_OVERLOAD)
    return field in value


def _call(node: Call) -> Run:
    return calls.planned(node, [plan(one) for one in node.operands()])


# --- lists, maps, objects, loops ---


def _list(node: ListNode) -> Run:
    if all(isinstance(one, Literal) for one in node.elements) and not node.optional:
        values = [one.value for one in node.elements if isinstance(one, Literal)]
        return _constant(values)
    elements = [(plan(one), at in node.optional) for at, one in enumerate(node.elements)]

    def run(frame: Frame) -> Any:
        made = []
        for element, optional in elements:
            value = element(frame)
            if not optional:
                made.append(value)
            elif value.present:
                made.append(value.value)
        frame.charge(NEW_LIST)
        return made

    return run


def _entries(entries: list[Entry], cost: int) -> Run:
    planned = [(plan(one.key), plan(one.value), one.optional) for one in entries]

    def run(frame: Frame) -> Any:
        made = {}
        for key_run, value_run, optional in planned:
            key, value = key_run(frame), value_run(frame)
            if not isinstance(key, str | int):
                raise Failure("unsupported key type")
            if key in made:
                raise Failure(f"Failed with repeated key: {key}")
            if not optional:
                made[key] = value
            elif value.present:
                made[key] = value.value
        frame.charge(cost)
        return made

    return run


def _map(node: MapNode) -> Run:
    return _entries(node.entries, NEW_MAP)


def _struct(node: StructNode) -> Run:
    fields, type_ = _entries(node.fields, NEW_OBJECT), node.type
    return lambda frame: ObjectValue(type_, fields(frame))


def _comprehension(node: Comprehension) -> Run:
    if node.is_bind:
        return _bind(node)
    over, step = plan(node.over), plan(node.step)
    init, result = _grown(node.init), plan(node.result)
    condition = None if isinstance(node.condition, Literal) else plan(node.condition)
    name, names = node.accumulator, (node.variable, node.second)
    steps = weights.turn(node)

    def run(frame: Frame) -> Any:
        take = frame.effort.take
        elements = _elements(over(frame), two=bool(names[1]))
        variables, first_value = frame.variables, init(frame)
        hidden = _hidden(variables, (name, *names))
        variables[name] = first_value
        try:
            for first, second in elements:
                take(steps)
                if condition is not None and condition(frame) is False:
                    break
                variables[names[0]] = first
                if names[1]:
                    variables[names[1]] = second
                try:
                    variables[name] = step(frame)
                except Failure as failure:
                    if condition is None:
                        raise
                    take(weights.FAILED)
                    variables[name] = failure
            made = result(frame)
        finally:
            variables.update(hidden)
        return _finished(made)

    return run


def _hidden(variables: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The variables that a loop's hide; names that hide nothing may stay, no one reads them."""
    return {name: variables[name] for name in names if name in variables}


def _grown(node: Node) -> Run:
    """The first value of a loop; an empty list or map is one that grows."""
    if isinstance(node, ListNode) and not node.elements:
        return lambda frame: Growing()
    if isinstance(node, MapNode) and not node.entries:
        return lambda frame: GrowingMap()
    return plan(node)


def _finished(value: Any) -> Any:
    if type(value) is Growing:
        return list(value)
    return dict(value) if type(value) is GrowingMap else value


def _elements(value: Any, *, two: bool) -> list[tuple[Any, Any]]:
    """What a loop goes over: key and value with two variables, else elements or keys."""
    if isinstance(value, list):
        return list(enumerate(value)) if two else [(one, None) for one in value]
    if isinstance(value, dict):
        return list(value.items())
    raise Failure(NO_OVERLOAD)


def _bind(node: Comprehension) -> Run:
    init, result, name = plan(node.init), plan(node.result), node.accumulator

    def run(frame: Frame) -> Any:
        value = init(frame)
        hidden = _hidden(frame.variables, (name,))
        frame.variables[name] = value
        try:
            return result(frame)
        finally:
            frame.variables.update(hidden)

    return run


_PLANS: dict[type[Node], Callable[[Any], Run]] = {
    Literal: _literal,
    Ident: _ident,
    Select: _select,
    Call: _call,
    ListNode: _list,
    MapNode: _map,
    StructNode: _struct,
    Comprehension: _comprehension,
}
