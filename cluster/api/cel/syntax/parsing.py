"""Expressions from text, with the errors of cel-go's parser.

Source: github.com/google/cel-go/parser (CEL.g4, parser.go). The messages are those of ANTLR's
usual strategy: one token too many, one missing, else a mismatch with what could stand there.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from kubeherd.cluster.api.cel.interpreter.datatypes import UInt
from kubeherd.cluster.api.cel.syntax import lexing, literals, macros
from kubeherd.cluster.api.cel.syntax.lexing import Problem, Token
from kubeherd.cluster.api.cel.syntax.nodes import (
    Call,
    Entry,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
    StructNode,
    qualified_name,
)

MAX_DEPTH: Final = 250
MAX_CHARS: Final = 100_000
_BINARY: dict[str, int] = {
    "||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">=": 3, ">": 3, "in": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5,
}  # fmt: skip
_FUNCTIONS = {"in": "@in"}
_RESERVED = frozenset({
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in",
    "let", "loop", "package", "namespace", "null", "return", "true", "var", "void", "while",
})  # fmt: skip
_PRIMARY = (
    "'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, "
    "BYTES, IDENTIFIER"
)
_PRIMARY_STARTS = frozenset({
    "[", "{", "(", ".", "-", "!", "true", "false", "null", "NUM_FLOAT", "NUM_INT", "NUM_UINT",
    "STRING", "BYTES", "IDENTIFIER",
})  # fmt: skip
_OPERATORS = (
    "'==', '!=', 'in', '<', '<=', '>=', '>', '&&', '||', '[', '.', '-', '?', '+', '*', '/', '%'"
)
_INT_MAX, _UINT_MAX = 2**63 - 1, 2**64 - 1


class Unparsable(Exception):
    """A text that is no expression, with its problems."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


def parse(source: str) -> Node:
    """The tree of an expression; Unparsable if it is none."""
    if len(source) > MAX_CHARS:
        text = f"expression code point size exceeds limit: size: {len(source)}, limit {MAX_CHARS}"
        raise Unparsable([Problem(text, -1)])
    found, problems = lexing.tokens(source)
    parser = _Parser(found, list(problems))
    node: Node | None = None
    try:
        node = parser.whole()
    except _Stop:
        pass
    except RecursionError:
        parser.problems = [Problem(_TOO_DEEP, -1)]
    if parser.problems or node is None:
        raise Unparsable(sorted(parser.problems, key=lambda problem: problem.at))
    return node


_TOO_DEEP = f"expression recursion limit exceeded: {MAX_DEPTH}"


class _Stop(Exception):
    """The parser does not know how to go on."""


