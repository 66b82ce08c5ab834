"""Rules evaluated on an object.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go. What a rule may cost
is bounded: each evaluation is charged what it could at most look at, and when the budget of a write
is spent the rest of its rules are not evaluated and the write is refused.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec

from kubeherd.cluster.api.cel import engine, fieldcheck, library, values
from kubeherd.cluster.api.cel.rules import program
from kubeherd.cluster.api.customresources.schema import (
    LIST_TYPE,
    RULES,
    Schema,
    additional,
    items,
    list_key,
    properties,
    rooted,
)
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation.causes import duplicate, forbidden, invalid, required

BUDGET: Final = 2_000_000
"""Values that the rules of one write may look at: about a second."""
_EACH = 100
"""What a rule costs however little it looks at."""
_SPENT = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)
_NO_PATH = "<nil>"
_FAILURES = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


class _Spent(Exception):
    """The budget is used up at this field."""


class _Evaluation(msgspec.Struct):
    left: int = BUDGET

    def charge(self, cost: int, path: str, schema: Schema) -> None:
        self.left -= cost
        if self.left < 0:
            raise _Spent(path, schema.get("type", ""))


def check(schema: Schema, new: JsonObject, old: JsonObject | None) -> list[Cause]:
    """The causes for which the rules of a schema refuse `new`, which replaces `old`."""
    causes: list[Cause] = []
    try:
        for cause in _walk(_Evaluation(), rooted(schema), new, old, "", unchanged=False):
            causes.append(cause)  # noqa: PERF402 - what was found before the budget ends counts
    except _Spent as spent:
        path, type_ = spent.args
        causes.append(invalid(path or _NO_PATH, type_, _SPENT))
    return causes


def _walk(
    run: _Evaluation,
    schema: Schema,
    new: JsonValue,
    old: JsonValue,
    path: str,
    *,
    unchanged: bool,
) -> Iterator[Cause]:
    if new is None:
        return
    unchanged = unchanged or (old is not None and new == old)
    if schema.get(RULES):
        yield from _rules(run, schema, new, old, path, unchanged=unchanged)
    for inner_schema, inner, before, at in _members(schema, new, old, path):
        yield from _walk(run, inner_schema, inner, before, at, unchanged=unchanged)


def _members(
    schema: Schema, new: JsonValue, old: JsonValue, path: str
) -> Iterator[tuple[Schema, JsonValue, JsonValue, str]]:
    if isinstance(new, dict):
        declared, others = properties(schema), additional(schema)
        past = old if isinstance(old, dict) else {}
        for name, value in new.items():
            if name in declared:
                yield declared[name], value, past.get(name), f"{path}.{name}" if path else name
            elif others is not None:
                yield others, value, past.get(name), f"{path}[{name}]"
    elif isinstance(new, list) and (inner := items(schema)) is not None:
        by_key = {}
        if schema.get(LIST_TYPE) == "map" and isinstance(old, list):
            by_key = {list_key(schema, item): item for item in old}
        for index, value in enumerate(new):
            yield inner, value, by_key.get(list_key(schema, value)), f"{path}[{index}]"


def _rules(
    run: _Evaluation,
    schema: Schema,
    new: JsonValue,
    old: JsonValue,
    path: str,
    *,
    unchanged: bool,
) -> Iterator[Cause]:
    this = values.value(new, schema)
    before = None if old is None else values.value(old, schema)
    count, longest = values.size(this)
    context = library.context({})
    for rule in schema[RULES]:
        source = rule["rule"]
        uses_old = "oldSelf" in program(source).variables()
        optional = bool(rule.get("optionalOldSelf"))
        if uses_old and before is None and not optional:
            continue
        run.charge(_EACH + count + longest ** _depth(source), path, schema)
        context.update({"self": this, "oldSelf": _old(before, optional=optional)})
        try:
            result = program(source).execute(context)
        except _FAILURES as error:
            detail = f"{_problem(error)} evaluating rule: {_name(rule)}"
            yield invalid(path or _NO_PATH, schema.get("type", ""), detail)
            continue
        if result is not True and (uses_old or not unchanged):
            yield _refusal(rule, schema, new, path, context)


@lru_cache(maxsize=512)
def _depth(source: str) -> int:
    """How deep the loops of a rule are nested."""
    return fieldcheck.Check(source, {}).run().depth


def _old(before: Any, *, optional: bool) -> Any:
    if not optional:
        return before
    return engine.OptionalValue.none() if before is None else engine.OptionalValue.of(before)


def _problem(error: Exception) -> str:
    """The text of cel-go for the failures that rules have."""
    if isinstance(error, KeyError):
        return f"no such key: {error.args[0]}".replace("'", "")
    if isinstance(error, ZeroDivisionError):
        return "division by zero"
    if isinstance(error, TypeError):
        return "no such overload"
    return str(error).partition("\n")[0]


def _name(rule: JsonObject) -> str:
    return str(rule.get("message") or rule["rule"].strip())


def _refusal(
    rule: JsonObject, schema: Schema, new: JsonValue, path: str, context: engine.Context
) -> Cause:
    detail = _message(rule, context)
    field = rule.get("fieldPath") or ""
    at = path + field if path or not field else field.removeprefix(".")
    at = at or _NO_PATH
    reason = rule.get("reason")
    if reason == "FieldValueForbidden":
        return forbidden(at, detail)
    if reason == "FieldValueRequired":
        return required(at, detail)
    if reason == "FieldValueDuplicate":
        return duplicate(at, new)
    if schema.get("type") in ("object", "array"):
        return Cause("FieldValueInvalid", f"Invalid value: {detail}", at)
    return invalid(at, new, detail)


def _message(rule: JsonObject, context: engine.Context) -> str:
    expression = rule.get("messageExpression")
    if expression:
        try:
            text = program(expression).execute(context)
        except _FAILURES:
            text = ""
        if isinstance(text, str) and text.strip() and "\n" not in text:
            return text
    given = (rule.get("message") or "").strip()
    return given or f"failed rule: {rule['rule'].strip()}"
