"""Objects that are alike: what is worked out for one of them holds for the others. Pure.

The pods of a workload, a component's events and the objects of a loader differ in a few texts: a
name, a node, a moment, a message. What an object becomes until it is stored depends on these in one
way only: they stand in it. So the general way of a create is gone once with texts of which nobody
else has the like (marks), and from where these stand afterwards the others are put together.

Invariants: a body fits a pattern if and only if it is the one that was looked at, byte for byte,
but for the strings in some places; a string that is put into a place is one that the rules for
this place let pass, in the form in which it is stored.
"""

import re
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final

import msgspec
import orjson

from kubeherd.cluster.api import kinds, names
from kubeherd.cluster.api.jsontypes import JsonValue
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.timestamps import is_micro_time, is_time
from kubeherd.cluster.api.validation import objectmeta

MAX_BYTES: Final = 16 * 1024
"""A body that is larger goes the general way."""
MAX_TRIES: Final = 16
"""In so many places a string is looked for: each takes as long as to decode the body."""
MAX_TEXT_BYTES: Final = 1024
"""What an event's note may have; other texts are shorter."""


class Slot(Enum):
    """What a string is that differs, and so which rules it has to follow."""

    NAME = auto()
    """The object's own name."""
    LABEL = auto()
    """The same of a pod, if it is a DNS label: of others there is a warning."""
    SUBDOMAIN = auto()
    """The name of a node."""
    TEXT = auto()
    """Anything but nothing."""
    TIME = auto()
    """metav1.Time, as it is stored."""
    MICRO_TIME = auto()
    """metav1.MicroTime, as it is stored."""


class Place(msgspec.Struct, frozen=True):
    """Where a string stands in an object: the names of members, and numbers in lists."""

    path: tuple[str | int, ...]
    slot: Slot


def _event(regarding: str, note: str, *times: tuple[str, Slot]) -> tuple[Place, ...]:
    return (
        Place(("metadata", "name"), Slot.NAME),
        Place((note,), Slot.TEXT),
        *(Place((regarding, name), Slot.TEXT) for name in ("name", "uid", "resourceVersion")),
        *(Place((name,), slot) for name, slot in times),
    )


_NODE = (
    "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution",
    "nodeSelectorTerms", 0, "matchFields", 0, "values", 0,
)  # fmt: skip
_CONFIGMAPS: Final = kinds.resource("", "v1", "configmaps")
_PLACES: Final = {
    kinds.PODS: (Place(("metadata", "name"), Slot.LABEL), Place(_NODE, Slot.SUBDOMAIN)),
    kinds.EVENTS: _event(
        "involvedObject", "message", ("firstTimestamp", Slot.TIME), ("lastTimestamp", Slot.TIME)
    ),
    kinds.EVENTS_V1: _event("regarding", "note", ("eventTime", Slot.MICRO_TIME)),
    _CONFIGMAPS: (Place(("metadata", "name"), Slot.NAME),),
}
"""Of each kind that is looked at, where its objects differ."""
_OF: Final = {id(resource): places for resource, places in _PLACES.items()}


def places(resource: Resource) -> tuple[Place, ...]:
    """Where objects of a resource may differ and still be alike; empty: nobody looks."""
    return _OF.get(id(resource), ())


# --- strings in JSON and in msgpack ---

_PLAIN: Final = re.compile(rb"[ !#-\[\]-\xff]*")
"""What stands in a JSON string as it is."""


def json_token(text: bytes) -> bytes:
    """A string, in UTF-8, as JSON."""
    if _PLAIN.fullmatch(text) is not None:
        return b'"%b"' % text
    return orjson.dumps(text.decode())


def json_tokens(texts: Sequence[bytes]) -> list[bytes]:
    """`json_token` of each of some strings."""
    if _PLAIN.fullmatch(b"".join(texts)) is not None:
        return [b'"%b"' % text for text in texts]
    return [*map(json_token, texts)]


def msgpack_token(text: bytes) -> bytes:
    """A string, in UTF-8, as msgpack; of at most 64 KiB."""
    size = len(text)
    if size < 32:
        return b"%c%b" % (0xA0 | size, text)
    if size < 256:
        return b"\xd9%c%b" % (size, text)
    return b"\xda%b%b" % (size.to_bytes(2, "big"), text)


_Read = Callable[[bytes, int], tuple[bytes, int] | None]


def _json_string(body: bytes, at: int) -> tuple[bytes, int] | None:
    """The string without escapes that stands at a place in JSON, and where it ends."""
    end = body.find(b'"', at + 1)
    text = body[at + 1 : end]
    if body[at : at + 1] != b'"' or end < 0 or _PLAIN.fullmatch(text) is None:
        return None
    return text, end + 1


def _msgpack_string(body: bytes, at: int) -> tuple[bytes, int] | None:
    """The string that stands at a place in msgpack, and where it ends."""
    head = body[at : at + 3]
    if len(head) < 3:
        return None
    if head[0] & 0xE0 == 0xA0:
        start, size = at + 1, head[0] & 0x1F
    elif head[0] == 0xD9:
        start, size = at + 2, head[1]
    elif head[0] == 0xDA:
        start, size = at + 3, int.from_bytes(head[1:3], "big")
    else:
        return None
    return body[start : start + size], start + size


class Wire(msgspec.Struct, frozen=True, eq=False):
    """A form of bodies."""

    token: Callable[[bytes], bytes]
    """Writes a string."""
    read: _Read
    """Reads a string."""
    decode: Callable[[bytes], JsonValue]
    """Decodes a body that has been decoded before."""


JSON: Final = Wire(json_token, _json_string, orjson.loads)
MSGPACK: Final = Wire(msgpack_token, _msgpack_string, msgspec.msgpack.decode)


