"""What a container's plain command does: its output, how long it runs, how it ends. Pure.

`echo`, `sleep`, `true`, `false` and, in `sh -c`, lists of them with `exit N`, at the end of which
may be a loop (`while true; do ...; done`), are understood as a POSIX shell understands them.
Invariant: what is not certainly understood (a variable, a pipe, a redirection, any other program)
gives None, never a guess.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Final, NamedTuple

MAX_BYTES: Final = 64 * 1024
"""A longer command is not looked at."""
FOR_EVER_S: Final = 1e9

_SHELLS: Final = frozenset({"sh", "bash", "ash", "dash"})
_SHELL_FLAGS: Final = re.compile(r"-[el]*c")
_DIRECTORIES: Final = frozenset({"", "/bin/", "/usr/bin/", "/usr/local/bin/"})
_OPERATORS: Final = ";&|()<>\n"
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_EXPANDED: Final = re.compile(r"[$`\\]")
"""What a shell replaces, also between double quotes."""
_SPECIAL: Final = re.compile(r"[$`\\*?\[~{#!]")
"""What a shell heeds outside of quotes."""
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([smhd]?)")
_MIN_PERIOD_S: Final = 0.1
"""A loop that writes faster is not understood: its log would be all that the machine does."""
_UNIT_S: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EXIT_CODES: Final = 256
_LOOPS: Final = frozenset({"while", "until"})

_Commands = Sequence[tuple[str, Sequence[str]]]
"""Simple commands, each with the operator before it."""


class Program(NamedTuple):
    """`output`: (seconds after the start, text with its newline); `ends_s` None: it never ends.

    The last `repeated` outputs come again every `period_s`.
    """

    output: tuple[tuple[float, str], ...]
    ends_s: float | None
    exit_code: int
    repeated: int = 0
    period_s: float = 0.0

    def told(self) -> Iterator[tuple[float, str]]:
        """All of its output, which may have no end."""
        yield from self.output
        if self.repeated:
            for turn in count(1):
                for at_s, text in self.output[-self.repeated :]:
                    yield at_s + turn * self.period_s, text


class _Unknown(Exception):
    """The command is not one of the plain ones."""


class _Run:
    """A run of commands: what was written so far, the time, the last exit code."""

    def __init__(self) -> None:
        self.output: list[tuple[float, str]] = []
        self.now_s = 0.0
        self.code = 0
        self.repeated = 0
        self.period_s = 0.0

    def command(self, words: Sequence[str]) -> None:
        """Run one simple command; `_Unknown` for any other program."""
        name, arguments = _name(words[0]), words[1:]
        self.code = 0
        match name:
            case "true" | ":":
                pass
            case "false":
                self.code = 1
            case "echo":
                self._echo(arguments)
            case "sleep":
                self.now_s += _seconds(arguments)
            case _:
                raise _Unknown

    def _echo(self, arguments: Sequence[str]) -> None:
        newline = "\n"
        if arguments and arguments[0].startswith("-"):
            if arguments[0] != "-n":
                raise _Unknown
            newline, arguments = "", arguments[1:]
        self.output.append((self.now_s, " ".join(arguments) + newline))


def program(command: Sequence[str], args: Sequence[str]) -> Program | None:
    """What the process of a container with this `command` and `args` does; None: not known.

    `args` alone count as a command: the entrypoint of an image is not known, and that of the
    usual small images is none.
    """
    return _program((*command, *args)) if command or args else None


@lru_cache(maxsize=512)
def _program(words: tuple[str, ...]) -> Program | None:
    if sum(map(len, words)) > MAX_BYTES or any("$(" in word for word in words):
        return None
    run = _Run()
    try:
        if _name(words[0]) in _SHELLS:
            _shell(words, run)
        else:
            run.command(words)
    except (_Unknown, ValueError):
        return None
    ends_s = run.now_s if run.now_s < FOR_EVER_S else None
    return Program(tuple(run.output), ends_s, run.code, run.repeated, run.period_s)


def _name(word: str) -> str:
    directory, slash, name = word.rpartition("/")
    if directory + slash not in _DIRECTORIES:
        raise _Unknown
    return name


def _seconds(arguments: Sequence[str]) -> float:
    """How long `sleep` takes with these arguments, which add up (GNU and busybox)."""
    total_s = 0.0
    for text in arguments:
        if text == "infinity":
            return FOR_EVER_S
        found = _DURATION.fullmatch(text)
        if found is None:
            raise _Unknown
        total_s += float(found[1]) * _UNIT_S[found[2]]
    if not arguments:
        raise _Unknown
    return total_s


def _shell(words: Sequence[str], run: _Run) -> None:
    """`sh -c SCRIPT`: lists of plain commands with `;`, newlines, `&&` and `||`."""
    if len(words) < 3 or not _SHELL_FLAGS.fullmatch(words[1]) or not _literal(words[2]):
        raise _Unknown
    stops_on_error = "e" in words[1]
    commands = _commands(words[2])
    starts = [at for at, (_, simple) in enumerate(commands) if simple[0] in _LOOPS]
    before = commands[: starts[0]] if starts else commands
    if not _list(before, run, stops_on_error) and starts:
        _loop(commands[starts[0] :], run, stops_on_error)


def _list(commands: _Commands, run: _Run, stops_on_error: bool) -> bool:
    """Run commands one after the other; whether the shell ended with one of them."""
    for number, (before, simple) in enumerate(commands):
        if (before == "&&" and run.code) or (before == "||" and not run.code):
            continue
        if _simple(simple, run):
            return True
        last = number + 1 == len(commands)
        tested = not last and commands[number + 1][0] != ";"
        if stops_on_error and run.code and not tested:
            return True
    return False


def _loop(commands: _Commands, run: _Run, stops_on_error: bool) -> None:
    """`while LIST; do LIST; done` or `until ...`, after which nothing comes.

    Plain commands change nothing that they depend on, so what the first turn does they all do.
    """
    does = next((at for at, (_, simple) in enumerate(commands) if simple[0] == "do"), 0)
    edges = {commands[at][0] for at in (0, does, -1)}
    if edges != {";"} or not does or commands[-1][1] != ["done"]:
        raise _Unknown
    keyword = commands[0][1][0]
    condition, body = _without_keyword(commands[:does]), _without_keyword(commands[does:-1])
    if not condition or not body:
        raise _Unknown
    began_s, written = run.now_s, len(run.output)
    if _list(condition, run, stops_on_error=False):
        return
    if bool(run.code) is (keyword == "while"):
        run.code = 0
        return
    if _list(body, run, stops_on_error):
        return
    run.repeated, run.period_s = len(run.output) - written, run.now_s - began_s
    if run.repeated and run.period_s < _MIN_PERIOD_S:
        raise _Unknown
    run.now_s, run.code = FOR_EVER_S, 0


def _without_keyword(commands: _Commands) -> _Commands:
    """A list without the word that begins it, which may stand alone."""
    (operator, (_, *first)), *rest = commands
    return [(operator, first), *rest] if first else rest


def _literal(script: str) -> bool:
    """Whether all words mean what they say, and no quoted text could be taken for an operator."""
    if _SPECIAL.search(_QUOTED.sub("", script)):
        return False
    return not any(
        (text[0] == '"' and _EXPANDED.search(text))
        or (text[1:-1] and not text[1:-1].strip(_OPERATORS))
        for text in _QUOTED.findall(script)
    )


def _commands(script: str) -> list[tuple[str, list[str]]]:
    """The simple commands of a script, each with the operator before it (`;` for a newline)."""
    lexer = shlex.shlex(script, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    commands: list[tuple[str, list[str]]] = []
    operator, words = ";", list[str]()
    for token in [*lexer, "\n"]:
        if token.strip(_OPERATORS) or not token:
            words.append(token)
            continue
        if words:
            commands.append((operator, words))
            operator, words = token.strip("\n") or ";", []
        elif token.strip("\n"):
            raise _Unknown  # an operator without a command before it
        if operator not in (";", "&&", "||"):
            raise _Unknown
    if operator != ";" or not commands:
        raise _Unknown
    return commands


def _simple(words: Sequence[str], run: _Run) -> bool:
    """Run a simple command of a shell; whether the shell ends with it."""
    if words[0] == "exit" and len(words) <= 2:
        if len(words) == 2:
            if not words[1].isdecimal():
                raise _Unknown
            run.code = int(words[1]) % _EXIT_CODES
        return True
    if words[0] == "exec" and len(words) > 1:
        run.command(words[1:])
        return True
    run.command(words)
    return False
