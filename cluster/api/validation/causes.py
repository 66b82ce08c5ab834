"""Field errors as causes, in the words of Kubernetes (spec api-machinery, section 14).

Invariant: whatever a client sends, its refusal is bounded: `collected` stops at `MAX_CAUSES`, and a
value is shown up to `goformat.MAX_SHOWN` characters. Kubernetes has no such bounds, and answers a
megabyte of bad labels with sixty.
"""

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar

from kubeherd.cluster.api import goformat
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonValue

MAX_CAUSES = 100
"""As many as Kubernetes reports of unknown fields (sigs.k8s.io/json)."""


_MORE = Cause("FieldValueTooMany", f"Too many: only the first {MAX_CAUSES} problems are shown")


class _TooMany(Exception):
    """The checks that are under way have found enough."""


_found: ContextVar[list[Cause] | None] = ContextVar("found", default=None)


def collected(check: Callable[[], list[Cause]]) -> list[Cause]:
    """What `check` returns; if it makes more than `MAX_CAUSES` it is cut short, and the result is
    those that it made and a last one that says so."""
    found: list[Cause] = []
    token = _found.set(found)
    try:
        causes = check()
    except _TooMany:
        return [*found, _MORE]
    finally:
        _found.reset(token)
    if len(causes) > MAX_CAUSES:  # what is found twice is made once
        return [*causes[:MAX_CAUSES], _MORE]
    return causes


def _cause(reason: str, message: str, field: str) -> Cause:
    cause = Cause(reason, message, field)
    found = _found.get()
    if found is not None:
        if len(found) == MAX_CAUSES:
            raise _TooMany
        found.append(cause)
    return cause


def _with_detail(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def required(field: str, detail: str = "") -> Cause:
    """``Required value[: detail]``."""
    return _cause("FieldValueRequired", _with_detail("Required value", detail), field)


def invalid(field: str, value: JsonValue, detail: str) -> Cause:
    """``Invalid value: <v>: detail``."""
    text = _with_detail(f"Invalid value: {goformat.value(value)}", detail)
    return _cause("FieldValueInvalid", text, field)


def invalid_each(field: str, value: JsonValue, details: Sequence[str]) -> list[Cause]:
    """One `invalid` per detail."""
    return [invalid(field, value, detail) for detail in details] if details else []


def not_supported(field: str, value: JsonValue, supported: Iterable[str]) -> Cause:
    """``Unsupported value: <v>: supported values: "a", "b"``, in the order given."""
    quoted = ", ".join(goformat.quoted(item) for item in supported)
    text = f"Unsupported value: {goformat.value(value)}: supported values: {quoted}"
    return _cause("FieldValueNotSupported", text, field)


def forbidden(field: str, detail: str) -> Cause:
    """``Forbidden: detail``."""
    return _cause("FieldValueForbidden", _with_detail("Forbidden", detail), field)


def duplicate(field: str, value: JsonValue) -> Cause:
    """``Duplicate value: <v>``."""
    return _cause("FieldValueDuplicate", f"Duplicate value: {goformat.value(value)}", field)


def not_found(field: str, value: JsonValue, detail: str = "") -> Cause:
    """``Not found: <v>[: detail]``."""
    text = _with_detail(f"Not found: {goformat.value(value)}", detail)
    return _cause("FieldValueNotFound", text, field)


def too_long(field: str, limit: int) -> Cause:
    """``Too long: may not be more than <n> bytes``."""
    return _cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", field)


def too_many(field: str, count: int, limit: int) -> Cause:
    """``Too many: <count>: must have at most <limit> items``."""
    text = f"Too many: {count}: must have at most {limit} items"
    return _cause("FieldValueTooMany", text, field)


def internal_error(field: str, detail: str) -> Cause:
    """``Internal error: detail``: what Kubernetes says where it could not even look."""
    return _cause("InternalError", f"Internal error: {detail}", field)


def invalid_whole(field: str, detail: str) -> Cause:
    """``Invalid value: detail``, for a struct that Kubernetes does not show."""
    return _cause("FieldValueInvalid", f"Invalid value: {detail}", field)
