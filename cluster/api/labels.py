"""Label selectors: their text form, their object form, and matching (spec api-machinery, 13).

Lists, watches and controllers match many objects with one selector, so a selector is parsed and
checked once and then only compares strings. Invariants: a `Selector` is immutable; its
requirements are ANDed and sorted by key; a selector without requirements matches everything.
Errors are 400s in the words of Kubernetes.
"""

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NoReturn

import msgspec

from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import LabelSelector


class Operator(Enum):
    """How a requirement compares; the values are the spelling of Kubernetes' error texts."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    DOES_NOT_EXIST = "!"
    EQUALS = "="
    DOUBLE_EQUALS = "=="
    NOT_EQUALS = "!="
    GREATER_THAN = "gt"
    LESS_THAN = "lt"


_NEGATIVE = frozenset({Operator.NOT_IN, Operator.NOT_EQUALS, Operator.DOES_NOT_EXIST})
_SETS = frozenset({Operator.IN, Operator.NOT_IN})
_EXACT = frozenset({Operator.EQUALS, Operator.DOUBLE_EQUALS, Operator.NOT_EQUALS})
_ORDERED = frozenset({Operator.GREATER_THAN, Operator.LESS_THAN})


class Requirement(msgspec.Struct, frozen=True):
    """One condition on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels satisfies the condition."""
        value = labels.get(self.key)
        operator = self.operator
        if operator in _ORDERED:
            return value is not None and self._compares(value)
        if operator is Operator.EXISTS:
            return value is not None
        if operator is Operator.DOES_NOT_EXIST:
            return value is None
        if operator in _NEGATIVE:
            return value is None or value not in self.values
        return value is not None and value in self.values

    def _compares(self, value: str) -> bool:
        if not _INTEGER.fullmatch(value):
            return False
        (bound,) = self.values
        if self.operator is Operator.GREATER_THAN:
            return int(value) > int(bound)
        return int(value) < int(bound)


class Selector:
    """Requirements that must all hold."""

    __slots__ = ("_equal", "_others", "_within", "_without", "requirements")

    def __init__(self, requirements: Iterable[Requirement] = ()) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda r: r.key))
        # Sorted out by how they compare: matching is hot, enums are slow to look at.
        equal: list[tuple[str, str]] = []
        within: list[tuple[str, frozenset[str]]] = []
        without: list[tuple[str, frozenset[str]]] = []
        others: list[Requirement] = []
        for r in self.requirements:
            if r.operator in (Operator.NOT_IN, Operator.NOT_EQUALS):
                without.append((r.key, r.values))
            elif r.operator in _ORDERED or not r.values:
                others.append(r)
            elif len(r.values) == 1:
                equal.append((r.key, next(iter(r.values))))
            else:
                within.append((r.key, r.values))
        self._equal, self._within = tuple(equal), tuple(within)
        self._without, self._others = tuple(without), tuple(others)

    @property
    def empty(self) -> bool:
        """Whether it matches everything."""
        return not self.requirements

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        for key, value in self._equal:
            if labels.get(key) != value:
                return False
        for key, values in self._within:
            if labels.get(key) not in values:
                return False
        for key, values in self._without:
            if labels.get(key) in values:
                return False
        return not self._others or all(r.matches(labels) for r in self._others)


class NothingSelector(Selector):
    """What a nil LabelSelector object means: it selects no object."""

    __slots__ = ()

    @property
    def empty(self) -> bool:
        return False

    def matches(self, labels: Mapping[str, str]) -> bool:
        return False


EVERYTHING = Selector()
NOTHING = NothingSelector()

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_NAME_HELP = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end"
    " with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for"
    " validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_PREFIX_HELP = (
    "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric"
    " characters, '-' or '.', and must start and end with an alphanumeric character (e.g."
    " 'example.com', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_VALUE_HELP = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.',"
    " and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or"
    " '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def _key_problem(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if slash and "/" in prefix:
        return "a valid label key must consist of alphanumeric characters, '-', '_' or '.'"
    if slash and not prefix:
        return "prefix part must be non-empty"
    if slash and len(prefix) > 253:
        return "prefix part must be no more than 253 bytes"
    if slash and not _SUBDOMAIN.fullmatch(prefix):
        return _PREFIX_HELP
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 bytes"
    return "" if _NAME.fullmatch(name) else _NAME_HELP


def _value_problem(value: str) -> str:
    if len(value) > 63:
        return "must be no more than 63 bytes"
    return "" if _VALUE.fullmatch(value) else _VALUE_HELP


def requirement(key: str, operator: Operator, values: Iterable[str] = ()) -> Requirement:
    """A checked requirement; ValueError with the text of Kubernetes if key or values are bad."""
    _check_key(key)
    found = sorted(set(values))
    shown = "[" + ",".join(f'"{value}"' for value in found) + "]"
    if operator in _SETS and not found:
        raise ValueError(
            "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
        )
    if operator in _EXACT and len(found) != 1:
        raise ValueError(
            f"values: Invalid value: {shown}: exact-match compatibility requires one single value"
        )
    if operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST) and found:
        raise ValueError(
            f"values: Invalid value: {shown}: values set must be empty for exists and does not"
            " exist"
        )
    if operator in _ORDERED:
        if len(found) != 1:
            raise ValueError(
                f"values: Invalid value: {shown}: for 'Gt', 'Lt' operators, exactly one value is"
                " required"
            )
        if not _INTEGER.fullmatch(found[0]):
            raise ValueError(
                f"values[0]: Invalid value: \"{found[0]}\": for 'Gt', 'Lt' operators, the value"
                " must be an integer"
            )
    for index, value in enumerate(found):
        problem = _value_problem(value)
        if problem:
            raise ValueError(f'values[{index}][{key}]: Invalid value: "{value}": {problem}')
    return Requirement(key, operator, frozenset(found))


def _check_key(key: str, path: str = "key") -> None:
    problem = _key_problem(key)
    if problem:
        raise ValueError(f'{path}: Invalid value: "{key}": {problem}')


_OPERATORS_IN_OBJECTS = {
    "In": Operator.IN,
    "NotIn": Operator.NOT_IN,
    "Exists": Operator.EXISTS,
    "DoesNotExist": Operator.DOES_NOT_EXIST,
}


def from_selector(selector: LabelSelector | JsonObject | None) -> Selector:
    """The selector that a LabelSelector object (struct or JSON tree) describes.

    None selects nothing, an empty one everything. BadRequest if an operator, key or value is bad.
    """
    if selector is None:
        return NOTHING
    if isinstance(selector, LabelSelector):
        pairs = selector.match_labels
        expressions = [(e.key, e.operator, e.values) for e in selector.match_expressions]
    else:
        pairs = selector.get("matchLabels") or {}
        expressions = [
            (str(e.get("key") or ""), str(e.get("operator") or ""), e.get("values") or [])
            for e in selector.get("matchExpressions") or ()
        ]
    requirements = []
    try:
        for key, value in pairs.items():
            requirements.append(requirement(key, Operator.IN, [value]))
        for key, name, values in expressions:
            operator = _OPERATORS_IN_OBJECTS.get(name)
            if operator is None:
                raise ValueError(f'"{name}" is not a valid label selector operator')
            requirements.append(requirement(key, operator, values))
    except ValueError as error:
        raise BadRequest(str(error)) from None
    return Selector(requirements)


def parse(text: str) -> Selector:
    """The selector that `text` (``a=b,c in (d,e),!f``) describes; BadRequest if it is malformed."""
    if not text.strip():
        return EVERYTHING
    try:
        return Selector(_Parser(text).requirements())
    except ValueError as error:
        raise BadRequest(str(error)) from None


_TOKEN = re.compile(r"\s*(?:(==|!=|[=!(),<>])|([^\s=!(),<>]+))")
_BINARY = {
    "in": Operator.IN,
    "notin": Operator.NOT_IN,
    "=": Operator.EQUALS,
    "==": Operator.DOUBLE_EQUALS,
    "!=": Operator.NOT_EQUALS,
    ">": Operator.GREATER_THAN,
    "<": Operator.LESS_THAN,
}
_END = ("", True)


class _Parser:
    """Tokens are (text, is_symbol); the end of the text is an empty symbol."""

    def __init__(self, text: str) -> None:
        text = text.strip()
        self._tokens = [
            (m.group(1) or m.group(2), m.group(1) is not None) for m in _TOKEN.finditer(text)
        ]
        self._at = 0

    def _peek(self) -> tuple[str, bool]:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _next(self) -> tuple[str, bool]:
        token = self._peek()
        self._at += 1
        return token

    @staticmethod
    def _fail(token: tuple[str, bool], expected: str) -> NoReturn:
        raise ValueError(f"found '{token[0]}', expected: {expected}")

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        token = self._peek()
        if token[1] and token[0] != "!" and token != _END:
            self._fail(token, "!, identifier, or 'end of string'")
        while self._peek() != _END:
            try:
                found.append(self._requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            token = self._next()
            if token == _END:
                break
            if token != (",", True):
                self._fail(token, "',' or 'end of string'")
            after = self._peek()
            if after[1] and after[0] != "!":
                self._fail(after, "identifier after ','")
        return found

    def _requirement(self) -> Requirement:
        token = self._next()
        absent = token == ("!", True)
        if absent:
            token = self._next()
        key, is_symbol = token
        if is_symbol:
            self._fail(token, "identifier")
        _check_key(key, "<nil>")  # Kubernetes' parser knows of no path
        if absent:
            return requirement(key, Operator.DOES_NOT_EXIST)
        if self._peek() in (_END, (",", True)):
            return requirement(key, Operator.EXISTS)
        token = self._next()
        operator = _BINARY.get(token[0])
        if operator is None:
            self._fail(token, "in, notin, =, ==, !=, gt, lt")
        values = self._set() if operator in _SETS else [self._exact()]
        return requirement(key, operator, values)

    def _exact(self) -> str:
        if self._peek() in (_END, (",", True)):
            return ""
        token = self._next()
        if token[1]:
            self._fail(token, "identifier")
        return token[0]

    def _set(self) -> set[str]:
        token = self._next()
        if token != ("(", True):
            raise ValueError(f"found '{token[0]}' expected: '('")
        values: set[str] = set()
        expect_value, expected = True, "',', ')' or identifier"
        while True:
            token = self._next()
            if token == (")", True):
                return values | {""} if expect_value else values
            if token == (",", True):
                if expect_value:
                    values.add("")
                expect_value, expected = True, "',', or identifier"
            elif token[1] or not expect_value:
                self._fail(token, expected)
            else:
                values.add(token[0])
                expect_value, expected = False, "',' or ')'"
