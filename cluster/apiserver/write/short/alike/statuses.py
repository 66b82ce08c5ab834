"""Patches of pods' statuses that are alike: the new statuses are put together from a template.

The pods of a workload get the same patches of the same statuses; only times, addresses, IDs, UIDs
and names of token volumes differ (`statustexts`). What becomes of a status does not depend on what
these texts are, as long as each is valid, but on which of them are equal: lists are merged by
addresses, and a patch that changes nothing is not stored. So a pod and a patch are taken through
the longer way (`write.short.podstatus`) with marks instead of these texts, equal marks where texts
are equal.

Invariants: a template is valid for patches with the same `statustexts.Key`, whose texts follow the
rules. In the members with such rules there is no other value that such a text could be equal to.
The number of templates and their memory are bounded. Pure.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from sys import intern
from typing import Final

import msgspec
import orjson

from kubeherd.cluster.api import fields
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write.short.alike import statustexts
from kubeherd.cluster.apiserver.write.short.alike.splices import Splice
from kubeherd.cluster.apiserver.write.short.alike.statustexts import (
    RULES,
    Cut,
    Key,
    Rule,
    is_id,
    is_ip,
    is_time,
    is_token_volume,
    is_uid,
)
from kubeherd.cluster.apiserver.write.short.podstatus import Change

MAX_TEMPLATES: Final = 64
MAX_TEMPLATES_BYTES: Final = 2 * 1024 * 1024
MAX_SEEN: Final = 256
"""So many keys of patches without a template are remembered, to make one for the second patch."""
_TREE_BYTES: Final = 10
"""About what a tree takes in memory for each byte of its JSON."""
_OTHER: Final = re.compile(rb'"(%b)"\s*:\s*"((?:[^"\\]|\\.)*)' % b"|".join(RULES))
"""A member whose texts may differ, with a value that was not taken for a text."""
_NAMED: Final = frozenset({"uid"})
"""What a patch with a template may say of the metadata."""


class Marked(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The JSON of a stored pod and a patch of it, with marks."""

    stored: bytes
    body: bytes


def marked(one: Cut) -> Marked | None:
    """A pod and a patch with marks instead of their texts. None if there can be no template: there
    is a value that one of the texts could be equal to, or the patch says more of the metadata."""
    _, status, patch, _ = one.key
    if any(_may_equal_text(part) for part in (*status, *patch)):
        return None
    each = zip(_names(one.key), _rules(one), strict=True)
    if any(rule is None and RULES.get(name) is is_time for name, rule in each):
        return None  # another form of a time becomes one of this form
    marks, of_patch = _marks(one), len(status)
    body = _joined(patch, marks[of_patch:])
    tree = orjson.loads(body)
    if tree.get("metadata", {}).keys() - _NAMED or not codecs.keeps_every_field(body, tree):
        return None
    return Marked(one.writer(_joined(status, marks[1:of_patch]))(1), body)


def _may_equal_text(part: bytes) -> bool:
    """Whether what is between texts has a value that a text could be equal to."""
    for name, value in _OTHER.findall(part):
        rule = RULES[name]
        if rule is is_time or b"\\" in value or rule(value):
            return True
    return False


def _names(key: Key) -> list[bytes]:
    """The name of the member of each text."""
    _, status, patch, _ = key
    return [b"uid", *(part.rpartition(b'"')[2] for part in (*status[:-1], *patch[:-1]))]


def _rules(one: Cut) -> list[Rule | None]:
    """The rule that each text follows; None if it may not differ."""
    rules = map(RULES.get, _names(one.key))
    each = zip(rules, one.texts, strict=True)
    return [rule if rule is not None and rule(text) else None for rule, text in each]


def _marks(one: Cut) -> list[bytes]:
    """A mark for each text. Texts that may not differ stay; so do UIDs, which are in no status."""
    each = zip(_rules(one), one.texts, one.key[3], strict=True)
    return [_mark(rule, first) or text for rule, text, first in each]


def _mark(rule: Rule | None, number: int) -> bytes:
    if rule is is_time:
        return b"2%03d-01-01T00:00:00Z" % number
    if rule is is_ip:
        return b"10.255.255.%d" % number
    if rule is is_token_volume:
        return b"kube-api-access-%05d" % number
    return b"mark://%d" % number if rule is is_id else b""


def _joined(parts: Sequence[bytes], texts: Sequence[bytes]) -> bytes:
    """JSON, from what is between texts and the texts."""
    pairs = zip(statustexts.quoted(tuple(parts)), (*texts, b""), strict=True)
    return b"".join([piece for pair in pairs for piece in pair])


