"""Rules as they stand in a definition: whether they can be evaluated at all.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation and
pkg/apiserver/schema/cel/compilation.go.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from kubeherd.cluster.api.cel import engine, fieldcheck, library
from kubeherd.cluster.api.customresources.schema import (
    LIST_TYPE,
    RULES,
    Schema,
    nested,
    properties,
    rooted,
)
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation.causes import invalid, not_supported, required

MAX_DEPTH: Final = 3
"""Loops inside of loops: more are refused, whatever they go over."""
MAX_CHARS: Final = 8000
"""The longest expression: the library works recursively, on a stack that ends somewhere beyond
16,000."""
_REASONS = (
    "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired",
)  # fmt: skip


@lru_cache(maxsize=512)
def program(expression: str) -> engine.Program:
    """A compiled expression; ValueError if it is none."""
    return engine.compile(expression)


def check(schema: Schema, path: str) -> list[Cause]:
    """The causes for which the rules of a definition's schema are refused."""
    return list(_walk(rooted(schema), path, ""))


def _walk(schema: Schema, path: str, uncorrelated: str) -> Iterator[Cause]:
    for index, rule in enumerate(schema.get(RULES) or ()):
        at = f"{path}.{RULES}[{index}]"
        texts = list(_texts(rule, schema, at))
        yield from texts
        if not texts:
            yield from _expressions(rule, schema, at, uncorrelated)
    for step, inner in nested(schema):
        if not step.startswith((".properties", ".items", ".additionalProperties")):
            continue
        is_atomic = step == ".items" and schema.get(LIST_TYPE) != "map"
        yield from _walk(inner, path + step, uncorrelated or (path if is_atomic else ""))


def _texts(rule: JsonObject, schema: Schema, at: str) -> Iterator[Cause]:
    source, message = rule.get("rule") or "", rule.get("message") or ""
    expression, field = rule.get("messageExpression") or "", rule.get("fieldPath") or ""
    if not source.strip():
        yield required(f"{at}.rule", "rule is not specified")
    elif message and not message.strip():
        yield invalid(f"{at}.message", message, "must be non-empty if specified")
    elif "\n" in message.strip():
        yield invalid(f"{at}.message", message, "must not contain line breaks")
    elif "\n" in source.strip() and not message.strip():
        detail = "message must be specified if rule contains line breaks"
        yield required(f"{at}.message", detail)
    if expression and not expression.strip():
        detail = "messageExpression must be non-empty if specified"
        yield required(f"{at}.messageExpression", detail)
    if rule.get("reason") is not None and rule["reason"] not in _REASONS:
        yield not_supported(f"{at}.reason", rule["reason"], _REASONS)
    if field and not field.strip():
        yield invalid(f"{at}.fieldPath", field, "must be non-empty if specified")
    if field and not _is_path(field, schema):
        yield invalid(f"{at}.fieldPath", field, "must be a valid path")


def _is_path(text: str, schema: Schema) -> bool:
    found: Schema | None = schema
    names = text.replace("['", ".").replace("']", "").removeprefix(".").split(".")
    for name in names:
        declared = properties(found)
        if name not in declared and not (found or {}).get("additionalProperties"):
            return False
        found = declared.get(name) or (found or {}).get("additionalProperties")
    return True


def _shown(rule: JsonObject) -> JsonValue:
    """A rule as Kubernetes' internal type is printed."""
    return {
        "Rule": rule.get("rule", ""),
        "Message": rule.get("message", ""),
        "MessageExpression": rule.get("messageExpression", ""),
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath", ""),
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }


def _expressions(rule: JsonObject, schema: Schema, at: str, uncorrelated: str) -> Iterator[Cause]:
    source = rule["rule"]
    optional = bool(rule.get("optionalOldSelf"))
    problem = problem_of(source, schema, optional=optional)
    if problem:
        yield invalid(f"{at}.rule", _shown(rule), problem)
        return
    message = rule.get("messageExpression")
    if message and (problem := problem_of(message, schema, optional=optional)):
        yield invalid(f"{at}.messageExpression", _shown(rule), f"messageExpression {problem}")
    if "oldSelf" not in program(source).variables():
        if rule.get("optionalOldSelf") is not None:
            detail = "may not be set if oldSelf is not used in rule"
            yield invalid(f"{at}.optionalOldSelf", rule["optionalOldSelf"], detail)
    elif uncorrelated:
        detail = (
            "oldSelf cannot be used on the uncorrelatable portion of the schema within "
            f"{uncorrelated}"
        )
        yield invalid(f"{at}.rule", source, detail)


def problem_of(expression: str, schema: Schema, *, optional: bool) -> str:
    """What keeps an expression from being evaluated, "" if nothing does."""
    if len(expression) > MAX_CHARS:
        return f"kubeherd evaluates expressions of at most {MAX_CHARS} characters"
    try:
        references = program(expression).references()
    except ValueError as error:
        return "compilation failed: " + str(error).partition("': ")[2]
    unknown = [
        name
        for name in references["functions"]
        if name.isidentifier() and name not in library.known()
    ]
    read = fieldcheck.Check(expression, schema).run(old_self=not optional)
    problems = list(read.problems)
    for name in unknown:
        at = expression.find(name)
        text = f"undeclared reference to '{name}' (in container '')"
        problems.append(fieldcheck.Problem(text, max(at, 0)))
    if problems:
        problems.sort(key=lambda problem: problem.at)
        return "compilation failed: " + "\n".join(fieldcheck.shown(expression, problems))
    if read.depth > MAX_DEPTH:
        return f"loops are nested {read.depth} deep, kubeherd evaluates at most {MAX_DEPTH}"
    return ""