class _Parser(msgspec.Struct):
    tokens: list[Token]
    problems: list[Problem]
    position: int = 0
    depth: int = 0

    # --- tokens and errors ---

    def _next(self, ahead: int = 0) -> Token:
        return self.tokens[min(self.position + ahead, len(self.tokens) - 1)]

    def _is(self, *kinds: str) -> bool:
        return self._next().kind in kinds

    def _take(self) -> Token:
        token = self._next()
        self.position += 1
        return token

    def _accept(self, kind: str) -> bool:
        if self._is(kind):
            self.position += 1
            return True
        return False

    def _report(self, text: str, at: int) -> None:
        self.problems.append(Problem(f"Syntax error: {text}", at))

    def _fail(self, text: str, at: int) -> _Stop:
        self._report(text, at)
        return _Stop()

    def _expect(self, kind: str, also: str = "") -> None:
        """Take this token; if it is not there, say so and go on as if one were too many or few."""
        if self._accept(kind):
            return
        token = self._next()
        if self._next(1).kind == kind and token.kind != "<EOF>":
            expecting = f"{{'{kind}', {also}}}" if also else f"'{kind}'"
            self._report(f"extraneous input '{token.shown}' expecting {expecting}", token.at)
            self.position += 2
            return
        if also and token.kind != "<EOF>":
            expecting = f"{{'{kind}', {also}}}"
            raise self._fail(f"mismatched input '{token.shown}' expecting {expecting}", token.at)
        raise self._fail(f"missing '{kind}' at '{token.shown}'", token.at)

    # --- the grammar ---

    def whole(self) -> Node:
        node = self.expression()
        token = self._next()
        if token.kind == "<EOF>":
            return node
        if self._next(1).kind == "<EOF>":
            raise self._fail(f"extraneous input '{token.shown}' expecting <EOF>", token.at)
        text = f"mismatched input '{token.shown}' expecting {{<EOF>, {_OPERATORS}}}"
        raise self._fail(text, token.at)

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise RecursionError
        node = self._binary(1)
        if self._is("?"):
            at = self._take().at
            yes = self._binary(1)
            if not self._is(":") and self._is("<EOF>"):
                operators = _OPERATORS.replace("'?', ", "':', ")
                raise self._fail(
                    f"mismatched input '<EOF>' expecting {{{operators}}}", self._next().at
                )
            self._expect(":")
            node = Call("_?_:_", [node, yes, self.expression()], at=at)
        self.depth -= 1
        return node

    def _binary(self, least: int) -> Node:
        node = self._unary()
        while (rank := _BINARY.get(self._next().kind, 0)) >= least:
            if rank <= 2:  # chains of && and || become balanced trees, which do not get deep
                node = self._chain(node, rank)
                continue
            token = self._take()
            right = self._binary(rank + 1)
            name = _FUNCTIONS.get(token.kind, f"_{token.kind}_")
            node = Call(name, [node, right], at=token.at)
        return node

    def _chain(self, first: Node, rank: int) -> Node:
        sign = self._next().kind
        terms, places = [first], []
        while self._is(sign):
            places.append(self._take().at)
            terms.append(self._binary(rank + 1))
        return _balanced(f"_{sign}_", terms, places)

    def _unary(self) -> Node:
        if not self._is("!", "-"):
            return self._member()
        token = self._next()
        count = 0
        while self._is(token.kind):
            self.position += 1
            count += 1
        if token.kind == "-" and count == 1 and self._is("NUM_INT", "NUM_FLOAT"):
            return self._member(token)
        operand = self._member()
        if count % 2 == 0:
            return operand
        return Call("!_" if token.kind == "!" else "-_", [operand], at=token.at)

    def _member(self, minus: Token | None = None) -> Node:
        node = self._primary(minus)
        while True:
            token = self._next()
            if token.kind == ".":
                self.position += 1
                node = self._selected(node, token)
            elif token.kind == "[":
                self.position += 1
                optional = self._accept("?")
                index = self.expression()
                self._expect("]")
                node = Call("_[?_]" if optional else "_[_]", [node, index], at=token.at)
            elif token.kind == "{" and (name := qualified_name(node)):
                node = self._struct(name)
            else:
                return node

    def _selected(self, node: Node, dot: Token) -> Node:
        optional = self._accept("?")
        name = self._next()
        if name.kind in ("true", "false", "null", "in"):
            text = f"mismatched input '{name.text}' expecting IDENTIFIER"
            raise self._fail(text, name.at)
        if name.kind != "IDENTIFIER":
            shown = "" if name.kind == "<EOF>" else name.text
            raise self._fail(f"no viable alternative at input '.{shown}'", name.at)
        self.position += 1
        if optional:
            return Select(node, name.text, optional=True, at=dot.at)
        if not self._is("("):
            return Select(node, name.text, at=dot.at)
        at = self._take().at
        return self._macro(Call(name.text, self._arguments(")"), node, at=at))

    def _arguments(self, end: str) -> list[Node]:
        if self._accept(end):
            return []
        found = [self.expression_in(f"'{end}'")]
        while self._accept(","):
            found.append(self.expression())
        self._expect(end)
        return found

    def expression_in(self, also: str) -> Node:
        """An expression where `also` could stand as well."""
        if self._is("<EOF>"):
            names = _PRIMARY.replace("'(', ", f"'(', {also}, ")
            raise self._fail(f"mismatched input '<EOF>' expecting {{{names}}}", self._next().at)
        return self.expression()

    def _macro(self, call: Call) -> Node:
        try:
            return macros.expanded(call)
        except macros.Misused as error:
            self.problems.append(Problem(error.text, error.at))
            return call

    def _primary(self, minus: Token | None) -> Node:
        token = self._next()
        if token.kind not in _PRIMARY_STARTS and self._next(1).kind in _PRIMARY_STARTS:
            self._report(f"extraneous input '{token.shown}' expecting {{{_PRIMARY}}}", token.at)
            self.position += 1
            token = self._next()
        if token.kind in _LITERALS:
            self.position += 1
            return self._literal(token, minus)
        if token.kind in ("IDENTIFIER", "."):
            return self._identifier()
        if token.kind == "(":
            self.position += 1
            node = self.expression()
            self._expect(")")
            return node
        if token.kind == "[":
            self.position += 1
            return self._list(token.at)
        if token.kind == "{":
            self.position += 1
            return self._map(token.at)
        raise self._fail(f"mismatched input '{token.shown}' expecting {{{_PRIMARY}}}", token.at)

    def _literal(self, token: Token, minus: Token | None) -> Node:
        sign = "-" if minus is not None else ""
        at = token.at if minus is None else minus.at
        try:
            return Literal(_LITERALS[token.kind](sign + token.text), at=at)
        except ValueError as error:
            self.problems.append(Problem(str(error), at))
            return Literal(None, at=at)

    def _identifier(self) -> Node:
        first = self._next()
        rooted = self._accept(".")
        token = self._next()
        if token.kind != "IDENTIFIER":
            raise self._fail(f"no viable alternative at input '.{token.text}'", token.at)
        self.position += 1
        if token.text in _RESERVED:
            self.problems.append(Problem(f"reserved identifier: {token.text}", token.at))
        if self._is("("):
            at = self._take().at
            return self._macro(Call(token.text, self._arguments(")"), at=at))
        return Ident(token.text, at=first.at if rooted else token.at)

    def _list(self, at: int) -> Node:
        elements: list[Node] = []
        optional: set[int] = set()
        while not self._is("]", "<EOF>"):
            if self._accept("?"):
                optional.add(len(elements))
            elements.append(self.expression())
            if not self._accept(","):
                break
        else:
            self._expect("]")
            return ListNode(elements, frozenset(optional), at=at)
        self._expect("]", "','")
        return ListNode(elements, frozenset(optional), at=at)

    def _map(self, at: int) -> Node:
        return MapNode(self._entries(self.expression), at=at)

    def _struct(self, name: str) -> Node:
        at = self._take().at

        def field() -> Node:
            token = self._take()
            if token.kind != "IDENTIFIER":
                text = f"mismatched input '{token.shown}' expecting {{'}}', ',', '?', IDENTIFIER}}"
                raise self._fail(text, token.at)
            return Literal(token.text, at=token.at)

        return StructNode(name, self._entries(field), at=at)

    def _entries(self, key: Callable[[], Node]) -> list[Entry]:
        entries: list[Entry] = []
        while not self._is("}", "<EOF>"):
            optional = self._accept("?")
            name = key()
            if not self._is(":"):
                token = self._next()
                operators = _OPERATORS.replace("'?', ", "'?', ':', ")
                text = f"mismatched input '{token.shown}' expecting {{{operators}}}"
                raise self._fail(text, token.at)
            self.position += 1
            entries.append(Entry(name, self.expression(), optional))
            if not self._accept(","):
                break
        self._expect("}", "','")
        return entries


def _balanced(name: str, terms: list[Node], places: list[int]) -> Node:
    if len(terms) == 1:
        return terms[0]
    middle = (len(terms) - 1) // 2
    left = _balanced(name, terms[: middle + 1], places[:middle])
    right = _balanced(name, terms[middle + 1 :], places[middle + 1 :])
    return Call(name, [left, right], at=places[middle])


def _int(text: str) -> int:
    number = int(text, 0) if "0x" in text else int(text)
    if not -_INT_MAX - 1 <= number <= _INT_MAX:
        raise ValueError("invalid int literal")
    return number


def _uint(text: str) -> UInt:
    number = int(text[:-1], 0) if "0x" in text else int(text[:-1])
    if number > _UINT_MAX:
        raise ValueError("invalid uint literal")
    return UInt(number)


_LITERALS: dict[str, Callable[[str], Any]] = {
    "NUM_INT": _int,
    "NUM_UINT": _uint,
    "NUM_FLOAT": float,
    "STRING": literals.text,
    "BYTES": literals.octets,
    "true": lambda _: True,
    "false": lambda _: False,
    "null": lambda _: None,
}