# --- bodies ---


class Pattern(msgspec.Struct, frozen=True, eq=False):
    """What bodies that are alike have in common: the bytes before, between and behind the strings
    in which they differ."""

    read: _Read
    fixed: tuple[bytes, ...]
    rules: tuple[Callable[[bytes], bool], ...]
    """What each of the strings has to follow."""
    name: int
    """Which of the strings is the object's own name."""

    def strings(self, body: bytes) -> list[bytes] | None:
        """The strings in which a body differs; None if it differs in anything else."""
        found: list[bytes] = []
        at = 0
        for fixed in self.fixed[:-1]:
            if not body.startswith(fixed, at):
                return None
            string = self.read(body, at + len(fixed))
            if string is None:
                return None
            found.append(string[0])
            at = string[1]
        last = self.fixed[-1]
        return found if len(body) == at + len(last) and body.endswith(last) else None


class Marked(msgspec.Struct, frozen=True, eq=False):
    """A body with marks for the strings in which others may differ, in the order of the body."""

    pattern: Pattern
    body: bytes
    marks: tuple[bytes, ...]


def marked(
    wire: Wire, body: bytes, resource: Resource, mark: Callable[[Slot], bytes]
) -> Marked | None:
    """A body with marks in those places of a resource in which it has strings. `mark` makes one.
    None if the object's name is not among them."""
    put: dict[bytes, Slot] = {}
    for place in places(resource):
        text = _at(wire.decode(body), place.path)
        if not isinstance(text, str) or not text:
            continue
        made = mark(place.slot)
        found = _replaced(wire, body, place.path, text.encode(), made)
        if found is not None:
            body = found
            put[made] = place.slot
    cuts = cut(body, tuple(put), wire.token) if put else None
    if cuts is None or len(cuts) != 2 * len(put) + 1:
        return None
    marks = tuple(cuts[1::2])
    slots = tuple(put[made] for made in marks)
    names_at = [at for at, slot in enumerate(slots) if slot in (Slot.NAME, Slot.LABEL)]
    if not names_at:
        return None
    rules = tuple(rule(resource, slot) for slot in slots)
    return Marked(Pattern(wire.read, tuple(cuts[::2]), rules, names_at[0]), body, marks)


def _replaced(
    wire: Wire, body: bytes, path: Sequence[str | int], text: bytes, made: bytes
) -> bytes | None:
    """A body with another string in one place: of the first places where the string stands, the one
    that makes this difference to what is decoded, and no other."""
    wanted = wire.decode(body)
    parent = _at(wanted, path[:-1])
    parent[path[-1]] = made.decode()
    token, instead = wire.token(text), wire.token(made)
    at = -1
    for _ in range(MAX_TRIES):
        at = body.find(token, at + 1)
        if at < 0:
            break
        tried = body[:at] + instead + body[at + len(token) :]
        try:
            if wire.decode(tried) == wanted:
                return tried
        except ValueError:  # what was replaced was no string
            pass
    return None


def _at(tree: JsonValue, path: Sequence[str | int]) -> JsonValue:
    """What stands in a place; None if there is no such place, or if it is one of several in a list:
    of those nobody knows how many there will be."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(tree, list) or len(tree) != 1:
                return None
            tree = tree[step]
        else:
            tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


def rule(resource: Resource, slot: Slot) -> Callable[[bytes], bool]:
    """What tells whether a string may stand in a place: it follows its rules, and is stored as it
    is."""
    may = _RULES.get(slot) or (lambda text: not objectmeta.name(resource, text, ""))

    def fits(text: bytes) -> bool:
        if not text or len(text) > MAX_TEXT_BYTES:
            return False
        try:
            return may(text.decode())
        except ValueError:
            return False

    return fits


_RULES: Final[dict[Slot, Callable[[str], bool]]] = {
    Slot.LABEL: names.is_label,
    Slot.SUBDOMAIN: names.is_subdomain,
    Slot.TEXT: lambda _: True,
    Slot.TIME: is_time,
    Slot.MICRO_TIME: is_micro_time,
}
"""Of all but the object's own name, which has those of its resource."""


# --- objects ---


def cut(
    encoded: bytes, marks: Sequence[bytes], token: Callable[[bytes], bytes]
) -> list[bytes] | None:
    """What was encoded, cut where marks stand as strings: these at odd indices. None if a mark
    stands in anything else."""
    of = {token(mark): mark for mark in marks}
    parts = re.split(b"(" + b"|".join(map(re.escape, of)) + b")", encoded)
    if any(mark in part for part in parts[::2] for mark in marks):
        return None
    return [of[part] if at % 2 else part for at, part in enumerate(parts)]


class Splice(msgspec.Struct, frozen=True, eq=False):
    """An object's bytes with holes: which strings are put where, by their numbers."""

    parts: list[bytes]
    holes: tuple[tuple[int, int], ...]
    """Place in `parts`, number of the string."""

    def made(self, tokens: Sequence[bytes]) -> bytes:
        """The bytes with these strings, as they are written in them."""
        parts = self.parts.copy()
        for at, number in self.holes:
            parts[at] = tokens[number]
        return b"".join(parts)

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return sum(map(len, self.parts)) + 64 * len(self.parts)


def splice(
    encoded: bytes, marks: Sequence[bytes], token: Callable[[bytes], bytes]
) -> Splice | None:
    """Holes where marks stand, by their numbers; None if one stands within something else."""
    parts = cut(encoded, marks, token)
    if parts is None:
        return None
    number = {mark: at for at, mark in enumerate(marks)}
    return Splice(parts, tuple((at, number[parts[at]]) for at in range(1, len(parts), 2)))
