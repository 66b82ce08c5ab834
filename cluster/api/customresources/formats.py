"""String formats that Kubernetes checks in custom resources.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/validation/formats.go for which there are,
k8s.io/kube-openapi/pkg/validation/strfmt for what they mean. Names count without their dashes
(``date-time`` is ``datetime``). A format that is not known here is not checked.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date
from urllib.parse import urlsplit

from kubeherd.cluster.api import names
from kubeherd.cluster.api.customresources.schema import Schema

_NUMERIC = {"integer": ("int32", "int64"), "number": ("float", "double")}


def effective(schema: Schema) -> str:
    """The format that counts for this schema: "" for one that Kubernetes does not know."""
    name = str(schema.get("format") or "")
    if not name or schema.get("x-kubernetes-int-or-string"):
        return ""
    declared = schema.get("type") or "string"
    if declared == "string":
        return name if normalised(name) in _CHECKS else ""
    return name if name in _NUMERIC.get(declared, ()) else ""


def unrecognised(schema: Schema) -> str:
    """The schema's format if it is none that Kubernetes knows for its type, else ""."""
    name = str(schema.get("format") or "")
    return name if name and not effective({**schema, "x-kubernetes-int-or-string": False}) else ""


def normalised(name: str) -> str:
    """The name without dashes."""
    return name.replace("-", "")


def fits(name: str, text: str) -> bool:
    """Whether a string is of a format; formats that are not known take any."""
    check = _CHECKS.get(normalised(name))
    return check is None or check(text)


def _pattern(text: str) -> Callable[[str], bool]:
    compiled = re.compile(text, re.IGNORECASE)
    return lambda value: compiled.fullmatch(value) is not None


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check


def _is_date(text: str) -> bool:
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text)) and _parses(date.fromisoformat)(text)


_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(.\d+)?(z|[+-]\d\d:\d\d)")


def _is_datetime(text: str) -> bool:
    day, found, rest = text.lower().partition("t")
    match = _TIME.fullmatch(rest)
    if not found or match is None or not _is_date(day):
        return False
    return match[1] <= "23" and match[2] <= "59" and match[3] <= "59"


def _is_uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(text) and (bool(parts.scheme) or text.startswith("/")) and text.isprintable()


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_cidr(text: str) -> bool:
    address, found, bits = text.partition("/")
    return (
        bool(found)
        and bits.isdigit()
        and _parses(lambda value: ipaddress.ip_network(value, strict=False))(f"{address}/{bits}")
    )


def _digits(text: str) -> str:
    return re.sub(r"[\s-]", "", text)


def _is_isbn10(text: str) -> bool:
    value = _digits(text).upper()
    if not re.fullmatch(r"\d{9}[\dX]", value):
        return False
    total = sum((10 - at) * (10 if char == "X" else int(char)) for at, char in enumerate(value))
    return total % 11 == 0


def _is_isbn13(text: str) -> bool:
    value = _digits(text)
    if not re.fullmatch(r"\d{13}", value):
        return False
    return sum(int(char) * (3 if at % 2 else 1) for at, char in enumerate(value)) % 10 == 0


_CARD = re.compile(
    r"4\d{12}(\d{3})?|5[1-5]\d{14}|6(011|5\d\d)\d{12}|3[47]\d{13}|3(0[0-5]|[68]\d)\d{11}"
    r"|(2131|1800|35\d{3})\d{11}"
)


def _is_card(text: str) -> bool:
    value = re.sub(r"\D", "", text)
    if _CARD.fullmatch(value) is None:
        return False
    doubled = [int(char) * (1 + at % 2) for at, char in enumerate(reversed(value))]
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


_COLOUR = r"\s*(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])\s*"
_UUID = "[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12}"
_ANY, _VARIANT = "[0-9a-f]", "[89ab]"
_CHECKS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _pattern("[0-9a-f]{24}"),
    "uri": _is_uri,
    "email": _pattern(r'(.*<\s*)?[^\s@<>"(),:;]+@[^\s@<>"(),:;]+(\s*>)?'),
    "hostname": _pattern(r"(?=.{1,255}$)[\w](-*[\w])*(\.[\w](-*[\w])*)*\.?"),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": _is_cidr,
    "mac": _pattern(r"([0-9a-f]{2}[:-]){5}([0-9a-f]{2})|([0-9a-f]{4}\.){2}[0-9a-f]{4}"),
    "uuid": _pattern(_UUID % (_ANY, _ANY)),
    "uuid3": _pattern(_UUID % ("3", _ANY)),
    "uuid4": _pattern(_UUID % ("4", _VARIANT)),
    "uuid5": _pattern(_UUID % ("5", _VARIANT)),
    "isbn": lambda text: _is_isbn10(text) or _is_isbn13(text),
    "isbn10": _is_isbn10,
    "isbn13": _is_isbn13,
    "creditcard": _is_card,
    "ssn": _pattern(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _pattern(r"#?([0-9a-f]{3}|[0-9a-f]{6})"),
    "rgbcolor": _pattern(rf"rgb\({_COLOUR},{_COLOUR},{_COLOUR}\)"),
    "byte": _is_base64,
    "password": lambda text: True,
    "date": _is_date,
    "duration": _pattern(
        r"0|[-+]?((\d+(\.\d*)?|\.\d+)\s*"
        r"(ns|us|µs|μs|ms|s|m|h|d|w|nanoseconds?|microseconds?|milliseconds?|seconds?|secs?"
        r"|minutes?|mins?|hours?|hrs?|days?|weeks?|wks?)\s*)+"
    ),
    "datetime": _is_datetime,
    "k8sshortname": lambda text: not names.dns_label(text),
    "k8slongname": lambda text: not names.dns_subdomain(text),
}
