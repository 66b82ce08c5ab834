"""The syntax of shell scripts: text in, a tree out.

A POSIX shell's lists, `if`, `while`, `until`, `for` and functions, quotes, variables, `$(...)` and
`$((...))`. Source: POSIX.1-2017, Shell Command Language 2.2 to 2.10; `[[ ... ]]` of busybox and
bash counts as a command. Invariant: what is not of these (a pipe, a pattern, `&`) raises `Unknown`:
a script is understood as a whole or not at all.
"""

import re
from typing import Final

from kubeherd.cluster.api.shell.tree import (
    Command,
    For,
    Function,
    If,
    Item,
    Literal,
    Loop,
    Not,
    Script,
    Simple,
    Unknown,
    Word,
)
from kubeherd.cluster.api.shell.words import NAME, Token, tokens

MAX_DEPTH: Final = 20
"""How deep lists may be nested."""

_ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_RESERVED: Final = frozenset(
    {"then", "elif", "else", "fi", "do", "done", "in", "case", "esac", "{", "}", "function"}
)


def parse(text: str) -> Script:
    """The commands of a script; `Unknown`."""
    parser = _Parser(tokens(text))
    script = parser.script(frozenset())
    if not parser.at_end or not script:
        raise Unknown
    return script


class _Parser:
    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._tokens)

    def script(self, until: frozenset[str]) -> Script:
        """Commands up to one of these words, which is not taken."""
        items: list[Item] = []
        before = ";"
        while True:
            self._skip_newlines()
            if self.at_end or self._next.plain in until:
                if before != ";":
                    raise Unknown
                return tuple(items)
            items.append(Item(before, self._command()))
            before = ";"
            if self.at_end:
                return tuple(items)
            operator = self._next.operator
            if operator in ("&&", "||"):
                before = operator
            elif operator not in (";", "\n"):
                raise Unknown
            self._at += 1

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _skip_newlines(self) -> None:
        while not self.at_end and self._next.operator == "\n":
            self._at += 1

    def _take(self, word: str) -> None:
        if self.at_end or self._next.plain != word:
            raise Unknown
        self._at += 1

    def _nested(self, *until: str) -> Script:
        if self._depth >= MAX_DEPTH:
            raise Unknown
        self._depth += 1
        script = self.script(frozenset(until))
        self._depth -= 1
        if not script:
            raise Unknown
        return script

    def _command(self) -> Command:
        word = self._next.plain
        if word in _RESERVED:
            raise Unknown
        match word:
            case "!":
                self._at += 1
                if self.at_end:
                    raise Unknown
                return Not(self._command())
            case "if":
                return self._if()
            case "while" | "until":
                self._at += 1
                condition = self._nested("do")
                return Loop(word == "until", condition, self._body())
            case "for":
                return self._for()
        after = self._tokens[self._at + 1 : self._at + 3]
        if NAME.fullmatch(word) and [token.operator for token in after] == ["(", ")"]:
            return self._function(word)
        return self._simple()

    def _function(self, name: str) -> Function:
        self._at += 3
        self._skip_newlines()
        self._take("{")
        body = self._nested("}")
        self._take("}")
        return Function(name, body)

    def _if(self) -> If:
        branches: list[tuple[Script, Script]] = []
        otherwise: Script = ()
        self._at += 1
        while True:
            condition = self._nested("then")
            self._take("then")
            branches.append((condition, self._nested("elif", "else", "fi")))
            if self.at_end:
                raise Unknown
            if self._next.plain != "elif":
                break
            self._at += 1
        if self._next.plain == "else":
            self._at += 1
            otherwise = self._nested("fi")
        self._take("fi")
        return If(tuple(branches), otherwise)

    def _for(self) -> For:
        self._at += 1
        if self.at_end or not NAME.fullmatch(self._next.plain):
            raise Unknown
        name = self._next.plain
        self._at += 1
        self._take("in")
        words = self._words()
        self._skip_separator()
        return For(name, words, self._body())

    def _words(self) -> tuple[Word, ...]:
        words: list[Word] = []
        while not self.at_end and (word := self._next.word) is not None:
            words.append(word)
            self._at += 1
        return tuple(words)

    def _skip_separator(self) -> None:
        if self.at_end or self._next.operator not in (";", "\n"):
            raise Unknown
        self._at += 1
        self._skip_newlines()

    def _body(self) -> Script:
        self._take("do")
        body = self._nested("done")
        self._take("done")
        return body

    def _simple(self) -> Simple:
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        into: Word | None = None
        appends = False
        while not self.at_end:
            token = self._next
            if token.operator in (">", ">>", ">&", "<"):
                target, keeps = self._redirection(token.operator, words)
                if keeps and into is not None:
                    raise Unknown
                if keeps:
                    into, appends = target, token.operator == ">>"
                continue
            if token.word is None:
                break
            self._at += 1
            assigned = None if words else _assignment(token.word)
            if assigned is not None:
                assignments.append(assigned)
            elif not (token.touches and token.plain == "2"):
                words.append(token.word)
            else:
                self._discard_errors()
        if not words and (into is not None or not assignments):
            raise Unknown
        return Simple(tuple(assignments), tuple(words), into, appends)

    def _redirection(self, operator: str, words: list[Word]) -> tuple[Word, bool]:
        """The target of a redirection, and whether output goes there."""
        self._at += 1
        if self.at_end or operator == "<" or (target := self._next.word) is None or not words:
            raise Unknown
        if self._tokens[self._at - 2].touches and self._tokens[self._at - 2].plain.isdecimal():
            raise Unknown
        plain = self._next.plain
        self._at += 1
        if operator == ">&":
            if plain != "2":
                raise Unknown
            return target, False
        return target, True

    def _discard_errors(self) -> None:
        """`2>/dev/null` and `2>&1`: nothing here writes to standard error."""
        operator = self._next.operator
        self._at += 1
        target = "" if self.at_end else self._next.plain
        if (operator, target) not in ((">", "/dev/null"), (">>", "/dev/null"), (">&", "1")):
            raise Unknown
        self._at += 1


def _assignment(word: Word) -> tuple[str, Word] | None:
    first = word[0] if word else None
    if not isinstance(first, Literal) or first.quoted:
        return None
    found = _ASSIGNMENT.match(first.text)
    if found is None:
        return None
    rest = first.text[found.end() :]
    return found[1], (*((Literal(rest, quoted=False),) if rest else ()), *word[1:])
