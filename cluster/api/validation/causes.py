"""Field errors as causes, in the words of Kubernetes (spec api-machinery, section 14)."""

from collections.abc import Iterable

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonValue
from kubeherd.cluster.api.validation import goformat


def _with_detail(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def required(field: str, detail: str = "") -> Cause:
    """``Required value[: detail]``."""
    return Cause("FieldValueRequired", _with_detail("Required value", detail), field)


def invalid(field: str, value: JsonValue, detail: str) -> Cause:
    """``Invalid value: <v>: detail``."""
    text = _with_detail(f"Invalid value: {goformat.value(value)}", detail)
    return Cause("FieldValueInvalid", text, field)


def invalid_each(field: str, value: JsonValue, details: Iterable[str]) -> list[Cause]:
    """One `invalid` per detail."""
    return [invalid(field, value, detail) for detail in details]


def not_supported(field: str, value: JsonValue, supported: Iterable[str]) -> Cause:
    """``Unsupported value: <v>: supported values: "a", "b"``, in the order given."""
    quoted = ", ".join(goformat.quoted(item) for item in supported)
    text = f"Unsupported value: {goformat.value(value)}: supported values: {quoted}"
    return Cause("FieldValueNotSupported", text, field)


def forbidden(field: str, detail: str) -> Cause:
    """``Forbidden: detail``."""
    return Cause("FieldValueForbidden", _with_detail("Forbidden", detail), field)


def duplicate(field: str, value: JsonValue) -> Cause:
    """``Duplicate value: <v>``."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {goformat.value(value)}", field)


def not_found(field: str, value: JsonValue) -> Cause:
    """``Not found: <v>``."""
    return Cause("FieldValueNotFound", f"Not found: {goformat.value(value)}", field)


def too_long(field: str, limit: int) -> Cause:
    """``Too long: may not be more than <n> bytes``."""
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", field)
