"""What a fake container answers to a command: scripted by its pod, or plain. Pure.

The annotation `kubeherd.io/exec` (or `kubeherd.io/<container>.exec`) is a JSON object: a command as
one would type it, or `*` for any other, to a text (its output) or to an object with `stdout`,
`stderr`, `exitCode` and `delaySeconds`. Invariant: what cannot be read counts as absent.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from kubeherd.cluster.api.helpers import commands
from kubeherd.cluster.api.helpers.commands import Files
from kubeherd.cluster.api.helpers.scripts import scripted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.remotecommand import archive, outcome
from kubeherd.cluster.api.shell.surroundings import NOTHING, Surroundings

ANY: Final = "*"
_MAX_EXIT_CODE: Final = 255


class Reply(msgspec.Struct, frozen=True):
    """What is written, (seconds after the start, data), and how the command ends."""

    output: Iterable[tuple[float, bytes]]
    ends_s: float
    status: JsonObject
    stderr: str = ""


class _Entry(msgspec.Struct, frozen=True, rename="camel"):
    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    delay_seconds: float = 0.0


def scripted_reply(
    annotations: Mapping[str, str], container: str, words: Sequence[str]
) -> Reply | None:
    """The answer that the pod's script has for a command; None if it has none."""
    entry = _entry(scripted(annotations, container, "exec"), words)
    if entry is None:
        return None
    delay_s = min(max(0.0, entry.delay_seconds), commands.FOR_EVER_S)
    code = min(max(0, entry.exit_code), _MAX_EXIT_CODE)
    output = ((delay_s, entry.stdout.encode()),)
    return Reply(output, delay_s, outcome.exited(code), entry.stderr)


def reply(
    annotations: Mapping[str, str],
    container: str,
    words: Sequence[str],
    around: Surroundings = NOTHING,
) -> Reply:
    """The answer of a container to a command, which has at least one word; `around`: what is
    there, with the files that the container's own command wrote."""
    known = scripted_reply(annotations, container, words)
    if known is not None:
        return known
    plain = commands.program(words, (), around)
    if plain is not None:
        ends_s = commands.FOR_EVER_S if plain.ends_s is None else plain.ends_s
        output = ((at_s, text.encode()) for at_s, text in plain.told())
        return Reply(output, ends_s, outcome.exited(plain.exit_code))
    files = around.files
    if files and words[0] == "tar" and (wanted := archive.wanted(words[1:])) is not None:
        return _packed(wanted, files)
    status, text = outcome.not_found(words[0])
    return Reply((), 0.0, status, text)


def _packed(wanted: archive.Wanted, files: Files) -> Reply:
    data, missing = archive.pack(wanted, files)
    text = "".join(f"tar: {path}: Cannot stat: No such file or directory\n" for path in missing)
    return Reply(((0.0, data),), 0.0, outcome.exited(2 if missing else 0), text)


def _entry(text: str | None, words: Sequence[str]) -> _Entry | None:
    try:
        table = msgspec.json.decode(text or "{}", type=dict[str, str | _Entry])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    found = next((table[key] for key in table if _means(key, words)), table.get(ANY))
    return _Entry(stdout=found) if isinstance(found, str) else found


def _means(key: str, words: Sequence[str]) -> bool:
    if key == " ".join(words):
        return True
    try:
        return shlex.split(key) == list(words)
    except ValueError:
        return False