class Template(msgspec.Struct, frozen=True, eq=False):
    """What becomes of a status by patches that are alike. Numbers are indices of `Cut.texts`."""

    status: Splice | None
    """The JSON of the new status; None if it is equal to the old one."""
    old: JsonObject
    new: JsonObject
    """The pod before and after, with marks: as much as admission reads of it, without the spec."""
    fields: Mapping[str, str]
    """The selectable fields of the new status, ..."""
    differing: tuple[tuple[str, int], ...]
    """... and those of them whose values are texts."""
    rules: tuple[tuple[int, Rule], ...]
    """The rules for the texts."""
    size_bytes: int

    def selectable(self, texts: Sequence[bytes]) -> Mapping[str, str]:
        """The selectable fields of the new status with these texts."""
        if not self.differing:
            return self.fields
        own = {key: intern(texts[number].decode()) for key, number in self.differing}
        return {**self.fields, **own}


def template(kind: ServedKind, one: Cut, change: Change, as_marked: Change) -> Template | None:
    """A template from what became of a pod, and of the pod with marks; None if there can be none,
    or if it would not make of the pod what became of it."""
    if any(each.new["metadata"] != each.parts.metadata for each in (change, as_marked)):
        return None
    rules, same = _rules(one), one.key[3]
    number_of = {
        mark: first
        for rule, mark, first in zip(rules, _marks(one), same, strict=True)
        if rule is not None and rule is not is_uid
    }
    before, after = (orjson.dumps(tree["status"]) for tree in (as_marked.old, as_marked.new))
    status = None
    if as_marked.new != as_marked.old:
        status = _splice(after, number_of)
        if status is None or status.made(one.texts) != orjson.dumps(change.new["status"]):
            return None
    if (status is None) != (change.new == change.old):
        return None
    old, new = (
        {"metadata": {}, "status": tree["status"]} for tree in (as_marked.old, as_marked.new)
    )
    selectable = fields.of_status(kind.storage, new)
    differing = tuple(
        (key, number_of[mark])
        for key, value in selectable.items()
        if (mark := value.encode()) in number_of
    )
    sizes = (*map(len, one.key[1]), *map(len, one.key[2]), status.size_bytes if status else 0)
    size_bytes = sum(sizes) + _TREE_BYTES * (len(before) + len(after))
    each = _checks(rules, one)
    return Template(status, old, new, selectable, differing, each, size_bytes)


def _checks(rules: Sequence[Rule | None], one: Cut) -> tuple[tuple[int, Rule], ...]:
    """What is to be asked of texts with the same key, each of which is asked once. Of the UID
    nothing: it is the stored one."""
    checks: dict[int, Rule] = {}
    for rule, text, first in zip(rules, one.texts, one.key[3], strict=True):
        if rule is None:
            checks[first] = text.__eq__
        elif rule is not is_uid:
            checks.setdefault(first, rule)
    return tuple(checks.items())


def _splice(status: bytes, number_of: Mapping[bytes, int]) -> Splice | None:
    """A status with holes where marks are; None if one is in any other place."""
    parts = statustexts.between(status)
    if any(mark in part for part in parts[::2] for mark in number_of):
        return None
    holes = [(at, number_of[parts[at]]) for at in range(1, len(parts), 2) if parts[at] in number_of]
    return Splice(parts, tuple(holes))


class Templates:
    """The templates that there are; those that were not used for longest go first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, Template] = OrderedDict()
        self._bytes = 0
        self._seen: OrderedDict[int, None] = OrderedDict()

    def of(self, one: Cut) -> Template | None:
        """The template for a patch."""
        found = self._kept.get(one.key)
        if found is None:
            return None
        for number, rule in found.rules:
            if not rule(one.texts[number]):
                return None
        self._kept.move_to_end(one.key)
        return found

    def is_second(self, one: Cut) -> bool:
        """Whether a patch without a template is the second one with its key: more may follow."""
        key = hash(one.key)
        if key in self._seen:
            del self._seen[key]
            return True
        self._seen[key] = None
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        return False

    def keep(self, key: Key, template: Template) -> None:
        """Use a template from now on."""
        if key in self._kept:
            self._bytes -= self._kept.pop(key).size_bytes
        self._kept[key] = template
        self._bytes += template.size_bytes
        while len(self._kept) > MAX_TEMPLATES or self._bytes > MAX_TEMPLATES_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.size_bytes
