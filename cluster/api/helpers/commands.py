"""What a container's plain command does: its output, how long it runs, how it ends. Pure.

The commands in `shell.utilities` and the scripts in `shell.syntax` are understood as a POSIX shell
understands them. Invariant: what is not certainly understood (a pipe, a variable whose value is not
known, any other program) gives None, never a guess.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from kubeherd.cluster.api.shell import utilities
from kubeherd.cluster.api.shell.evaluation import FOR_EVER_S, MAX_BYTES, Program, Run
from kubeherd.cluster.api.shell.surroundings import NOTHING, RANDOM, Files, Surroundings, absolute
from kubeherd.cluster.api.shell.tree import Unknown

__all__ = ("FOR_EVER_S", "Files", "Program", "Surroundings", "absolute")

_ENDLESS: Final = re.compile(
    r"(?:while\s+(?:true|:)|until\s+false)\s*[;\n]\s*do\s(.*)[;\n]\s*done\s*;?", re.DOTALL
)
_LEAVES: Final = re.compile(r"\b(?:exit|break|return|exec|kill)\b")
_REFERENCE: Final = re.compile(r"\$\$|\$\(([A-Za-z_][\w.-]*)\)")
_NAME: Final = re.compile(r"[A-Za-z_]\w*")


def program(
    command: Sequence[str], args: Sequence[str], around: Surroundings = NOTHING
) -> Program | None:
    """What the process of a container with this `command` and `args` does; None: not known.

    `args` alone count as a command: the entrypoint of an image is not known, and that of the
    usual small images is none. `command` and `args` may be longer than is looked at (64 KiB).
    """
    words = (*command, *args)
    if not words or sum(map(len, words)) > MAX_BYTES:
        return None
    return _program(words, _restricted(words, around))


def files_left(
    command: Sequence[str], args: Sequence[str], around: Surroundings = NOTHING
) -> Files:
    """The files that this process leaves, as far as it is known what it does."""
    known = program(command, args, around)
    return () if known is None else known.files


def loops_for_ever(command: Sequence[str], args: Sequence[str]) -> bool:
    """Whether a shell's script is nothing but an endless loop (`while true; do ...; done`),
    whatever it does in it."""
    words = (*command, *args)
    if len(words) != 3 or words[1] != "-c" or len(words[2]) > MAX_BYTES:
        return False
    loop = _ENDLESS.fullmatch(words[2].strip())
    is_shell = posixpath.basename(words[0]) in utilities.SHELLS
    return is_shell and loop is not None and not _LEAVES.search(loop[1])


def draws(command: Sequence[str], args: Sequence[str]) -> bool:
    """Whether it may depend on chance how a process ends."""
    return any(RANDOM in word for word in (*command, *args))


def _restricted(words: Sequence[str], around: Surroundings) -> Surroundings:
    """Without what these words cannot ask for, so that pods share what is worked out."""
    text = " ".join(words)
    if "env" not in text:
        named = set(_NAME.findall(text)) if "$" in text else set()
        variables = tuple(pair for pair in around.variables if pair[0] in named)
        around = around._replace(variables=variables)
    if "hostname" not in text:
        around = around._replace(hostname="", fqdn="")
    return around if RANDOM in text else around._replace(chance=None)


@lru_cache(maxsize=512)
def _program(words: tuple[str, ...], around: Surroundings) -> Program | None:
    run = Run(around, utilities.run)
    try:
        variables = dict(around.variables)
        run.command([_with_values(word, variables) for word in words])
    except (Unknown, RecursionError):
        return None
    return run.program()


def _with_values(word: str, variables: Mapping[str, str | None]) -> str:
    """A word with the values of its `$(NAME)`, as a kubelet expands it; `Unknown`.

    What is no variable of the container stays as it is. Only those in capitals may be one of which
    nothing is known (of a ConfigMap, of the image): `$(date)` is for the shell.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "$"
        if name not in variables and name == name.lower():
            return found[0]
        known = variables.get(name)
        if known is None:
            raise Unknown
        return known

    return _REFERENCE.sub(value, word) if "$" in word else word
