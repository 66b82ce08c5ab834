"""What a container's plain command does: its output, how long it runs, how it ends. Pure.

`echo`, `sleep`, `true`, `false`, `cat` of files that were written and, in `sh -c`, lists of them
with `exit N`, whose output may go to files and at the end of which may be a loop (`while true; do
...; done`), are understood as a POSIX shell understands them. Invariant: what is not certainly
understood (a variable, a pipe, another redirection, any other program) gives None, never a guess.
"""

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Final, NamedTuple, TypeAlias

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

_ENDLESS: Final = re.compile(
    r"(?:while\s+(?:true|:)|until\s+false)\s*[;\n]\s*do\s(.*)[;\n]\s*done\s*;?", re.DOTALL
)
_LEAVES: Final = re.compile(r"\b(?:exit|break|return|exec|kill)\b")
_REDIRECTIONS: Final = frozenset({">", ">>"})
_DISCARDED: Final = "/dev/null"

Files: TypeAlias = tuple[tuple[str, str], ...]
"""Absolute paths and texts. What is relative begins at the root: a work directory is not known."""


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

    def told(self) -> Iterator[tuple[float, str]]:
        """All of its output, which may have no end."""
        yield from self.output
        if self.repeated:
            for turn in count(1):
                for at_s, text in self.output[-self.repeated :]:
                    yield at_s + turn * self.period_s, text


class _Simple(NamedTuple):
    """A simple command of a script: the operator before it (`;` for a newline), its words, and the
    file that its output goes to."""

    before: str
    words: list[str]
    into: str = ""
    appends: bool = False


class _Unknown(Exception):
    """The command is not one of the plain ones."""


class _Run:
    """A run of commands: what was written so far, the time, the last exit code."""

    def __init__(self, files: Files) -> None:
        self.output: list[tuple[float, str]] = []
        self.files = dict(files)
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
            case "cat" if arguments:
                self._cat(arguments)
            case _:
                raise _Unknown

    def _echo(self, arguments: Sequence[str]) -> None:
        newline = "\n"
        if arguments and arguments[0].startswith("-"):
            if arguments[0] != "-n":
                raise _Unknown
            newline, arguments = "", arguments[1:]
        self.output.append((self.now_s, " ".join(arguments) + newline))

    def _cat(self, arguments: Sequence[str]) -> None:
        texts = [self.files.get(absolute(path)) for path in arguments]
        if None in texts:
            raise _Unknown
        self.output.append((self.now_s, "".join(filter(None, texts))))
        self._check_size()

    def keep(self, since: int, path: str, *, appends: bool) -> None:
        """Take back the output from the number `since` on: it went to a file."""
        text = "".join(text for _, text in self.output[since:])
        del self.output[since:]
        if path != _DISCARDED:
            path = absolute(path)
            self.files[path] = (self.files.get(path, "") if appends else "") + text
            self._check_size()

    def _check_size(self) -> None:
        texts = (*self.files.values(), *(text for _, text in self.output))
        if sum(map(len, texts)) > MAX_BYTES:
            raise _Unknown


def program(command: Sequence[str], args: Sequence[str], files: Files = ()) -> Program | None:
    """What the process of a container with this `command` and `args` does; None: not known.

    `args` alone count as a command: the entrypoint of an image is not known, and that of the
    usual small images is none. `files` are there before.
    """
    return _program((*command, *args), files) if command or args else None


def files_left(command: Sequence[str], args: Sequence[str]) -> Files:
    """The files that this process leaves, as far as it is known what it does."""
    known = program(command, args)
    return () if known is None else known.files


def loops_for_ever(command: Sequence[str], args: Sequence[str]) -> bool:
    """Whether a shell's script is nothing but an endless loop (`while true; do ...; done`),
    whatever it does in it."""
    words = (*command, *args)
    if len(words) != 3 or words[1] != "-c" or len(words[2]) > MAX_BYTES:
        return False
    loop = _ENDLESS.fullmatch(words[2].strip())
    is_shell = posixpath.basename(words[0]) in _SHELLS
    return is_shell and loop is not None and not _LEAVES.search(loop[1])


def absolute(path: str) -> str:
    """A path as `Files` has it."""
    return posixpath.normpath(f"/{path}").replace("//", "/")


