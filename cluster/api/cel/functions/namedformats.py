"""``format.dns1123Label().validate(text)``.

Source: k8s.io/apiserver/pkg/cel/library/format.go. `size` is the length of the pattern that costs
are reckoned with.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from kubeherd.cluster.api import names
from kubeherd.cluster.api.cel.checker.declarations import Functions, function, member
from kubeherd.cluster.api.cel.checker.types import FORMAT, STRING, list_of, optional_of
from kubeherd.cluster.api.cel.functions import urls
from kubeherd.cluster.api.cel.interpreter.datatypes import NONE, Opaque, Optional
from kubeherd.cluster.api.customresources import formats


class Format(msgspec.Struct, frozen=True):
    """A format: its name, what is wrong with a text, and what it costs."""

    name: str
    check: Callable[[str], Sequence[str]]
    size: int


def _prefix(check: Callable[[str], Sequence[str]]) -> Callable[[str], Sequence[str]]:
    """The rule for the beginning of a generated name, which may end in a dash."""
    return lambda text: check(text[:-1] + "a" if text.endswith("-") and len(text) > 1 else text)


def _known(name: str, problem: str) -> Callable[[str], Sequence[str]]:
    return lambda text: [] if formats.fits(name, text) else [problem]


def _uri(text: str) -> list[str]:
    problem = urls.request_problem(text)
    return [problem] if problem else []


_DATE_TIME = 90
_FORMATS = {
    "dns1123Label": Format("DNS1123Label", names.dns_label, 30),
    "dns1123Subdomain": Format("DNS1123Subdomain", names.dns_subdomain, 60),
    "dns1035Label": Format("DNS1035Label", names.dns1035_label, 30),
    "qualifiedName": Format("QualifiedName", names.qualified_name, 60),
    "dns1123LabelPrefix": Format("DNS1123LabelPrefix", _prefix(names.dns_label), 30),
    "dns1123SubdomainPrefix": Format("DNS1123SubdomainPrefix", _prefix(names.dns_subdomain), 60),
    "dns1035LabelPrefix": Format("DNS1035LabelPrefix", _prefix(names.dns1035_label), 30),
    "labelValue": Format("LabelValue", names.label_value, 40),
    "uri": Format("URI", _uri, 1000),
    "uuid": Format("uuid", _known("uuid", "does not match the UUID format"), 80),
    "byte": Format("byte", _known("byte", "invalid base64"), 84),
    "date": Format("date", _known("date", "invalid date"), _DATE_TIME),
    "datetime": Format("datetime", _known("datetime", "invalid datetime"), _DATE_TIME),
}


def _named(name: str) -> Optional:
    found = _FORMATS.get(name)
    return NONE if found is None else Optional(Opaque(FORMAT, found))


def _validate(format_: Opaque, text: str) -> Optional:
    problems = format_.value.check(text)
    return Optional(problems) if problems else NONE


def _constant(format_: Format) -> Callable[..., Any]:
    return lambda: Opaque(FORMAT, format_)


LIBRARY: Functions = {
    "format.named": (function("format-named", optional_of(FORMAT), _named, STRING),),
    "validate": (
        member("format-validate", optional_of(list_of(STRING)), _validate, FORMAT, STRING),
    ),
    **{
        f"format.{name}": (function(f"format.{name}", FORMAT, _constant(one)),)
        for name, one in _FORMATS.items()
    },
}
