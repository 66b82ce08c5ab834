"""An object against the schema of its definition, with the causes that Kubernetes gives.

Source: k8s.io/kube-openapi/pkg/validation/validate (which validator sees which value, and in what
order) and k8s.io/apiextensions-apiserver/pkg/apiserver/validation (how its errors become causes).
On an update what is equal to the old value is not held against the new one (ratcheting).
"""

from collections.abc import Iterator

import msgspec

from kubeherd.cluster.api.customresources import formats, patterns
from kubeherd.cluster.api.customresources.schema import (
    INT_OR_STRING,
    LIST_TYPE,
    TYPE_META,
    Schema,
    additional,
    items,
    list_key,
    properties,
)
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import plain, quoted
from kubeherd.cluster.api.goformat import value as shown
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation.causes import invalid, not_supported, required, too_long

_NOWHERE = "<nil>"
"""The field of errors that are about a schema rather than about a value."""
_INT32 = 2**31


class _Absent:
    """There is no old value to compare with."""


ABSENT = _Absent()


class _Result(msgspec.Struct):
    """Causes, and how many checks went well: the best of several schemas has most of these."""

    causes: list[Cause] = msgspec.field(default_factory=list)
    matches: int = 0

    def merge(self, other: "_Result") -> None:
        self.causes += other.causes
        self.matches += other.matches


def validate(
    value: JsonValue, schema: Schema, old: JsonValue | _Absent = ABSENT, *, within: str = ""
) -> list[Cause]:
    """The causes for which `value` does not fit `schema`, replacing `old`.

    `within` is the field that the value is, "" for a whole object; the texts leave it out.
    """
    causes = _check(value, schema, "", old).causes
    if not within:
        return causes
    return [
        Cause(c.reason, c.message, within if c.field == _NOWHERE else _join(within, c.field))
        for c in causes
    ]


def _join(parent: str, name: str) -> str:
    return f"{parent}.{name}" if name else parent


def _types(schema: Schema) -> tuple[str, ...]:
    if schema.get(INT_OR_STRING):
        return ("integer", "string")
    declared = schema.get("type")
    return (declared,) if declared else ()


def _type_of(value: JsonValue) -> tuple[str, str]:
    """JSON type and format of a value, as the validator names them."""
    if isinstance(value, bool):
        return "boolean", ""
    if isinstance(value, int):
        return "integer", "int64"
    if isinstance(value, float):
        return "number", "float64"
    if isinstance(value, str):
        return "string", ""
    return ("array", "") if isinstance(value, list) else ("object", "")


def _check(value: JsonValue, schema: Schema, path: str, old: JsonValue | _Absent) -> _Result:
    result = _Result()
    for part in _parts(value, schema, path, old):
        result.merge(part)
        result.matches += 1
    if result.causes and not isinstance(old, _Absent) and _same(value, old):
        return _Result(matches=result.matches)
    return result


def _same(value: JsonValue, old: JsonValue) -> bool:
    return type(value) is type(old) and bool(value == old)


def _parts(
    value: JsonValue, schema: Schema, path: str, old: JsonValue | _Absent
) -> Iterator[_Result]:
    yield _type(value, schema, path)
    if value is None:
        yield _enum(value, schema, path)
        return
    yield _combined(value, schema, path, old)
    if isinstance(value, str):
        yield _Result(_string(value, schema, path))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield _Result(list(_number(value, schema, path)))
    elif isinstance(value, list):
        yield _list(value, schema, path, old)
    yield _enum(value, schema, path)
    if isinstance(value, dict):
        yield _object(value, schema, path, old)


def _wrong_type(path: str, expected: str, data: str, *, found: str | None = None) -> _Result:
    text = f"{path} in body must be of type {expected}: {quoted(data)}"
    cause = invalid(_at(path), data if found is None else found, text)
    return _Result([Cause("FieldValueTypeInvalid", cause.message, cause.field)])


def _at(path: str) -> str:
    """The field of a cause: without the dot that the path of a missing root field begins with."""
    return path.removeprefix(".") or _NOWHERE


