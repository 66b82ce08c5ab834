"""Parameters that are no plain text: the one place where they are read.

As in Kubernetes (k8s.io/apimachinery, runtime/converter and conversion of query values), where a
value that cannot be read is a 400. Pure; every function takes what the client wrote.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qsl

from multidict import MultiMapping

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.schemas.scalars import moment_of

_MAX_INT64 = 2**63 - 1
_MAX_UINT64 = 2**64 - 1
_MAX_DIGITS = 30
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NONE: dict[str, str] = {}
_FALSE = frozenset({"0", "false"})


def integer(query: Mapping[str, str], key: str) -> int | None:
    """An int64, None if absent or empty; BadRequest if it is none."""
    text = query.get(key, "")
    if not text:
        return None
    if not _INTEGER.fullmatch(text):
        raise errors.BadRequest(f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax")
    value = int(text) if len(text) < _MAX_DIGITS else _MAX_INT64 + 1
    if abs(value) > _MAX_INT64:
        raise errors.BadRequest(f"strconv.ParseInt: parsing {quoted(text)}: value out of range")
    return value


def boolean(query: Mapping[str, str], key: str) -> bool:
    """False if absent, ``0`` or ``false`` in any case; everything else, also nothing, is true."""
    text = query.get(key)
    return text is not None and text.lower() not in _FALSE


def moment(query: Mapping[str, str], key: str) -> datetime | None:
    """An RFC 3339 time, None if absent or empty; BadRequest if it is none."""
    text = query.get(key, "")
    if not text:
        return None
    try:
        return moment_of(text)
    except ValueError as error:
        raise errors.BadRequest(str(error)) from None


def revision(text: str) -> int:
    """A resourceVersion, 0 if empty; PlainError if it is no uint64, as Kubernetes' storage has it
    where nobody makes a Status of that."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > _MAX_UINT64:
        raise errors.PlainError(
            f"resourceVersion: Invalid value: {quoted(text)}: strconv.ParseUint: parsing "
            f"{quoted(text)}: invalid syntax"
        )
    return int(text)


def all_values(headers: Mapping[str, str], name: str) -> list[str]:
    """The values of all lines of a header: an ordinary mapping has one, aiohttp's all."""
    if isinstance(headers, MultiMapping):
        return list(headers.getall(name, ()))
    return [headers[name]] if name in headers else []


def first_values(text: str) -> dict[str, str]:
    """The first value of each parameter, as Go's url.Values.Get sees them."""
    if not text:
        return _NONE
    query: dict[str, str] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        query.setdefault(key, value)
    return query