@lru_cache(maxsize=512)
def _program(words: tuple[str, ...], files: Files) -> Program | None:
    if sum(map(len, words)) > MAX_BYTES or any("$(" in word for word in words):
        return None
    run = _Run(files)
    try:
        if _name(words[0]) in _SHELLS:
            _shell(words, run)
        else:
            run.command(words)
    except (_Unknown, ValueError):
        return None
    ends_s = run.now_s if run.now_s < FOR_EVER_S else None
    files = tuple(run.files.items())
    return Program(tuple(run.output), ends_s, run.code, run.repeated, run.period_s, files)


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
    starts = [at for at, simple in enumerate(commands) if simple.words[0] in _LOOPS]
    before = commands[: starts[0]] if starts else commands
    if not _list(before, run, stops_on_error) and starts:
        _loop(commands[starts[0] :], run, stops_on_error)


def _list(commands: Sequence[_Simple], run: _Run, stops_on_error: bool) -> bool:
    """Run commands one after the other; whether the shell ended with one of them."""
    for number, simple in enumerate(commands):
        if (simple.before == "&&" and run.code) or (simple.before == "||" and not run.code):
            continue
        if _ends_shell(simple, run):
            return True
        last = number + 1 == len(commands)
        tested = not last and commands[number + 1].before != ";"
        if stops_on_error and run.code and not tested:
            return True
    return False


def _loop(commands: Sequence[_Simple], run: _Run, stops_on_error: bool) -> None:
    """`while LIST; do LIST; done` or `until ...`, after which nothing comes.

    Plain commands change nothing that they depend on, so what the first turn does they all do; a
    file that grows by each turn would be another matter.
    """
    does = next((at for at, simple in enumerate(commands) if simple.words[0] == "do"), 0)
    edges = {commands[at].before for at in (0, does, -1)}
    if edges != {";"} or not does or commands[-1].words != ["done"]:
        raise _Unknown
    if any(simple.into not in ("", _DISCARDED) for simple in commands):
        raise _Unknown
    keyword = commands[0].words[0]
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


def _without_keyword(commands: Sequence[_Simple]) -> Sequence[_Simple]:
    """A list without the word that begins it, which may stand alone."""
    first, *rest = commands
    words = first.words[1:]
    return [first._replace(words=words), *rest] if words else rest


def _literal(script: str) -> bool:
    """Whether all words mean what they say, and no quoted text could be taken for an operator."""
    if _SPECIAL.search(_QUOTED.sub("", script)):
        return False
    return not any(
        (text[0] == '"' and _EXPANDED.search(text))
        or (text[1:-1] and not text[1:-1].strip(_OPERATORS))
        for text in _QUOTED.findall(script)
    )


def _commands(script: str) -> list[_Simple]:
    """The simple commands of a script."""
    lexer = shlex.shlex(script, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    commands: list[_Simple] = []
    operator, redirection, into, words = ";", "", "", list[str]()
    for token in [*lexer, "\n"]:
        if token.strip(_OPERATORS) or not token:
            if redirection and not into:
                into = token
            else:
                words.append(token)
            continue
        if redirection and not into:
            raise _Unknown  # no file after it
        if token in _REDIRECTIONS and words and not redirection and not words[-1].isdecimal():
            redirection = token
            continue
        if words:
            commands.append(_Simple(operator, words, into, redirection == ">>"))
            operator, redirection, into, words = token.strip("\n") or ";", "", "", []
        elif token.strip("\n"):
            raise _Unknown  # an operator without a command before it
        if operator not in (";", "&&", "||"):
            raise _Unknown
    if operator != ";" or not commands:
        raise _Unknown
    return commands


def _ends_shell(simple: _Simple, run: _Run) -> bool:
    """Run a simple command of a shell; whether the shell ends with it."""
    words, since = simple.words, len(run.output)
    leaves = words[0] in ("exit", "exec")
    if words[0] == "exit" and len(words) <= 2:
        if len(words) == 2:
            if not words[1].isdecimal():
                raise _Unknown
            run.code = int(words[1]) % _EXIT_CODES
    else:
        run.command(words[1:] if words[0] == "exec" and len(words) > 1 else words)
    if simple.into:
        run.keep(since, simple.into, appends=simple.appends)
    return leaves
