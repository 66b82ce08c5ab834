"""Expressions as tokens.

Source: github.com/google/cel-go/parser/gen/CEL.g4.
"""

import re

import msgspec

_ESCAPED = (
    r"\\(?:[abfnrtv\"'\\`?]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})"
)
_STRINGS = "|".join(
    [
        r"[rR]\"\"\"(?:.|\n)*?\"\"\"",
        r"[rR]'''(?:.|\n)*?'''",
        r"[rR]\"[^\"\n\r]*\"",
        r"[rR]'[^'\n\r]*'",
        rf"\"\"\"(?:{_ESCAPED}|[^\\])*?\"\"\"",
        rf"'''(?:{_ESCAPED}|[^\\])*?'''",
        rf"\"(?:{_ESCAPED}|[^\\\"\n\r])*\"",
        rf"'(?:{_ESCAPED}|[^\\'\n\r])*'",
    ]
)
_TOKEN = re.compile(
    rf"(?P<skip>[\t\n\f\r ]+|//[^\n]*)"
    rf"|(?P<BYTES>[bB](?:{_STRINGS}))"
    rf"|(?P<STRING>{_STRINGS})"
    r"|(?P<NUM_FLOAT>(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)"
    r"|(?P<NUM_UINT>(?:0x[0-9a-fA-F]+|\d+)[uU])"
    r"|(?P<NUM_INT>0x[0-9a-fA-F]+|\d+)"
    r"|(?P<IDENTIFIER>[A-Za-z_][A-Za-z_0-9]*)"
    r"|(?P<sign>==|!=|<=|>=|&&|\|\||[\[\]{}().,\-!?:+*/%<>])"
)
_UNTERMINATED = re.compile(r"[^\n]*")


class Token(msgspec.Struct, frozen=True):
    """A token: what it is, its text, and where it stands, counted from 0."""

    kind: str
    text: str
    at: int

    @property
    def shown(self) -> str:
        """How messages name it."""
        return "<EOF>" if self.kind == "<EOF>" else self.text


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with an expression, and where (counted from 0)."""

    text: str
    at: int


def tokens(source: str) -> tuple[list[Token], list[Problem]]:
    """All tokens with an end behind them, and what is no token."""
    found: list[Token] = []
    problems: list[Problem] = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            text = _unknown(source, at)
            problems.append(Problem(f"Syntax error: token recognition error at: '{text}'", at))
            at += len(text)
            continue
        kind = match.lastgroup or ""
        text = match[0]
        if kind in ("sign", "IDENTIFIER") and (kind == "sign" or text in _WORDS):
            kind = text
        if kind != "skip":
            found.append(Token(kind, text, at))
        at = match.end()
    found.append(Token("<EOF>", "", at))
    return found, problems


_WORDS = frozenset({"true", "false", "null", "in"})


def _unknown(source: str, at: int) -> str:
    """The text that the lexer gives up at: one character, the whole of an open string."""
    if source[at] in "\"'":
        rest = _UNTERMINATED.match(source, at)
        return rest[0] if rest else source[at]
    if source[at] in "=&|" and at + 1 < len(source):
        return source[at : at + 2]
    return source[at]
