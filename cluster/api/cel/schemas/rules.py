"""Rules as they stand in a definition: whether they mean anything, and whether they cost too much.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation (validation.go,
cel_validation.go).
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from kubeherd.cluster.api.cel import effort
from kubeherd.cluster.api.cel.schemas import compilation, fieldpaths
from kubeherd.cluster.api.cel.schemas.compilation import Expression, Rule
from kubeherd.cluster.api.customresources.schema import (
    LIST_TYPE,
    RULES,
    Schema,
    has_additional,
    nested,
    rooted,
)
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation.causes import forbidden, invalid, not_supported, required

RULE_LIMIT: Final = 10_000_000
"""What one rule may cost, over all values that it is evaluated for."""
SCHEMA_LIMIT: Final = 100_000_000
"""What all rules of a schema may cost together."""
_SHOWN_EXPENSIVE: Final = 4
_MAX: Final = 2**64 - 1
_BREAKS = re.compile(r"[\n\r]")
_REASONS = (
    "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired",
)  # fmt: skip


class _Place(msgspec.Struct, frozen=True):
    """A schema in a definition: where it is, and what counts for the rules in it."""

    schema: Schema
    path: str
    uncorrelated: str = ""
    """The list above it whose elements cannot be followed from version to version."""
    cardinality: int | None = 1
    """How many values of it there can be; None if the schema sets no limit."""

    def below(self) -> Iterator["_Place"]:
        """The schemas of fields, elements and values."""
        factor = _factor(self.schema)
        most = None if factor is None or self.cardinality is None else factor * self.cardinality
        for step, inner in nested(self.schema):
            if not step.startswith((".properties", ".items", ".additionalProperties")):
                continue
            is_atomic = step == ".items" and self.schema.get(LIST_TYPE) != "map"
            lost = self.uncorrelated or (self.path if is_atomic else "")
            yield _Place(inner, self.path + step, lost, most)


def _factor(schema: Schema) -> int | None:
    """How many inner values one value can have; None if there is no limit."""
    kind = schema.get("type")
    if kind == "object" and has_additional(schema):
        most = schema.get("maxProperties")
    elif kind == "array":
        most = schema.get("maxItems")
    else:
        return 1
    return None if most is None else max(0, most)


class _Check(msgspec.Struct):
    """What was found, and what the rules cost together."""

    texts: list[Cause] = msgspec.field(default_factory=list)
    causes: list[Cause] = msgspec.field(default_factory=list)
    total: int = 0
    expensive: list[tuple[int, str]] = msgspec.field(default_factory=list)

    def visit(self, place: _Place) -> bool:
        """Check the rules of a schema and of those in it; whether their texts are fine."""
        inside = [self.visit(inner) for inner in place.below()]
        good = all(inside)
        sources = place.schema.get(RULES) or ()
        for index, source in enumerate(sources):
            found = list(_texts(source, place.schema, f"{place.path}.{RULES}[{index}]"))
            self.texts += found
            good = good and not found
        if good and sources:
            with effort.endless():
                rules = compilation.compiled(place.schema)
            for index, rule in enumerate(rules.rules):
                at = f"{place.path}.{RULES}[{index}]"
                self._rule(rule, at, place, rules.cardinality)
        return good

    def _rule(self, rule: Rule, at: str, place: _Place, room: int) -> None:
        most = room if place.cardinality is None else place.cardinality
        cost = min(rule.expression.most * most, _MAX)
        if cost > RULE_LIMIT:
            detail = _excess("estimated rule cost", cost, RULE_LIMIT)
            self.causes.append(forbidden(f"{at}.rule", detail))
        self._observe(f"{at}.rule", cost)
        if rule.expression.problem:
            shown = _shown(rule.source)
            self.causes.append(invalid(f"{at}.rule", shown, rule.expression.problem))
        if rule.message is not None:
            self._message(rule, rule.message, at)
        self.causes.extend(_old_self(rule, at, place.uncorrelated))

    def _message(self, rule: Rule, message: Expression, at: str) -> None:
        path = f"{at}.messageExpression"
        if message.problem:
            self.causes.append(invalid(path, _shown(rule.source), message.problem))
            return
        if message.most > RULE_LIMIT:
            detail = _excess("estimated messageExpression cost", message.most, RULE_LIMIT)
            self.causes.append(forbidden(path, detail))
        self._observe(path, message.most)

    def _observe(self, path: str, cost: int) -> None:
        self.total = min(self.total + cost, _MAX)
        if cost >= SCHEMA_LIMIT // 100:
            self.expensive.append((cost, path))
            self.expensive.sort(key=lambda one: -one[0])
            del self.expensive[_SHOWN_EXPENSIVE:]

    def all(self, path: str) -> list[Cause]:
        """All causes, with those of the sum of all costs at the end."""
        found = self.texts + self.causes
        if self.total > SCHEMA_LIMIT:
            detail = (
                "contributed to estimated rule cost total exceeding cost limit for entire "
                "OpenAPIv3 schema"
            )
            found += [forbidden(at, detail) for _, at in self.expensive]
            name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
            found.append(forbidden(path, _excess(name, self.total, SCHEMA_LIMIT)))
        return found


def check(schema: Schema, path: str) -> list[Cause]:
    """The causes for which the rules of a definition's schema are refused."""
    run = _Check()
    run.visit(_Place(rooted(schema), path))
    return run.all(path)


def _excess(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    if factor > 100:
        shown = "more than 100x"
    else:
        shown = f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{name} exceeds budget by factor of {shown} (try simplifying the rule, or adding "
        "maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )


def _texts(rule: JsonObject, schema: Schema, at: str) -> Iterator[Cause]:
    source, message = rule.get("rule") or "", rule.get("message") or ""
    expression, field = rule.get("messageExpression") or "", rule.get("fieldPath") or ""
    if not source.strip():
        yield required(f"{at}.rule", "rule is not specified")
    elif message and not message.strip():
        yield invalid(f"{at}.message", message, "must be non-empty if specified")
    elif _BREAKS.search(message.strip()):
        yield invalid(f"{at}.message", message, "must not contain line breaks")
    elif _BREAKS.search(source.strip()) and not message.strip():
        detail = "message must be specified if rule contains line breaks"
        yield required(f"{at}.message", detail)
    if expression and not expression.strip():
        detail = "messageExpression must be non-empty if specified"
        yield required(f"{at}.messageExpression", detail)
    if rule.get("reason") is not None and rule["reason"] not in _REASONS:
        yield not_supported(f"{at}.reason", rule["reason"], _REASONS)
    if field and not field.strip():
        yield invalid(f"{at}.fieldPath", field, "must be non-empty if specified")
    if _BREAKS.search(field):
        yield invalid(f"{at}.fieldPath", field, "must not contain line breaks")
    if field and fieldpaths.normalised(field, schema) is None:
        yield invalid(f"{at}.fieldPath", field, "must be a valid path")


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


def _old_self(rule: Rule, at: str, uncorrelated: str) -> Iterator[Cause]:
    if rule.uses_old and uncorrelated:
        detail = (
            "oldSelf cannot be used on the uncorrelatable portion of the schema within "
            f"{uncorrelated}"
        )
        yield invalid(f"{at}.rule", rule.source["rule"], detail)
    elif not rule.uses_old and rule.source.get("optionalOldSelf") is not None:
        detail = "may not be set if oldSelf is not used in rule"
        yield invalid(f"{at}.optionalOldSelf", rule.source["optionalOldSelf"], detail)