def _type(value: JsonValue, schema: Schema, path: str) -> _Result:
    types, wanted_format = _types(schema), formats.effective(schema)
    if not types and not wanted_format:
        return _Result()
    if value is None:
        refused = types and not schema.get("nullable")
        return _wrong_type(path, ",".join(types), "null") if refused else _Result(matches=1)
    found, found_format = _type_of(value)
    whole = isinstance(value, float) and value.is_integer() and "integer" in types
    fitting = found in types or whole or (found == "integer" and "number" in types)
    textual = isinstance(value, str | list)
    if wanted_format and not textual and not fitting and wanted_format != found_format:
        return _wrong_type(path, wanted_format, found_format)
    if wanted_format and textual and not {"number", "integer"}.intersection(types):
        return _Result(matches=1)
    return _Result(matches=1) if fitting else _wrong_type(path, ",".join(types), found)


def _enum(value: JsonValue, schema: Schema, path: str) -> _Result:
    allowed = schema.get("enum") or []
    if not allowed or any(_equal(value, one) for one in allowed):
        return _Result()
    texts = [one if isinstance(one, str) else shown(one) for one in allowed]
    return _Result([not_supported(_at(path), value, texts)])


def _equal(left: JsonValue, right: JsonValue) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _string(value: str, schema: Schema, path: str) -> list[Cause]:
    causes = _length(value, schema, path)
    wanted = formats.effective(schema)
    if wanted and not formats.fits(wanted, value):
        causes = causes + _wrong_type(path, wanted, value).causes
    return causes


def _length(value: str, schema: Schema, path: str) -> list[Cause]:
    longest, shortest, pattern = (schema.get(n) for n in ("maxLength", "minLength", "pattern"))
    if longest is not None and len(value) > longest:
        return [too_long(_at(path), longest)]
    if shortest is not None and len(value) < shortest:
        text = f"{path} in body should be at least {shortest} chars long"
        return [invalid(_at(path), value, text)]
    if pattern and not patterns.matches(pattern, value):
        return [invalid(_at(path), value, f"{path} in body should match '{pattern}'")]
    return []


def _number(value: int | float, schema: Schema, path: str) -> Iterator[Cause]:
    is_int32 = "integer" in _types(schema) and schema.get("format") == "int32"
    if is_int32 and not -_INT32 <= value < _INT32:
        text = f"Checked value must be of type integer with format int32 in {path}"
        yield invalid(_NOWHERE, "", text)
    factor = schema.get("multipleOf")
    if factor is not None and value % factor:
        yield invalid(_at(path), value, f"{path} in body should be a multiple of {plain(factor)}")
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None:
        exclusive = bool(schema.get("exclusiveMinimum"))
        if value < least or (exclusive and value == least):
            words = "greater than" if exclusive else "greater than or equal to"
            yield invalid(_at(path), value, f"{path} in body should be {words} {_bound(least)}")
    if most is not None:
        exclusive = bool(schema.get("exclusiveMaximum"))
        if value > most or (exclusive and value == most):
            words = "less than" if exclusive else "less than or equal to"
            yield invalid(_at(path), value, f"{path} in body should be {words} {_bound(most)}")


def _bound(number: JsonValue) -> str:
    whole = isinstance(number, float) and number.is_integer()
    return str(int(number)) if whole else plain(number)


def _too_many(path: str, count: int, most: int) -> Cause:
    word = "item" if most == 1 else "items"
    return Cause("FieldValueTooMany", f"Too many: {count}: must have at most {most} {word}", path)


def _list(value: list[JsonValue], schema: Schema, path: str, old: JsonValue | _Absent) -> _Result:
    result = _Result()
    inner = items(schema)
    if inner is not None:
        before = _correlated(schema, old)
        for index, item in enumerate(value):
            key = list_key(schema, item)
            previous = before.get(key, ABSENT) if key is not None else ABSENT
            result.merge(_check(item, inner, f"{path}[{index}]", previous))
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and len(value) < least:
        text = f"{path} in body should have at least {least} items"
        result.causes.append(invalid(_at(path), len(value), text))
    if most is not None and len(value) > most:
        result.causes.append(_too_many(_at(path), len(value), most))
    return result


