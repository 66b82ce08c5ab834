"""Rules evaluated on an object.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go. What rules may cost
is bounded, for each evaluation and for a write: when that is spent, the rest of its rules are not
evaluated and the write is refused.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any, Final

import msgspec

from kubeherd.cluster.api.cel.effort import SPENT, TooCostly
from kubeherd.cluster.api.cel.engine import Evaluated
from kubeherd.cluster.api.cel.interpreter.datatypes import NO_OVERLOAD, NONE, Optional
from kubeherd.cluster.api.cel.schemas import compilation, values
from kubeherd.cluster.api.cel.schemas.compilation import OLD, SELF, Rule
from kubeherd.cluster.api.customresources.schema import (
    LIST_TYPE,
    RULES,
    Schema,
    additional,
    items,
    list_key,
    properties,
    rooted,
    walk,
)
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation.causes import duplicate, forbidden, invalid, required

BUDGET: Final = 2_000_000
"""What the rules of one write may cost together. Kubernetes, where a unit takes a tenth of the
time, allows five times as much; most rules run out of steps (`cel.effort`) before."""
_MAX_MESSAGE_BYTES: Final = 5 * 1024
_MESSAGE_SPENT = (
    "messageExpression evaluation failed due to running out of cost budget, no further validation "
    "rules will be run"
)
_NO_PATH = "<nil>"


class Validator:
    """A schema with its rules; compiled when the first object is held against them."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    @cached_property
    def rules(self) -> list[Rule]:
        """The rules of the schema itself."""
        return compilation.compiled(self.schema).rules if self.schema.get(RULES) else []

    @cached_property
    def fields(self) -> "dict[str, Validator]":
        """What is to be checked of the declared fields."""
        found = {name: _below(inner) for name, inner in properties(self.schema).items()}
        return {name: one for name, one in found.items() if one is not None}

    @cached_property
    def others(self) -> "Validator | None":
        """What is to be checked of the values of a map, or of the elements of a list."""
        return _below(additional(self.schema)) or _below(items(self.schema))


def _below(schema: Schema | None) -> Validator | None:
    if schema is None or not any(RULES in inner for inner in walk(schema)):
        return None
    return Validator(schema)


def validator(schema: Schema) -> Validator:
    """The rules of a kind, by the schema of its objects."""
    return Validator(rooted(schema))


class _Place(msgspec.Struct, frozen=True):
    """A value in the object: where it is, what was there before, and whether that is the same.

    `old` is None where nothing was, or where it cannot be told what was.
    """

    path: str
    new: JsonValue
    old: JsonValue
    unchanged: bool = False
    kind: str = ""
    """The type that the schema gives it."""

    @property
    def field(self) -> str:
        return self.path or _NO_PATH

    def inner(self, step: str, rules: Validator, new: JsonValue, old: JsonValue) -> "_Place":
        """A value in this one."""
        path = step.removeprefix(".") if not self.path else self.path + step
        unchanged = self.unchanged or (old is not None and new == old)
        return _Place(path, new, old, unchanged, rules.schema.get("type", ""))


class _Stop(Exception):
    """No more rules are evaluated."""


