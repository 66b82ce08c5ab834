"""Bodies of requests that are alike: told by what they have in common, byte for byte. Pure.

Invariants: a body fits a pattern if and only if it is the one that was looked at, but for the
strings in some places; a string that is put into a place is one that the rules for this place let
pass, in the form in which it is stored.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from kubeherd.cluster.api import names
from kubeherd.cluster.api.jsontypes import JsonValue
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.timestamps import is_micro_time, is_time
from kubeherd.cluster.api.validation import objectmeta
from kubeherd.cluster.apiserver.write.short.alike.places import Slot, places
from kubeherd.cluster.apiserver.write.short.alike.splices import cut
from kubeherd.cluster.apiserver.write.short.alike.wires import Read, Wire

MAX_BYTES: Final = 16 * 1024
"""A body that is larger goes the general way."""
MAX_TRIES: Final = 16
"""In so many places a string is looked for: each takes as long as to decode the body."""
MAX_TEXT_BYTES: Final = 1024
"""What an event's note may have; other texts are shorter."""


class Pattern(msgspec.Struct, frozen=True, eq=False):
    """What bodies that are alike have in common: the bytes before, between and behind the strings
    in which they differ."""

    read: Read
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