def _correlated(schema: Schema, old: JsonValue | _Absent) -> dict[str | None, JsonValue]:
    """The old elements of a list map by their keys; elements of other lists have no past."""
    if schema.get(LIST_TYPE) != "map" or not isinstance(old, list):
        return {}
    return {list_key(schema, item): item for item in old}


def _object(value: JsonObject, schema: Schema, path: str, old: JsonValue | _Absent) -> _Result:
    result = _Result(list(_counted(value, schema, path)))
    declared, others = properties(schema), additional(schema)
    closed = schema.get("additionalProperties") is False

    def member(name: str, inner: Schema, below: str) -> None:
        past: JsonValue | _Absent = ABSENT
        if isinstance(old, dict) and not (path == "" and name in TYPE_META):
            past = old.get(name, ABSENT)
        result.merge(_check(value[name], inner, below, past))

    for name in sorted(value.keys() - declared.keys()):
        if closed:
            text = f"{path}.{name} in body is a forbidden property"
            result.causes.append(invalid(_at(path), "", text))
        elif others is not None:
            member(name, others, f"{path}.{name}")
    for name in sorted(declared.keys() & value.keys()):
        member(name, declared[name], f"{path}.{name}" if path else name)
    for name in schema.get("required") or ():
        if name not in value:
            result.causes.append(required(_at(f"{path}.{name}")))
    return result


def _counted(value: JsonObject, schema: Schema, path: str) -> Iterator[Cause]:
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    if least is not None and len(value) < least:
        text = f"{path} in body should have at least {least} properties"
        yield invalid(_at(path), len(value), text)
    if most is not None and len(value) > most:
        yield _too_many(_at(path), len(value), most)


# --- allOf, anyOf, oneOf, not ---


def _about_schema(text: str) -> Cause:
    return invalid(_NOWHERE, "", text)


def _combined(value: JsonValue, schema: Schema, path: str, old: JsonValue | _Absent) -> _Result:
    result = _Result()
    any_of, one_of, all_of = (schema.get(name) or [] for name in ("anyOf", "oneOf", "allOf"))
    if any_of:
        result.merge(_any_of(value, any_of, path, old))
    if one_of:
        result.merge(_one_of(value, one_of, path, old))
    failed = 0
    for inner in all_of:
        found = _check(value, inner, path, old)
        failed += bool(found.causes)
        result.merge(found)
    if failed:
        none = ". None validated" if failed == len(all_of) else ""
        text = f"{quoted(path)} must validate all the schemas (allOf){none}"
        result.causes.append(_about_schema(text))
    if isinstance(schema.get("not"), dict) and not _check(value, schema["not"], path, old).causes:
        result.causes.append(_about_schema(f"{quoted(path)} must not validate the schema (not)"))
    return result


def _best(results: list[_Result]) -> _Result:
    """What comes nearest to being valid; of equals the first."""
    return max(results, key=lambda result: result.matches)


def _any_of(
    value: JsonValue, schemas: list[Schema], path: str, old: JsonValue | _Absent
) -> _Result:
    results = []
    for inner in schemas:
        found = _check(value, inner, path, old)
        if not found.causes:
            return found
        results.append(found)
    text = f"{quoted(path)} must validate at least one schema (anyOf)"
    best = _best(results)
    return _Result([_about_schema(text), *best.causes], best.matches)


def _one_of(
    value: JsonValue, schemas: list[Schema], path: str, old: JsonValue | _Absent
) -> _Result:
    results = [_check(value, inner, path, old) for inner in schemas]
    valid = [found for found in results if not found.causes]
    if len(valid) == 1:
        return valid[0]
    words = f"Found {len(valid)} valid alternatives" if valid else "Found none valid"
    text = f"{quoted(path)} must validate one and only one schema (oneOf). {words}"
    best = _Result() if valid else _best(results)
    return _Result([_about_schema(text), *best.causes], best.matches)
