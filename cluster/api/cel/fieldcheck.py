"""Whether the fields that a rule names are in its schema, and how deep its loops are nested.

The library that evaluates rules does not check types; a name that is spelt wrong would make every
object invalid. This follows each chain of names that begins at ``self``, ``oldSelf`` or a loop's
variable as far as the schema tells its type, and says nothing of what it cannot follow.
"""

import re
from collections.abc import Iterator

import msgspec

from kubeherd.cluster.api.cel.values import escaped
from kubeherd.cluster.api.customresources.schema import (
    EMBEDDED,
    INT_OR_STRING,
    PRESERVE,
    Schema,
    additional,
    has_additional,
    items,
    properties,
)

LOOPS = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})
_SAME = frozenset({"filter"})
_TOKEN = re.compile(
    r"""(?P<text>[rRbB]{0,2}(?:\"\"\".*?\"\"\"|'''.*?'''|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))"""
    r"""|(?P<name>[A-Za-z_]\w*)|(?P<number>\d[\w.]*)|(?P<comment>//[^\n]*)|(?P<sign>\S)""",
    re.DOTALL,
)
_META: Schema = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}},
}
_IMPLIED: dict[str, Schema] = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": _META,
}


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a rule, and where (counted from 0)."""

    text: str
    at: int


class _Scope(msgspec.Struct):
    name: str
    schema: Schema | None
    end: int


class Check(msgspec.Struct):
    """One rule, read once: its problems and the depth of its loops."""

    rule: str
    schema: Schema
    problems: list[Problem] = msgspec.field(default_factory=list)
    depth: int = 0
    _tokens: list[re.Match[str]] = msgspec.field(default_factory=list)
    _scopes: list[_Scope] = msgspec.field(default_factory=list)

    def run(self, *, old_self: bool = True) -> "Check":
        """Read the rule; `old_self`: ``oldSelf`` has the type of ``self``."""
        self._tokens = [m for m in _TOKEN.finditer(self.rule) if m.lastgroup != "comment"]
        self._scopes = [_Scope("self", self.schema, len(self._tokens))]
        if old_self:
            self._scopes.append(_Scope("oldSelf", self.schema, len(self._tokens)))
        base = len(self._scopes)
        for at, token in enumerate(self._tokens):
            self._scopes = [s for s in self._scopes if at <= s.end]
            if token.lastgroup == "name" and not (at and self._is(at - 1, ".")):
                scope = next((s for s in reversed(self._scopes) if s.name == token[0]), None)
                if scope is not None and not self._is(at + 1, "("):
                    self._follow(at + 1, scope.schema)
            elif token[0] in LOOPS and self._is(at + 1, "("):
                self._bind(at, None)
            self.depth = max(self.depth, len(self._scopes) - base)
        return self

    def _is(self, at: int, sign: str) -> bool:
        return 0 <= at < len(self._tokens) and self._tokens[at][0] == sign

    def _follow(self, at: int, schema: Schema | None) -> None:
        """The members, elements and calls after a value of this schema."""
        while schema is not None and at + 1 < len(self._tokens):
            if self._is(at, "["):
                schema = items(schema) if schema.get("type") == "array" else additional(schema)
                at = self._closing(at) + 1
                continue
            if not self._is(at, ".") or self._tokens[at + 1].lastgroup != "name":
                return
            name = self._tokens[at + 1][0]
            if self._is(at + 2, "("):
                if name in LOOPS:
                    self._bind(at + 1, schema)
                if name not in _SAME:
                    return
                at = self._closing(at + 2) + 1
                continue
            schema = self._member(schema, name, self._tokens[at].start())
            at += 2

    def _member(self, schema: Schema, name: str, at: int) -> Schema | None:
        if schema.get(INT_OR_STRING) or (schema.get(PRESERVE) and not properties(schema)):
            return None
        if schema.get("type") != "object":
            text = f"type '{_type_name(schema)}' does not support field selection"
            self._add(Problem(text, at))
            return None
        if has_additional(schema) and not properties(schema):
            return additional(schema)
        fields = {escaped(key): inner for key, inner in properties(schema).items()}
        if schema.get(EMBEDDED):
            fields = {**fields, **_IMPLIED}
        if name in fields:
            return fields[name]
        self._add(Problem(f"undefined field '{name}'", at))
        return None

    def _add(self, problem: Problem) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _bind(self, at: int, schema: Schema | None) -> None:
        """The variable of a loop whose name is the token `at`; it goes over `schema`."""
        if at + 2 >= len(self._tokens) or self._tokens[at + 2].lastgroup != "name":
            return
        end = self._closing(at + 1)
        name = self._tokens[at + 2][0]
        if any(scope.end == end for scope in self._scopes):
            return
        element: Schema | None = None
        if schema is not None:
            is_list = schema.get("type") == "array"
            element = items(schema) if is_list else {"type": "string"}
        self._scopes.append(_Scope(name, element, end))

    def _closing(self, at: int) -> int:
        """The token that closes the bracket `at`."""
        depth = 0
        for index in range(at, len(self._tokens)):
            depth += self._tokens[index][0] in ("(", "[", "{")
            depth -= self._tokens[index][0] in (")", "]", "}")
            if depth == 0:
                return index
        return len(self._tokens)


def _type_name(schema: Schema) -> str:
    names = {"integer": "int", "number": "double", "boolean": "bool", "array": "list"}
    declared = str(schema.get("type") or "dyn")
    return names.get(declared, declared)


def shown(rule: str, problems: list[Problem]) -> Iterator[str]:
    """The problems as cel-go prints them, with the line and a mark below it."""
    for problem in problems:
        before = rule[: problem.at]
        line = before.count("\n")
        column = problem.at - (before.rfind("\n") + 1)
        text = rule.split("\n")[line]
        yield (
            f"ERROR: <input>:{line + 1}:{column + 1}: {problem.text}\n | {text}\n | {'.' * column}^"
        )
