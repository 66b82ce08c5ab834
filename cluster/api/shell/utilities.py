"""The commands that are understood: what each writes, how long it takes, how it ends.

Source: POSIX.1-2017, Utilities, as busybox and the GNU ones do them. `Unknown` for any other
program or option.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from kubeherd.cluster.api.shell import arithmetic
from kubeherd.cluster.api.shell.evaluation import FOR_EVER_S, MAX_BYTES, Run
from kubeherd.cluster.api.shell.surroundings import absolute
from kubeherd.cluster.api.shell.syntax import parse
from kubeherd.cluster.api.shell.tree import Unknown

SHELLS: Final = frozenset({"sh", "bash", "ash", "dash"})
_SHELL_FLAGS: Final = re.compile(r"-[elu]*c")
_DIRECTORIES: Final = frozenset({"", "/bin/", "/usr/bin/", "/usr/local/bin/"})
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([smhd]?)")
_UNIT_S: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_COMPARED: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "-eq": lambda a, b: a == b,
    "-ne": lambda a, b: a != b,
    "-lt": lambda a, b: a < b,
    "-le": lambda a, b: a <= b,
    "-gt": lambda a, b: a > b,
    "-ge": lambda a, b: a >= b,
}
_TERM: Final = frozenset({"TERM", "SIGTERM", "15"})
_EXPR_OPERATORS: Final = {"=": "==", ":": ""}


def run(process: Run, words: Sequence[str]) -> None:
    """Run one command of a shell; `Unknown`."""
    name, arguments = program_name(words[0]), list(words[1:])
    if name in SHELLS:
        script, stops = shell_script(arguments)
        return process.shell(parse(script), stops_on_error=stops)
    utility = _UTILITIES.get(name)
    if utility is None:
        raise Unknown
    process.code = 0
    return utility(process, arguments)


def program_name(word: str) -> str:
    """The name of a program in one of the usual directories; `Unknown`."""
    directory, slash, name = word.rpartition("/")
    if directory + slash not in _DIRECTORIES:
        raise Unknown
    return name


def shell_script(arguments: Sequence[str]) -> tuple[str, bool]:
    """The script of `sh -c SCRIPT`, and whether a failure ends it; `Unknown`."""
    if len(arguments) < 2 or not _SHELL_FLAGS.fullmatch(arguments[0]):
        raise Unknown
    return arguments[1], "e" in arguments[0]


def _nothing(_process: Run, _arguments: list[str]) -> None:
    pass


def _false(process: Run, _arguments: list[str]) -> None:
    process.code = 1


def _echo(process: Run, arguments: list[str]) -> None:
    newline = "\n"
    if arguments and arguments[0].startswith("-"):
        if arguments[0] != "-n":
            raise Unknown
        newline, arguments = "", arguments[1:]
    if any("\\" in text for text in arguments):
        raise Unknown  # dash and busybox heed it, bash does not
    process.write(" ".join(arguments) + newline)


def _sleep(process: Run, arguments: list[str]) -> None:
    process.now_s += _seconds(arguments)


def _seconds(arguments: Sequence[str]) -> float:
    """How long `sleep` takes with these arguments, which add up (GNU and busybox)."""
    total_s = 0.0
    for text in arguments:
        if text in ("infinity", "inf"):
            return FOR_EVER_S
        found = _DURATION.fullmatch(text)
        if found is None:
            raise Unknown
        total_s += float(found[1]) * _UNIT_S[found[2]]
    if not arguments:
        raise Unknown
    return total_s


def _cat(process: Run, arguments: list[str]) -> None:
    if not arguments:
        raise Unknown
    texts = [process.text_of(path) for path in arguments]
    process.code = int(None in texts)
    if texts != [None]:
        process.write("".join(filter(None, texts)))


def _touch(process: Run, arguments: list[str]) -> None:
    if not arguments or any(path.startswith("-") for path in arguments):
        raise Unknown
    for path in arguments:
        process.files.setdefault(absolute(path), "")


def _mkdir(process: Run, arguments: list[str]) -> None:
    paths = arguments[1:] if arguments[:1] == ["-p"] else arguments
    if not paths or any(path.startswith("-") for path in paths):
        raise Unknown
    process.directories.update(map(absolute, paths))


def _rm(process: Run, arguments: list[str]) -> None:
    forced = bool(arguments) and arguments[0] == "-f"
    paths = arguments[1:] if forced else arguments
    if not paths or any(path.startswith("-") for path in paths):
        raise Unknown
    for path in paths:
        if process.text_of(path) is not None:
            del process.files[absolute(path)]
        elif not forced:
            process.code = 1


def _test(process: Run, arguments: list[str]) -> None:
    negated = False
    while arguments and arguments[0] == "!" and len(arguments) > 1:
        negated, arguments = not negated, arguments[1:]
    process.code = int(_holds(process, arguments) is negated)


def _holds(process: Run, arguments: list[str]) -> bool:
    match arguments:
        case []:
            return False
        case [text]:
            return bool(text)
        case ["-n", text]:
            return bool(text)
        case ["-z", text]:
            return not text
        case ["-f" | "-r" | "-w", path]:
            return process.text_of(path) is not None
        case ["-e", path]:
            return process.is_directory(path) or process.text_of(path) is not None
        case ["-d", path]:
            return process.is_directory(path)
        case ["-s", path]:
            return bool(process.text_of(path))
        case [left, "=" | "==", right]:
            return left == right
        case [left, "!=", right]:
            return left != right
        case [left, operator, right] if operator in _COMPARED:
            return _COMPARED[operator](arithmetic.integer(left), arithmetic.integer(right))
    raise Unknown


def _bracket(process: Run, arguments: list[str]) -> None:
    if arguments[-1:] != ["]"]:
        raise Unknown
    _test(process, arguments[:-1])


def _double_bracket(process: Run, arguments: list[str]) -> None:
    if arguments[-1:] != ["]]"]:
        raise Unknown
    _test(process, arguments[:-1])


def _expr(process: Run, arguments: list[str]) -> None:
    tokens = [_EXPR_OPERATORS.get(word, word) for word in arguments]
    result = arithmetic.of_tokens(tokens)
    process.code = int(not result)
    process.write(f"{result}\n")


def _seq(process: Run, arguments: list[str]) -> None:
    """`seq [FIRST [STEP]] LAST`, of integers."""
    if not 1 <= len(arguments) <= 3:
        raise Unknown
    numbers = [arithmetic.integer(text) for text in arguments]
    first, last = (1 if len(numbers) == 1 else numbers[0]), numbers[-1]
    step = numbers[1] if len(numbers) == 3 else 1
    if step == 0 or abs(last - first) // abs(step) > MAX_BYTES:
        raise Unknown
    beyond = last + (1 if step > 0 else -1)
    text = "".join(f"{number}\n" for number in range(first, beyond, step))
    if text:
        process.write(text)


def _hostname(process: Run, arguments: list[str]) -> None:
    around = process.around
    name = {"": around.hostname, "-s": around.hostname.partition(".")[0], "-f": around.fqdn}.get(
        " ".join(arguments)
    )
    if not name:
        raise Unknown
    process.write(f"{name}\n")


def _env(process: Run, arguments: list[str]) -> None:
    if arguments:
        raise Unknown
    process.write("".join(f"{name}={process.value(name)}\n" for name in process.variables))


def _printenv(process: Run, arguments: list[str]) -> None:
    if not arguments:
        return _env(process, arguments)
    return process.write("".join(f"{process.value(name)}\n" for name in arguments))


def _export(process: Run, arguments: list[str]) -> None:
    for word in arguments:
        name, equals, value = word.partition("=")
        if equals:
            process.variables[name] = value


def _set(process: Run, arguments: list[str]) -> None:
    if len(arguments) != 1 or not re.fullmatch(r"[-+][eu]+", arguments[0]):
        raise Unknown
    if "e" in arguments[0]:
        process.stops_on_error = arguments[0].startswith("-")


def _trap(process: Run, arguments: list[str]) -> None:
    """Of all signals a fake container gets SIGTERM only."""
    if len(arguments) < 2 or {"EXIT", "ERR", "0"}.intersection(arguments[1:]):
        raise Unknown
    if _TERM.intersection(arguments[1:]):
        process.trapped = {"": ":", "-": ""}.get(arguments[0], arguments[0])


_UTILITIES: Final[Mapping[str, Callable[[Run, list[str]], None]]] = {
    "true": _nothing,
    ":": _nothing,
    "mkdir": _mkdir,
    "trap": _trap,
    "false": _false,
    "echo": _echo,
    "sleep": _sleep,
    "cat": _cat,
    "touch": _touch,
    "rm": _rm,
    "test": _test,
    "[": _bracket,
    "[[": _double_bracket,
    "expr": _expr,
    "seq": _seq,
    "hostname": _hostname,
    "env": _env,
    "printenv": _printenv,
    "export": _export,
    "set": _set,
}
