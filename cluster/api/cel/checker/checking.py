"""Types of expressions: every node gets one, every call its overloads, or there is an error.

Source: github.com/google/cel-go/checker (checker.go, types.go, errors.go) and the validators of
literals in cel/validator.go.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from kubeherd.cluster.api.cel.checker import types, unifying, validators
from kubeherd.cluster.api.cel.checker.declarations import Functions, Overload
from kubeherd.cluster.api.cel.checker.types import (
    BOOL,
    DYN,
    ERROR,
    INT,
    Kind,
    Type,
    is_dynamic,
    is_optional,
    list_of,
    map_of,
    optional_of,
    parameter,
    parameter_names,
    substitute,
    unwrapped,
)
from kubeherd.cluster.api.cel.functions import library
from kubeherd.cluster.api.cel.interpreter.datatypes import type_of
from kubeherd.cluster.api.cel.syntax.lexing import Problem
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

Fields = Mapping[str, Mapping[str, Type]]
"""The fields of object types, by the names of the types."""


class Environment(msgspec.Struct, frozen=True):
    """What an expression may name: variables, the fields of objects, functions, types."""

    variables: Mapping[str, Type]
    fields: Fields = {}
    functions: Functions = msgspec.field(default_factory=lambda: library.FUNCTIONS)
    types: Mapping[str, Type] = msgspec.field(default_factory=lambda: library.TYPES)


def check(node: Node, environment: Environment) -> list[Problem]:
    """Give every node its type; what is wrong with the expression."""
    checker = _Checker(environment, [dict(environment.variables)])
    checker.visit(node)
    problems = checker.problems
    if not problems:
        checker.settle()
        problems = validators.check(node)
    return sorted(problems, key=lambda problem: problem.at)


class _Checker(msgspec.Struct):
    environment: Environment
    scopes: list[dict[str, Type]]
    problems: list[Problem] = msgspec.field(default_factory=list)
    found: dict[str, Type] = msgspec.field(default_factory=dict)
    free: int = 0
    nodes: list[Node] = msgspec.field(default_factory=list)

    def _report(self, text: str, node: Node) -> None:
        problem = Problem(text, node.at)
        if problem not in self.problems:
            self.problems.append(problem)

    def visit(self, node: Node) -> Type:
        """Check a node and what is in it."""
        node.type = _VISITS[type(node)](self, node)
        self.nodes.append(node)
        return node.type

    def settle(self) -> None:
        """Write what type parameters were found to be into the nodes."""
        for one in self.nodes:
            one.type = substitute(one.type, self.found, free=DYN)

    # --- names and fields ---

    def _lookup(self, name: str) -> Type | None:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        found = self.environment.types.get(name)
        return None if found is None else types.type_of(found)

    def ident(self, node: Ident) -> Type:
        found = self._lookup(node.name)
        if found is not None:
            return found
        self._report(f"undeclared reference to '{node.name}' (in container '')", node)
        return ERROR

    def select(self, node: Select) -> Type:
        name = qualified_name(node)
        found = self._lookup(name) if name and "." in name else None
        if found is not None:
            return found
        result = self._field(node)
        return BOOL if node.test else result

    def _field(self, node: Select) -> Type:
        type_ = substitute(self.visit(node.operand), self.found)
        target = unwrapped(type_)
        result = DYN
        if target.kind is Kind.MAP:
            result = target.parameters[1] if target.parameters else DYN
        elif target.kind is Kind.STRUCT:
            fields = self.environment.fields.get(target.name, {})
            keyword = f"__{node.field}__"
            if node.field not in fields and keyword in fields:
                node.field = keyword  # a word that CEL reserves
            if node.field in fields:
                result = fields[node.field]
            else:
                self._report(f"undefined field '{node.field}'", node)
                result = ERROR
        elif target.kind is Kind.PARAMETER:
            self._assignable(DYN, target)
        elif not is_dynamic(target):
            self._report(f"type '{target}' does not support field selection", node)
        if is_optional(type_) or node.optional:
            result = optional_of(result)
        return substitute(result, self.found)

    # --- calls ---

    def call(self, node: Call) -> Type:
        for argument in node.arguments:
            self.visit(argument)
        if node.target is not None:
            self._target(node, node.target)
        overloads = self.environment.functions.get(node.function)
        if overloads is None:
            self._report(f"undeclared reference to '{node.function}' (in container '')", node)
            return ERROR
        return self._resolve(node, overloads)

    def _target(self, node: Call, target: Node) -> None:
        """``optional.of(x)`` is a function of that name, not one of a variable `optional`."""
        prefix = qualified_name(target)
        if prefix and f"{prefix}.{node.function}" in self.environment.functions:
            node.function, node.target = f"{prefix}.{node.function}", None
        else:
            self.visit(target)

    def _resolve(self, node: Call, overloads: tuple[Overload, ...]) -> Type:
        arguments = [one.type for one in node.operands()]
        if node.function in ("_&&_", "_||_"):
            return self._logical(node, overloads)
        result: Type | None = None
        chosen: list[Overload] = []
        for overload in overloads:
            if overload.member != (node.target is not None):
                continue
            parameters, returned = self._instance(overload)
            if not self._all_assignable(arguments, parameters):
                continue
            chosen.append(overload)
            returned = substitute(returned, self.found)
            if result is None:
                result = returned
            elif result.kind is not Kind.DYN and returned != result:
                result = DYN
        if result is None:
            shown = [str(substitute(one, self.found, free=DYN)) for one in arguments]
            signature = f"({', '.join(shown)})"
            if node.target is not None:
                signature = f"{shown[0]}.({', '.join(shown[1:])})"
            text = f"found no matching overload for '{node.function}' applied to '{signature}'"
            self._report(text, node)
            return ERROR
        node.overloads = tuple(chosen)
        return result

    def _logical(self, node: Call, overloads: tuple[Overload, ...]) -> Type:
        node.overloads = overloads
        result = BOOL
        for argument in node.arguments:
            if not self._assignable(argument.type, BOOL):
                self._mismatch(argument, BOOL, argument.type)
                result = ERROR
        return result

    def _instance(self, overload: Overload) -> tuple[tuple[Type, ...], Type]:
        """An overload's types with type parameters of their own."""
        names = parameter_names((*overload.parameters, overload.result))
        if not names:
            return overload.parameters, overload.result
        fresh = {name: self._variable() for name in sorted(names)}
        parameters = tuple(substitute(one, fresh) for one in overload.parameters)
        return parameters, substitute(overload.result, fresh)

    def _variable(self) -> Type:
        self.free += 1
        return parameter(f"_var{self.free}")

    def _assignable(self, left: Type, right: Type) -> bool:
        return self._all_assignable([left], (right,))

    def _all_assignable(self, left: list[Type], right: tuple[Type, ...]) -> bool:
        found = dict(self.found)
        if not unifying.assignable_lists(found, left, right):
            return False
        self.found = found
        return True

    def _mismatch(self, node: Node, expected: Type, found: Type) -> None:
        expected, found = (substitute(one, self.found, free=DYN) for one in (expected, found))
        self._report(f"expected type '{expected}' but found '{found}'", node)

    # --- lists, maps, objects ---

    def _join(self, previous: Type | None, current: Type) -> Type:
        if previous is None:
            return current
        if self._assignable(previous, current):
            return unifying.most_general(previous, current)
        return DYN  # validators say where elements of several types may be

    def _element(self, node: Node, *, optional: bool) -> Type:
        type_ = self.visit(node)
        if optional and is_optional(type_):
            return unwrapped(type_)
        if optional and type_.kind is not Kind.DYN:
            self._mismatch(node, optional_of(type_), type_)
        return type_

    def list_node(self, node: ListNode) -> Type:
        type_: Type | None = None
        for index, element in enumerate(node.elements):
            found = self._element(element, optional=index in node.optional)
            type_ = self._join(type_, found)
        return list_of(self._variable() if type_ is None else unifying.shallow(self.found, type_))

    def map_node(self, node: MapNode) -> Type:
        key: Type | None = None
        value: Type | None = None
        for entry in node.entries:
            key = self._join(key, self.visit(entry.key))
            found = self._element(entry.value, optional=entry.optional)
            value = self._join(value, found)
        if key is None or value is None:
            key, value = self._variable(), self._variable()
        # No list or map can be a key. As types of keys they would be told twice as long by each map
        # in a map: thirty, and nobody can read to the end of one.
        return map_of(DYN if key.parameters else key, unifying.shallow(self.found, value))

    def struct(self, node: StructNode) -> Type:
        type_ = self.environment.types.get(node.name)
        if type_ is None:
            self._report(f"undeclared reference to '{node.name}' (in container '')", node)
            type_ = ERROR
        elif type_.kind is not Kind.STRUCT:
            self._report(f"'{type_}' is not a message type", node)
            type_ = ERROR
        fields = self.environment.fields.get(type_.name, {})
        for entry in node.fields:
            self._struct_field(entry, fields, known=type_ is not ERROR)
        return type_

    def _struct_field(self, entry: Entry, fields: Mapping[str, Type], *, known: bool) -> None:
        found = self._element(entry.value, optional=entry.optional)
        name = entry.key.value if isinstance(entry.key, Literal) else ""
        if not known:
            return
        if name not in fields:
            self._report(f"undefined field '{name}'", entry.key)
        elif not self._assignable(fields[name], found):
            text = (
                f"expected type of field '{name}' is '{fields[name]}' but provided type is "
                f"'{substitute(found, self.found, free=DYN)}'"
            )
            self._report(text, entry.key)

    # --- loops ---

    def comprehension(self, node: Comprehension) -> Type:
        over = substitute(self.visit(node.over), self.found)
        accumulated = self.visit(node.init)
        first, second = self._variables(node, over)
        self.scopes.append({node.accumulator: accumulated})
        inner = {node.variable: first}
        if node.second:
            inner[node.second] = second
        self.scopes.append(inner)
        self._typed(node.condition, BOOL)
        self._typed(node.step, accumulated)
        self.scopes.pop()
        result = self.visit(node.result)
        self.scopes.pop()
        return substitute(result, self.found)

    def _typed(self, node: Node, wanted: Type) -> None:
        found = self.visit(node)
        if not self._assignable(wanted, found):
            self._mismatch(node, wanted, found)

    def _variables(self, node: Comprehension, over: Type) -> tuple[Type, Type]:
        """The types of the loop's variables."""
        if over.kind is Kind.LIST:
            element = over.parameters[0] if over.parameters else DYN
            return (INT, element) if node.second else (element, ERROR)
        if over.kind is Kind.MAP:
            return (over.parameters[0], over.parameters[1]) if over.parameters else (DYN, DYN)
        if is_dynamic(over) or over.kind is Kind.PARAMETER:
            self._assignable(DYN, over)
            return DYN, DYN
        text = (
            f"expression of type '{over}' cannot be range of a comprehension (must be list, map, "
            "or dynamic)"
        )
        self._report(text, node.over)
        return ERROR, ERROR


def _literal(_: _Checker, node: Literal) -> Type:
    return type_of(node.value)


_VISITS: dict[type[Node], Callable[[_Checker, Any], Type]] = {
    Literal: _literal,
    Ident: _Checker.ident,
    Select: _Checker.select,
    Call: _Checker.call,
    ListNode: _Checker.list_node,
    MapNode: _Checker.map_node,
    StructNode: _Checker.struct,
    Comprehension: _Checker.comprehension,
}
