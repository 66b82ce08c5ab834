"""From the text of a script to words and operators: quotes, expansions, comments.

Source: POSIX.1-2017, Shell Command Language 2.2, 2.3 and 2.6.
"""

import re
from typing import Final, NamedTuple

from kubeherd.cluster.api.shell.tree import (
    Arithmetic,
    Literal,
    Part,
    Substitution,
    Unknown,
    Variable,
    Word,
)

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR: Final = re.compile(r"&&|\|\||;;|;|\n|>>|>&|>|<|&|\||\(|\)")
_BLANK: Final = " \t\r"
_ENDS_WORD: Final = frozenset(" \t\r\n;&|()<>")
_PATTERN: Final = frozenset("*?{}~")
_ALONE: Final = frozenset({"[", "[[", "{", "}"})
"""Words that are no patterns when they stand alone."""


class Token(NamedTuple):
    """A word, or an operator if `word` is None."""

    operator: str
    word: Word | None = None
    touches: bool = False
    """Whether an operator follows at once: `2>` is not `2 >`."""

    @property
    def plain(self) -> str:
        """The text of an unquoted literal word, else ""."""
        if self.word is None or len(self.word) != 1:
            return ""
        part = self.word[0]
        return part.text if isinstance(part, Literal) and not part.quoted else ""


def tokens(text: str) -> list[Token]:
    """The words and operators of a script; `Unknown`."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        if text[at] in _BLANK or text.startswith("\\\n", at):
            at += 1 if text[at] in _BLANK else 2
        elif text[at] == "#":
            at = (text.find("\n", at) + len(text) + 1) % (len(text) + 1)
        elif operator := _OPERATOR.match(text, at):
            found.append(Token(operator[0]))
            at = operator.end()
        else:
            word, at = _word(text, at)
            found.append(Token("", word, at < len(text) and text[at] in "<>"))
    return found


def _word(text: str, at: int) -> tuple[Word, int]:
    begin, parts = at, list[Part]()
    while at < len(text) and text[at] not in _ENDS_WORD:
        match text[at]:
            case "'":
                end = text.find("'", at + 1)
                if end < 0:
                    raise Unknown
                parts.append(Literal(text[at + 1 : end], quoted=True))
                at = end + 1
            case '"':
                at = _quoted(text, at + 1, parts)
            case "$":
                part, at = _expansion(text, at, quoted=False)
                parts.append(part)
            case "\\":
                if at + 1 >= len(text):
                    raise Unknown
                if text[at + 1] != "\n":
                    parts.append(Literal(text[at + 1], quoted=True))
                at += 2
            case "`":
                raise Unknown
            case _:
                end = at
                while (
                    end < len(text) and text[end] not in _ENDS_WORD and text[end] not in "'\"$\\`"
                ):
                    end += 1
                parts.append(Literal(text[at:end], quoted=False))
                at = end
    _check_patterns(text[begin:at], parts)
    return tuple(parts), at


def _check_patterns(whole: str, parts: list[Part]) -> None:
    """Names of files that match a pattern are not known."""
    for part in parts:
        if not isinstance(part, Literal) or part.quoted:
            continue
        if whole not in _ALONE and (_PATTERN.intersection(part.text) or "[" in part.text):
            raise Unknown


def _quoted(text: str, at: int, parts: list[Part]) -> int:
    """The parts of a double-quoted text that begins at `at`; where it ended."""
    literal = ""
    while at < len(text):
        char = text[at]
        if char == '"':
            parts.append(Literal(literal, quoted=True))
            return at + 1
        if char == "`":
            raise Unknown
        if char == "$":
            parts.append(Literal(literal, quoted=True))
            literal = ""
            part, at = _expansion(text, at, quoted=True)
            parts.append(part)
            continue
        if char == "\\" and text[at + 1 : at + 2] in ("$", '"', "\\", "`", "\n"):
            literal += "" if text[at + 1] == "\n" else text[at + 1]
            at += 2
            continue
        literal += char
        at += 1
    raise Unknown


def _expansion(text: str, at: int, *, quoted: bool) -> tuple[Part, int]:
    """What the `$` at `at` begins, and where it ended."""
    rest = text[at + 1 : at + 2]
    if text.startswith("$((", at):
        end = _closing(text, at + 3)
        if text[end : end + 2] != "))":
            raise Unknown
        return Arithmetic(text[at + 3 : end], quoted), end + 2
    if rest == "(":
        end = _closing(text, at + 2)
        return Substitution(text[at + 2 : end], quoted), end + 1
    if rest == "?":
        return Variable("?", quoted), at + 2
    if rest == "{":
        found = NAME.match(text, at + 2)
        if found is None or text[found.end() : found.end() + 1] != "}":
            raise Unknown
        return Variable(found[0], quoted), found.end() + 1
    if found := NAME.match(text, at + 1):
        return Variable(found[0], quoted), found.end()
    if rest and (rest.isalnum() or rest in "@*#!-$'\""):
        raise Unknown
    return Literal("$", quoted=True), at + 1


def _closing(text: str, at: int) -> int:
    """The place of the `)` that closes the one before `at`."""
    open_ = 1
    while at < len(text):
        char = text[at]
        if char in "'\"":
            at = text.find(char, at + 1)
            if at < 0:
                raise Unknown
        elif char == "\\":
            raise Unknown
        open_ += {"(": 1, ")": -1}.get(char, 0)
        if not open_:
            return at
        at += 1
    raise Unknown
