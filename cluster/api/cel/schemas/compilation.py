"""The rules of one schema, compiled: what they are, what is wrong with them, what they can cost.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/compilation.go.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from kubeherd.cluster.api.cel import engine
from kubeherd.cluster.api.cel.checker import types
from kubeherd.cluster.api.cel.checker.types import Type
from kubeherd.cluster.api.cel.costs import costs
from kubeherd.cluster.api.cel.engine import Environment, Program, Uncompilable
from kubeherd.cluster.api.cel.schemas import fieldpaths
from kubeherd.cluster.api.cel.schemas.declared import (
    MAX_REQUEST_BYTES,
    Declared,
    declared,
)
from kubeherd.cluster.api.customresources.schema import RULES, Schema
from kubeherd.cluster.api.jsontypes import JsonObject

SELF: Final = "self"
OLD: Final = "oldSelf"


class Expression(msgspec.Struct, frozen=True):
    """A compiled expression and the most that it can cost, or why there is none."""

    program: Program | None = None
    most: int = 0
    problem: str = ""


class Rule(msgspec.Struct, frozen=True):
    """A rule of a schema; `message` is there if it has a messageExpression."""

    source: JsonObject
    expression: Expression
    message: Expression | None = None
    field_path: str = ""
    """The field below the value that a refusal names."""

    @property
    def uses_old(self) -> bool:
        """Whether it compares with the value that was there before."""
        program = self.expression.program
        return program is not None and OLD in program.names

    @property
    def optional_old(self) -> bool:
        """Whether ``oldSelf`` is an optional value, so that the rule counts at creation too."""
        return bool(self.source.get("optionalOldSelf"))


class Rules(msgspec.Struct, frozen=True):
    """The rules of a schema; `cardinality`: how many values of it a request has room for."""

    rules: list[Rule]
    cardinality: int


def compiled(schema: Schema) -> Rules:
    """The rules that a schema has itself, not those of schemas in it."""
    type_ = declared(schema)
    if type_ is None:  # a value of which nothing is known; structural rules allow none with rules
        type_ = Declared(types.DYN, 0, 1)
    compile_ = _compiler(type_)
    rules = [_rule(source, schema, compile_) for source in schema.get(RULES) or ()]
    return Rules(rules, MAX_REQUEST_BYTES // (type_.min_bytes + 1))


_Compile = Callable[[str, bool, Type, str], Expression]


def _compiler(declared_type: Declared) -> _Compile:
    fields = declared_type.all_fields()
    type_ = declared_type.type

    def size_of(path: costs.Path) -> int | None:
        found = declared_type.at(path[1:])
        return None if found is None else found.max_elements

    def compile_(source: str, optional: bool, wanted: Type, prefix: str) -> Expression:
        old = types.optional_of(type_) if optional else type_
        try:
            program = engine.compiled(source, Environment({SELF: type_, OLD: old}, fields))
        except Uncompilable as error:
            text = str(error)
            if prefix:
                text = prefix + text.removeprefix("program ")
            return Expression(problem=text)
        if program.type != wanted:
            name = "messageExpression" if prefix else "cel expression"
            article = "a string" if prefix else "a bool"
            return Expression(problem=f"{name} must evaluate to {article}")
        return Expression(program, costs.estimate(program.tree, size_of).most)

    return compile_


def _rule(source: JsonObject, schema: Schema, compile_: _Compile) -> Rule:
    optional = bool(source.get("optionalOldSelf"))
    expression = compile_(source["rule"], optional, types.BOOL, "")
    text, path = source.get("messageExpression"), source.get("fieldPath")
    message = None
    if text and not expression.problem:
        message = compile_(text, optional, types.STRING, "messageExpression ")
    field = fieldpaths.normalised(path, schema) if path else None
    return Rule(source, expression, message, field or "")
