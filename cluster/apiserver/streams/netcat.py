"""What a container says on a port whose script is netcat in a loop, as tests and tutorials have it.

`while true; do echo TEXT | nc -l -p PORT; done`. Source: busybox, networking/nc.c and shell/ash.c
(its echo heeds backslashes). Invariant: what is not certainly understood (a text that is worked
out, another option) counts as absent.
"""

import posixpath
import re
from collections.abc import Sequence
from typing import Final

from kubeherd.cluster.api.shell.tree import Literal, Part, Unknown, Word
from kubeherd.cluster.api.shell.utilities import SHELLS
from kubeherd.cluster.api.shell.words import Token, tokens

_MAX_SCRIPT: Final = 4096
_LOOPS: Final = (["while", "true"], ["while", ":"], ["until", "false"])
_NETCATS: Final = (["nc"], ["netcat"], ["busybox", "nc"])
_LETTERS: Final = re.compile(r"-[klnpvq]*")
"""Options that change nothing of what is said."""
_WITH_VALUE: Final = frozenset({"-w", "-q", "-s"})
_ESCAPES: Final = {"\\n": "\n", "\\r": "\r", "\\t": "\t", "\\\\": "\\"}
_ESCAPE: Final = re.compile(r"\\.?", re.DOTALL)


def said(command: Sequence[str], args: Sequence[str], port: int) -> str | None:
    """What is said to whoever connects to this port; None where nobody listens, or who knows."""
    words = (*command, *args)
    if len(words) != 3 or words[1] != "-c" or len(words[2]) > _MAX_SCRIPT:
        return None
    if posixpath.basename(words[0]) not in SHELLS:
        return None
    try:
        speech, listening = _pipe(tokens(words[2]))
        return _echoed(speech) if _port(listening) == port else None
    except Unknown:
        return None


def _pipe(found: list[Token]) -> tuple[list[str], list[str]]:
    """The two commands of the one pipe in an endless loop; `Unknown`."""
    match _commands(found):
        case [loop, ["do"], speech, ["|"], listening, *rest, ["done"]]:
            if loop in _LOOPS and rest in ([], [["||"], ["true"]]):
                return speech, listening
    raise Unknown


def _commands(found: list[Token]) -> list[list[str]]:
    """The words of each command, `do`, and operators that are no mere separators; `Unknown`."""
    parts: list[list[str]] = []
    current: list[str] = []
    for token in [*found, Token(";")]:
        if token.word is not None:
            current.append(_text(token.word))
        if current and (token.word is None or current == ["do"]):
            parts.append(current)
            current = []
        if token.operator not in ("", ";", "\n"):
            parts.append([token.operator])
    return parts


def _text(word: Word) -> str:
    return "".join(_literal(part) for part in word)


def _literal(part: Part) -> str:
    if not isinstance(part, Literal):
        raise Unknown
    return part.text


def _echoed(words: list[str]) -> str:
    """What `echo` writes; `Unknown` for any other command."""
    if not words or words[0] != "echo":
        raise Unknown
    newline, words = "\n", words[1:]
    while words and re.fullmatch("-[ne]+", words[0]):
        newline = "" if "n" in words[0] else newline
        words = words[1:]
    return _ESCAPE.sub(_unescaped, " ".join(words)) + newline


def _unescaped(found: re.Match[str]) -> str:
    text = _ESCAPES.get(found[0])
    if text is None:
        raise Unknown
    return text


def _port(words: list[str]) -> int:
    """The port on which netcat listens; `Unknown` for any other command."""
    name = next((name for name in _NETCATS if words[: len(name)] == name), None)
    if name is None:
        raise Unknown
    rest, listens, port = words[len(name) :], False, 0
    while rest:
        option, rest = rest[0], rest[1:]
        if option in _WITH_VALUE and rest:
            rest = rest[1:]
        elif _LETTERS.fullmatch(option):
            listens = listens or "l" in option
        elif option.isdecimal() and not port:
            port = int(option)
        else:
            raise Unknown
    if not listens:
        raise Unknown
    return port
