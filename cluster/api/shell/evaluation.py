"""What a script does: its output, how long it runs, how it ends, the files that it leaves.

Source: POSIX.1-2017, Shell Command Language 2.6 (expansions), 2.8.2 (exit status), 2.9 (commands),
set -e. Commands take no time but for `sleep`. Invariants: what is not certain raises `Unknown`,
never a guess; a script that goes on for ever ends the evaluation, by its period.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Final, NamedTuple, TypeAlias

from kubeherd.cluster.api.shell import arithmetic
from kubeherd.cluster.api.shell.surroundings import RANDOM, Files, Surroundings, absolute
from kubeherd.cluster.api.shell.syntax import parse
from kubeherd.cluster.api.shell.tree import (
    Arithmetic,
    For,
    Function,
    If,
    Item,
    Literal,
    Loop,
    Not,
    Script,
    Simple,
    Substitution,
    Unknown,
    Variable,
    Word,
)

MAX_BYTES: Final = 64 * 1024
"""No more output and files, and no longer words: a script may double a variable again and again."""
MAX_COMMANDS: Final = 2000
MAX_SUBSTITUTIONS: Final = 20
"""How deep `$(...)` may be nested."""
FOR_EVER_S: Final = 1e9
_MIN_PERIOD_S: Final = 0.1
"""A loop that writes faster is not understood: its log would be all that the machine does."""
_EXIT_CODES: Final = 256
_DISCARDED: Final = "/dev/null"
_GLOB: Final = frozenset("*?[")


class Program(NamedTuple):
    """`output`: (seconds after the start, text with its newline); `ends_s` None: it never ends;
    `files`: what it leaves.

    The last `repeated` outputs come again every `period_s`.
    """

    output: tuple[tuple[float, str], ...]
    ends_s: float | None
    exit_code: int
    repeated: int = 0
    period_s: float = 0.0
    files: Files = ()
    on_term: "Stopping | None" = None
    """What it does when it gets SIGTERM while it runs; None: the signal ends it."""

    def told(self) -> Iterator[tuple[float, str]]:
        """All of its output, which may have no end."""
        yield from self.output
        if self.repeated:
            for turn in count(1):
                for at_s, text in self.output[-self.repeated :]:
                    yield at_s + turn * self.period_s, text


class Stopping(NamedTuple):
    """How a process ends that was asked to: so long after, with this code; `takes_s` None: it goes
    on as if nothing had happened."""

    takes_s: float | None
    exit_code: int


class _Returns(Exception):
    """`return`."""


class ShellEnds(Exception):
    """`exit`, `exec`, a failure under `set -e`, or a loop without an end."""


class Run:
    """A process: what was written so far, the time, the last exit code."""

    def __init__(self, around: Surroundings, utility: "Utility") -> None:
        """`utility` runs the commands that are no part of the shell."""
        self.around = around
        self._utility = utility
        self.output: list[tuple[float, str]] = []
        self.files = dict(around.files)
        self.variables: dict[str, str | None] = dict(around.variables)
        self.now_s = 0.0
        self.code = 0
        self.repeated = 0
        self.period_s = 0.0
        self.directories: set[str] = set(around.whole)
        self.stops_on_error = False
        self.trapped = ""
        """The script that SIGTERM starts."""
        self._functions: dict[str, Script] = {}
        self._drawn = 0
        self._commands = 0
        self._substitutions = 0

    def program(self) -> Program:
        """What it came to."""
        ends_s = self.now_s if self.now_s < FOR_EVER_S else None
        files = tuple(self.files.items())
        return Program(
            tuple(self.output),
            ends_s,
            self.code,
            self.repeated,
            self.period_s,
            files,
            self._stopping() if self.trapped and self.period_s else None,
        )

    def _stopping(self) -> Stopping:
        """What the trap of an endless loop does, which runs as soon as a turn is over."""
        self.now_s = 0.0
        try:
            self._script(parse(self.trapped), tested=False)
        except ShellEnds:
            return Stopping(self.now_s if self.now_s < FOR_EVER_S else None, self.code)
        return Stopping(None, 0)

    def command(self, words: list[str]) -> None:
        """Run one command to its end, whatever it was."""
        try:
            self._utility(self, words)
        except ShellEnds:
            return

    def shell(self, script: Script, *, stops_on_error: bool) -> None:
        """Run a script in a shell of its own; what it makes of variables goes with it."""
        before = dict(self.variables), self.stops_on_error, self.trapped
        self.stops_on_error, self.trapped = stops_on_error, ""
        try:
            self._script(script, tested=False)
        except ShellEnds:
            if self.now_s >= FOR_EVER_S:
                raise
        self.variables, self.stops_on_error, self.trapped = before

    # --- what commands ask for ---

    def write(self, text: str) -> None:
        """Write to standard output."""
        self.output.append((self.now_s, text))
        self._check_size()

    def text_of(self, path: str) -> str | None:
        """The text of a file, None if there is none; `Unknown`."""
        path = absolute(path)
        if path in self.files or any(_inside(path, root) for root in self.around.whole):
            return self.files.get(path)
        raise Unknown

    def is_directory(self, path: str) -> bool:
        """Whether a path is a directory; `Unknown`."""
        if absolute(path) in self.directories:
            return True
        self.text_of(path)
        return False

    def value(self, name: str) -> str:
        """The value of a variable; `Unknown`."""
        if name == "?":
            return str(self.code)
        if name == RANDOM and name not in self.variables:
            return str(self._random())
        value = self.variables.get(name)
        if value is None:
            raise Unknown
        return value

    def _random(self) -> int:
        if self.around.chance is None:
            raise Unknown
        self._drawn += 1
        return hash((self.around.chance, self._drawn)) % 32768

    def _check_size(self) -> None:
        texts = (*self.files.values(), *(text for _, text in self.output))
        if sum(map(len, texts)) > MAX_BYTES:
            raise Unknown

    # --- control ---

    def _script(self, script: Script, *, tested: bool) -> None:
        """`tested`: somebody looks at the exit code, so that a failure ends nothing."""
        for number, item in enumerate(script):
            if (item.before == "&&" and self.code) or (item.before == "||" and not self.code):
                continue
            last = number + 1 == len(script) or script[number + 1].before == ";"
            self._command(item, tested=tested or not last)
            if self.code and self.stops_on_error and last and not tested:
                raise ShellEnds

    def _command(self, item: Item, *, tested: bool) -> None:
        match item.command:
            case Simple() as simple:
                self._simple(simple)
            case Not(command):
                self._command(Item(";", command), tested=True)
                self.code = int(not self.code)
            case If(branches, otherwise):
                self._if(branches, otherwise, tested=tested)
            case Loop() as loop:
                self._loop(loop, tested=tested)
            case Function(name, body):
                self._functions[name] = body
                self.code = 0
            case For(name, words, body):
                for value in self.expand(words):
                    self.variables[name] = value
                    self._script(body, tested=tested)

    def _if(
        self, branches: Sequence[tuple[Script, Script]], otherwise: Script, *, tested: bool
    ) -> None:
        for condition, body in branches:
            self._script(condition, tested=True)
            if not self.code:
                return self._script(body, tested=tested)
        self.code = 0
        return self._script(otherwise, tested=tested)

    def _loop(self, loop: Loop, *, tested: bool) -> None:
        """A turn that changes nothing but the time repeats itself for ever."""
        code = 0
        while True:
            began_s, written = self.now_s, len(self.output)
            before = (dict(self.files), dict(self.variables), self._drawn)
            self._script(loop.condition, tested=True)
            if bool(self.code) is not loop.until:
                self.code = code
                return
            self._script(loop.body, tested=tested)
            code = self.code
            if before == (self.files, self.variables, self._drawn):
                self._for_ever(len(self.output) - written, self.now_s - began_s)

    def _for_ever(self, repeated: int, period_s: float) -> None:
        if repeated and period_s < _MIN_PERIOD_S:
            raise Unknown
        self.repeated, self.period_s = repeated, period_s
        self.now_s, self.code = FOR_EVER_S, 0
        raise ShellEnds

    def _simple(self, simple: Simple) -> None:
        self._commands += 1
        if self._commands > MAX_COMMANDS:
            raise Unknown
        values = [(name, self._joined(word)) for name, word in simple.assignments]
        words = self.expand(simple.words)
        if not words:
            if not any(isinstance(p, Substitution) for _, w in simple.assignments for p in w):
                self.code = 0
            self.variables.update(values)
            return
        if values:
            raise Unknown  # variables of one command: none that is understood heeds them
        since = len(self.output)
        try:
            self._run(words)
        finally:
            if simple.into is not None:
                self._keep(since, self._joined(simple.into), appends=simple.appends)

    def _run(self, words: list[str]) -> None:
        match words[0]:
            case "exit":
                if len(words) > 2 or (len(words) == 2 and not words[1].isdecimal()):
                    raise Unknown
                if len(words) == 2:
                    self.code = int(words[1]) % _EXIT_CODES
                raise ShellEnds
            case "return" if len(words) == 1:
                raise _Returns
            case name if name in self._functions:
                try:
                    self._script(self._functions[name], tested=False)
                except _Returns:
                    return
                return
            case "exec":
                self._utility(self, words[1:] or ["true"])
                raise ShellEnds
        self._utility(self, words)

    def _keep(self, since: int, path: str, *, appends: bool) -> None:
        """Take back the output from the number `since` on: it went to a file."""
        text = "".join(text for _, text in self.output[since:])
        del self.output[since:]
        if path != _DISCARDED:
            path = absolute(path)
            self.files[path] = (self.files.get(path, "") if appends else "") + text
            self._check_size()

    # --- words ---

    def expand(self, words: Sequence[Word]) -> list[str]:
        """The fields that words come to."""
        fields: list[str] = []
        for word in words:
            fields += self._fields(word)
            if sum(map(len, fields)) > MAX_BYTES:
                raise Unknown
        return fields

    def _fields(self, word: Word) -> list[str]:
        """Unquoted expansions are split at blanks; as patterns they are not understood."""
        fields, current, exists = list[str](), "", False
        for part in word:
            text = self._text(part)
            if len(current) > MAX_BYTES:
                raise Unknown
            if part.quoted or isinstance(part, Literal):
                current, exists = current + text, True
                continue
            if _GLOB.intersection(text):
                raise Unknown
            pieces = text.split()
            if text[:1].isspace() and exists:
                fields.append(current)
                current, exists = "", False
            for number, piece in enumerate(pieces):
                if number:
                    fields.append(current)
                    current = ""
                current, exists = current + piece, True
            if pieces and text[-1:].isspace():
                fields.append(current)
                current, exists = "", False
        return [*fields, current] if exists else fields

    def _joined(self, word: Word) -> str:
        joined = ""
        for part in word:
            joined += self._text(part)
            if len(joined) > MAX_BYTES:
                raise Unknown
        return joined

    def _text(self, part: Literal | Variable | Arithmetic | Substitution) -> str:
        match part:
            case Literal(text):
                return text
            case Variable(name):
                return self.value(name)
            case Arithmetic(text):
                return str(arithmetic.evaluate(text, self.value))
            case Substitution(text):
                return self._substituted(parse(text))

    def _substituted(self, script: Script) -> str:
        since = len(self.output)
        self._substitutions += 1
        if self._substitutions > MAX_SUBSTITUTIONS:
            raise Unknown
        self.shell(script, stops_on_error=self.stops_on_error)
        self._substitutions -= 1
        text = "".join(text for _, text in self.output[since:])
        del self.output[since:]
        return text.rstrip("\n")


def _inside(path: str, root: str) -> bool:
    return path.startswith(f"{root.rstrip('/')}/")


Utility: TypeAlias = Callable[[Run, Sequence[str]], None]
"""Runs one command; `Unknown` for a program that is not understood."""
