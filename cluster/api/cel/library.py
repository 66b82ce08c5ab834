"""What rules may call beside CEL itself: Kubernetes' extension functions, as far as there are.

Source: https://kubernetes.io/docs/reference/using-api/cel. A quantity is an object that only these
functions look into. Rules that call anything else are refused when their definition is written.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from itertools import pairwise
from typing import Any, Final
from urllib.parse import urlsplit

from kubeherd.cluster.api.cel.engine import Context, stdlib
from kubeherd.cluster.api.customresources import patterns

_FACTORS: Final = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12),
    "P": Decimal(10**15), "E": Decimal(10**18), "Ki": Decimal(2**10), "Mi": Decimal(2**20),
    "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip
_QUANTITY = re.compile(
    r"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(n|u|m|k|[KMGTPE]i|[MGTPE]|)"
)
_NATIVE = frozenset({
    "size", "has", "all", "exists", "exists_one", "map", "filter", "contains", "startsWith",
    "endsWith", "int", "uint", "double", "string", "bytes", "bool", "type", "dyn", "timestamp",
    "duration", "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek",
    "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds", "hasValue", "value",
    "orValue",
})  # fmt: skip
"""What the library brings itself."""
_MISSING = frozenset({"format", "flatten", "transformList", "transformMap", "bind"})
"""What it calls by these names is not there, or not what Kubernetes means."""


def _quantity(text: str) -> dict[str, str]:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in _FACTORS:
        raise ValueError("quantities must match the regular expression of Kubernetes")
    try:
        return {"quantity": str(Decimal(match[1]) * _FACTORS[match[2]])}
    except InvalidOperation as error:
        raise ValueError(str(error)) from None


def _decimal(value: Any) -> Decimal:
    return Decimal(value["quantity"]) if isinstance(value, Mapping) else Decimal(str(value))


def _made(number: Decimal) -> dict[str, str]:
    return {"quantity": str(number)}


def _is(make: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            make(text)
        except ValueError:
            return False
        return True

    return check


def _url(text: str) -> object:
    parts = urlsplit(text)
    if not (parts.scheme or text.startswith("/")):
        raise ValueError("not an absolute URL")
    return parts


def _find(text: str, pattern: str) -> str:
    match = patterns.compiled(pattern).search(text)
    return str(match[0]) if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in patterns.compiled(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


def _index_of(values: Any, item: Any, *rest: Any) -> int:
    if isinstance(values, str):
        return int(stdlib.index_of(values, item, *rest))
    return next((at for at, value in enumerate(values) if value == item), -1)


def _last_index_of(values: Any, item: Any, *rest: Any) -> int:
    if isinstance(values, str):
        return int(stdlib.last_index_of(values, item, *rest))
    return max((at for at, value in enumerate(values) if value == item), default=-1)


_OWN: dict[str, Callable[..., Any]] = {
    "quantity": _quantity,
    "isQuantity": _is(_quantity),
    "isInteger": lambda q: _decimal(q) == _decimal(q).to_integral_value(),
    "asInteger": lambda q: int(_decimal(q)),
    "asApproximateFloat": lambda q: float(_decimal(q)),
    "sign": lambda q: int(_decimal(q).compare(Decimal(0))),
    "add": lambda a, b: _made(_decimal(a) + _decimal(b)),
    "sub": lambda a, b: _made(_decimal(a) - _decimal(b)),
    "isGreaterThan": lambda a, b: _decimal(a) > _decimal(b),
    "isLessThan": lambda a, b: _decimal(a) < _decimal(b),
    "compareTo": lambda a, b: int(_decimal(a).compare(_decimal(b))),
    "isURL": _is(_url),
    "isIP": _is(ipaddress.ip_address),
    "isCIDR": _is(lambda text: ipaddress.ip_network(text, strict=False)),
    "matches": lambda text, pattern: patterns.matches(pattern, text),
    "find": _find,
    "findAll": _find_all,
    "isSorted": lambda values: all(a <= b for a, b in pairwise(values)),
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
}


@cache
def known() -> frozenset[str]:
    """The names of all functions that a rule may call, without those of operators."""
    extended = {name.rpartition(".")[2] for name in stdlib.STDLIB_FUNCTIONS}
    return (_NATIVE | extended | _OWN.keys()) - _MISSING


def context(variables: Mapping[str, Any]) -> Context:
    """A context with all functions and these variables."""
    made = Context()
    stdlib.add_stdlib_to_context(made)
    for name, function in _OWN.items():
        made.add_function(name, function)
    made.update(dict(variables))
    return made