class _Run(msgspec.Struct):
    """The rules of one write: what they found and what they may still cost."""

    causes: list[Cause] = msgspec.field(default_factory=list)
    left: int = BUDGET

    def visit(self, rules: Validator, place: _Place) -> None:
        """Evaluate the rules of a value, then of what is in it."""
        if place.new is None:
            return
        try:
            if rules.rules:
                self._rules(rules, place)
        except TooCostly:  # before there was an evaluation that could end so
            raise self._stop(invalid(place.field, place.kind, SPENT)) from None
        for inner_rules, inner in _members(rules, place):
            self.visit(inner_rules, inner)

    def _stop(self, cause: Cause) -> _Stop:
        self.causes.append(cause)
        return _Stop()

    def _rules(self, rules: Validator, place: _Place) -> None:
        kind = place.kind
        this = values.value(place.new, rules.schema)
        before = None if place.old is None else values.value(place.old, rules.schema)
        for rule in rules.rules:
            program = rule.expression.program
            if program is None:
                detail = f"rule compile error: {rule.expression.problem}"
                self.causes.append(invalid(place.field, kind, detail))
            elif before is not None or not rule.uses_old or rule.optional_old:
                variables = {SELF: this, OLD: _old(before, optional=rule.optional_old)}
                self._result(rule, program.run(variables), place, variables)

    def _result(
        self, rule: Rule, found: Evaluated, place: _Place, variables: dict[str, Any]
    ) -> None:
        kind = place.kind
        if found.cost > self.left:
            raise self._stop(invalid(place.field, kind, SPENT))
        self.left -= found.cost
        if found.failure:
            self.causes.append(invalid(place.field, kind, _failure(found, rule)))
            if found.stopped:
                raise _Stop
        elif found.value is not True:
            at = _at(place, rule)
            detail = self._message(rule, kind, at, variables)
            if rule.uses_old or not place.unchanged:
                self.causes.append(_refusal(rule, kind, at, detail, place.new))

    def _message(self, rule: Rule, kind: str, at: str, variables: dict[str, Any]) -> str:
        """What the message expression says, else the message, else the rule."""
        program = rule.message.program if rule.message is not None else None
        if program is not None:
            found = program.run(variables)
            if found.cost > self.left:
                raise self._stop(invalid(at, kind, _MESSAGE_SPENT))
            if found.stopped:
                detail = (
                    "no further validation rules will be run due to call cost exceeds limit for "
                    f"messageExpression: {quoted(program.source)}"
                )
                raise self._stop(invalid(at, kind, detail))
            self.left -= found.cost
            text = found.value.strip() if isinstance(found.value, str) else ""
            if text and "\n" not in text and len(text.encode()) <= _MAX_MESSAGE_BYTES:
                return str(text)
        given = (rule.source.get("message") or "").strip()
        return given or f"failed rule: {rule.source['rule'].strip()}"


def check(rules: Validator, new: JsonObject, old: JsonObject | None) -> list[Cause]:
    """The causes for which the rules of a kind refuse `new`, which replaces `old`."""
    run = _Run()
    with suppress(_Stop):
        run.visit(rules, _Place("", new, old, old is not None and new == old, "object"))
    return run.causes


def _members(rules: Validator, place: _Place) -> Iterator[tuple[Validator, _Place]]:
    new, old = place.new, place.old
    if isinstance(new, dict):
        past = old if isinstance(old, dict) else {}
        for name, value in new.items():
            if name in rules.fields:
                inner = rules.fields[name]
                yield inner, place.inner(f".{name}", inner, value, past.get(name))
            elif rules.others is not None and name not in properties(rules.schema):
                yield rules.others, place.inner(f"[{name}]", rules.others, value, past.get(name))
    elif isinstance(new, list) and rules.others is not None:
        by_key: dict[str | None, JsonValue] = {}
        if rules.schema.get(LIST_TYPE) == "map" and isinstance(old, list):
            by_key = {list_key(rules.schema, item): item for item in old}
        for index, value in enumerate(new):
            before = by_key.get(list_key(rules.schema, value))
            yield rules.others, place.inner(f"[{index}]", rules.others, value, before)


def _old(before: Any, *, optional: bool) -> Any:
    if not optional:
        return before
    return NONE if before is None else Optional(before)


def _name(rule: Rule) -> str:
    return str(rule.source.get("message") or rule.source["rule"]).strip()


def _failure(found: Evaluated, rule: Rule) -> str:
    text = found.failure
    if text.startswith(NO_OVERLOAD):
        return (
            f"'{text}': call arguments did not match a supported operator, function or macro "
            f"signature for rule: {_name(rule)}"
        )
    if found.stopped:
        return (
            f"'{text}': no further validation rules will be run due to call cost exceeds limit for "
            f"rule: {_name(rule)}"
        )
    return f"{text} evaluating rule: {_name(rule)}"


def _at(place: _Place, rule: Rule) -> str:
    """The field of a refusal: the value's, or one in it that the rule names."""
    step = rule.field_path
    if not step:
        return place.field
    return f"{place.path}.{step}" if place.path else step


def _refusal(rule: Rule, kind: str, at: str, detail: str, value: JsonValue) -> Cause:
    reason = rule.source.get("reason")
    if reason == "FieldValueForbidden":
        return forbidden(at, detail)
    if reason == "FieldValueRequired":
        return required(at, detail)
    if reason == "FieldValueDuplicate":
        return duplicate(at, value)
    if kind in ("object", "array"):
        return Cause("FieldValueInvalid", f"Invalid value: {detail}", at)
    return invalid(at, value, detail)
