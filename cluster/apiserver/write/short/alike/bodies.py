"""Recognising request bodies that are alike, without decoding them. Pure.

Invariants: a body matches a pattern if and only if it equals, byte for byte, the body of which the
pattern was made, but for the texts in some fields; each of these texts is valid in its field, and
is in the form in which it is going to be stored.
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
"""How many occurrences of a text are tried to find the one in its field; each attempt decodes the
body."""
MAX_TEXT_BYTES: Final = 1024
"""The limit of an event's note; all other texts have smaller ones."""


class Pattern(msgspec.Struct, frozen=True, eq=False):
    """What bodies that are alike have in common."""

    read: Read
    fixed: tuple[bytes, ...]
    """The bytes before, between and after the texts in which they differ."""
    rules: tuple[Callable[[bytes], bool], ...]
    """Of each text, what tells whether it is valid."""
    name: int
    """The index of the text that is the object's name."""

    def strings(self, body: bytes) -> list[bytes] | None:
        """The texts in which a body differs; None if it differs in anything else."""
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
    """A body with marks instead of the texts in which others may differ."""

    pattern: Pattern
    body: bytes
    marks: tuple[bytes, ...]
    """In the order in which they stand in the body."""


def marked(
    wire: Wire, body: bytes, resource: Resource, mark: Callable[[Slot], bytes]
) -> Marked | None:
    """A body with a mark in each field in which objects of the resource may differ, and its
    pattern; `mark` makes a new mark. None if the object's name cannot be marked."""
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
    """A body with the text `made` instead of `text` in the field at `path`. Where that field is
    in the bytes is found by trial: the replaced body must decode to the same object with nothing
    but this field changed. None if no occurrence of the text passes."""
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
        except ValueError:  # these bytes were not a string
            pass
    return None


def _at(tree: JsonValue, path: Sequence[str | int]) -> JsonValue:
    """The value at a path; None if there is none, or if a list on the way has more than one
    element: in others that list may be longer or shorter."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(tree, list) or len(tree) != 1:
                return None
            tree = tree[step]
        else:
            tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


def rule(resource: Resource, slot: Slot) -> Callable[[bytes], bool]:
    """What tells whether a text is valid in a field of this sort, and stored as it is."""
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
"""For all but NAME: what makes a name valid depends on the resource."""
