"""What a container's plain command does: its output, how long it runs, how it ends. Pure.

`echo`, `sleep`, `true`, `false` and, in `sh -c`, lists of them with `exit N` are understood as a
POSIX shell understands them. Invariant: what is not certainly understood (a variable, a pipe, a
redirection, any other program) gives None, never a guess.
"""

import re
import shlex
from collections.abc import Sequence
from functools import lru_cache
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
_UNIT_S: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EXIT_CODES: Final = 256


class Program(NamedTuple):
    """`output`: (seconds after the start, text with its newline); `ends_s` None: it never ends."""

    output: tuple[tuple[float, str], ...]
    ends_s: float | None
    exit_code: int


class _Unknown(Exception):
    """The command is not one of the plain ones."""


class _Run:
    """A run of commands: what was written so far, the time, the last exit code."""

    def __init__(self) -> None:
        self.output: list[tuple[float, str]] = []
        self.now_s = 0.0
        self.code = 0

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
    return Program(tuple(run.output), ends_s, run.code)


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
    for number, (before, simple) in enumerate(commands):
        if (before == "&&" and run.code) or (before == "||" and not run.code):
            continue
        if _simple(simple, run):
            return
        last = number + 1 == len(commands)
        tested = not last and commands[number + 1][0] != ";"
        if stops_on_error and run.code and not tested:
            return


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


def _simple(words: list[str], run: _Run) -> bool:
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
