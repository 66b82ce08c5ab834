"""The syntax of shell scripts: text in, a tree out.

A POSIX shell's lists, `if`, `while`, `until` and `for`, quotes, variables, `$(...)` and `$((...))`.
Source: POSIX.1-2017, Shell Command Language 2.2 to 2.10; `[[ ... ]]` of busybox and bash counts as
a command. Invariant: what is not of these (a pipe, a function, a pattern, `&`) raises `Unknown`:
a script is understood as a whole or not at all.
"""

import re
from typing import Final, NamedTuple, TypeAlias

MAX_DEPTH: Final = 20
"""How deep lists may be nested."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_OPERATOR: Final = re.compile(r"&&|\|\||;;|;|\n|>>|>&|>|<|&|\||\(|\)")
_BLANK: Final = " \t\r"
_ENDS_WORD: Final = frozenset(" \t\r\n;&|()<>")
_PATTERN: Final = frozenset("*?{}~")
_BRACKETS: Final = frozenset({"[", "[["})
_RESERVED: Final = frozenset({"then", "elif", "else", "fi", "do", "done", "in", "case", "esac"})


class Unknown(Exception):
    """Not understood."""


class Literal(NamedTuple):
    """Text that means itself."""

    text: str
    quoted: bool


class Variable(NamedTuple):
    """`$NAME` or `$?`."""

    name: str
    quoted: bool


class Arithmetic(NamedTuple):
    """`$((...))`: the expression, with its variables still in it."""

    text: str
    quoted: bool


class Substitution(NamedTuple):
    """`$(...)`."""

    script: "Script"
    quoted: bool


Part: TypeAlias = Literal | Variable | Arithmetic | Substitution
Word: TypeAlias = tuple[Part, ...]


class Simple(NamedTuple):
    """A simple command, and the file that its output goes to."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    into: Word | None = None
    appends: bool = False


class Not(NamedTuple):
    """`! COMMAND`."""

    command: "Command"


class If(NamedTuple):
    """Conditions with what follows from them, in order, and what else."""

    branches: tuple[tuple["Script", "Script"], ...]
    otherwise: "Script"


class Loop(NamedTuple):
    """`while CONDITION`; `until`: as long as it does not hold."""

    until: bool
    condition: "Script"
    body: "Script"


class For(NamedTuple):
    """`for NAME in WORDS`."""

    name: str
    words: tuple[Word, ...]
    body: "Script"


Command: TypeAlias = Simple | Not | If | Loop | For


class Item(NamedTuple):
    """A command and the operator before it: `;` (or a newline), `&&` or `||`."""

    before: str
    command: Command


Script: TypeAlias = tuple[Item, ...]


class _Token(NamedTuple):
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


def parse(text: str, depth: int = 0) -> Script:
    """The commands of a script; `Unknown`."""
    parser = _Parser(_tokens(text, depth), depth)
    script = parser.script(frozenset())
    if not parser.at_end or not script:
        raise Unknown
    return script


# --- words ---


def _tokens(text: str, depth: int) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        if text[at] in _BLANK or text.startswith("\\\n", at):
            at += 1 if text[at] in _BLANK else 2
        elif text[at] == "#":
            at = (text.find("\n", at) + len(text) + 1) % (len(text) + 1)
        elif found := _OPERATOR.match(text, at):
            tokens.append(_Token(found[0]))
            at = found.end()
        else:
            word, at = _word(text, at, depth)
            tokens.append(_Token("", word, at < len(text) and text[at] in "<>"))
    return tokens


def _word(text: str, at: int, depth: int) -> tuple[Word, int]:
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
                at = _quoted(text, at + 1, depth, parts)
            case "$":
                part, at = _expansion(text, at, depth, quoted=False)
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
        if _PATTERN.intersection(part.text) or ("[" in part.text and whole not in _BRACKETS):
            raise Unknown


def _quoted(text: str, at: int, depth: int, parts: list[Part]) -> int:
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
            part, at = _expansion(text, at, depth, quoted=True)
            parts.append(part)
            continue
        if char == "\\" and text[at + 1 : at + 2] in ("$", '"', "\\", "`", "\n"):
            literal += "" if text[at + 1] == "\n" else text[at + 1]
            at += 2
            continue
        literal += char
        at += 1
    raise Unknown


def _expansion(text: str, at: int, depth: int, *, quoted: bool) -> tuple[Part, int]:
    """What the `$` at `at` begins, and where it ended."""
    rest = text[at + 1 : at + 2]
    if text.startswith("$((", at):
        end = _closing(text, at + 3)
        if text[end : end + 2] != "))":
            raise Unknown
        return Arithmetic(text[at + 3 : end], quoted), end + 2
    if rest == "(":
        end = _closing(text, at + 2)
        if depth >= MAX_DEPTH:
            raise Unknown
        return Substitution(parse(text[at + 2 : end], depth + 1), quoted), end + 1
    if rest == "?":
        return Variable("?", quoted), at + 2
    if rest == "{":
        found = _NAME.match(text, at + 2)
        if found is None or text[found.end() : found.end() + 1] != "}":
            raise Unknown
        return Variable(found[0], quoted), found.end() + 1
    if found := _NAME.match(text, at + 1):
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


# --- commands ---


class _Parser:
    def __init__(self, tokens: list[_Token], depth: int) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = depth

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
    def _next(self) -> _Token:
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
        return self._simple()

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
        if self.at_end or not _NAME.fullmatch(self._next.plain):
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
