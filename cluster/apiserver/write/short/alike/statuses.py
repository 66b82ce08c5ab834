"""Patches of statuses that are alike: what a patch makes of one pod it makes of the others. Pure.

The pods of a workload have the same status and get the same patch, but for a few texts: moments,
addresses, ids of containers, the uid of the pod that is meant. A status becomes what it becomes
whatever these are, as long as each is valid, and those are equal that were equal: lists merge by
addresses, and what is all equal is no change. So the short way of a patch (`write.short.podstatus`)
is gone once with marks for these texts, and from where the marks stand afterwards the statuses of
the others are put together.

Invariants: a template holds for a stored status and a patch that are, byte for byte, those that
were looked at, but for texts of one form in the same places, which are equal to one another where
those were. In both, all that is called as such a text is one: so none of them meets an equal that
is something else. How many templates there are, and what they take, is bounded.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from sys import intern
from typing import Final, TypeAlias

import msgspec
import orjson

from kubeherd.cluster.api import fields
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write.short.alike.splices import Splice
from kubeherd.cluster.apiserver.write.short.podstatus import Change

MAX_TEMPLATES: Final = 64
MAX_TEMPLATES_BYTES: Final = 2 * 1024 * 1024
MAX_TEXTS: Final = 256
"""A patch or a status with more goes its way alone."""
MAX_FIRST: Final = 256
"""Of so many that were alike to none it is known that there was one."""
_TREE_BYTES: Final = 10
"""About what a tree takes in memory for each byte of its JSON."""

_DAY: Final = (
    rb"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)"
    rb"|(?:0[13578]|1[02])-31)"
)
"""Each day that all years have."""
_TIME: Final = rb"2[0-9]{3}-" + _DAY + rb"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
"""metav1.Time, as it is stored."""
_OCTET: Final = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IP: Final = _OCTET + rb"(?:\." + _OCTET + rb"){3}"
"""An address of IPv4; others do not differ."""
_ID: Final = rb"[a-z]+://[0-9A-Za-z/:@._-]+"
"""Of a container: it is only kept."""
_UID: Final = rb"[0-9a-f-]{36}"
_TEXT: Final = re.compile(
    rb'":"('
    rb'(?<=Time":"|edAt":")' + _TIME + rb'|(?<=IP":"|ip":")' + _IP + rb'|(?<=rID":")' + _ID
    + rb'|(?<="uid":")' + _UID + rb')"'
)  # fmt: skip
"""A text that may differ, after the end of the name of its member."""
_OTHER: Final = re.compile(rb'(?:Time|edAt|IP|ip|rID|"uid)"\s*:\s*"')
"""Where in all between such texts another text has the name of one."""
_BEGIN: Final = re.compile(
    rb'\{"kind":"Pod","apiVersion":"v1","metadata":\{"name":"[^"\\]*"'
    rb'(?:,"generateName":"[^"\\]*")?,"namespace":"[^"\\]*"'
    rb',"uid":"(' + _UID + rb')","resourceVersion":"([0-9]+)"'
)
"""How a stored pod begins: its uid and its revision."""
_STATUS: Final = b',"status":'
_NAMED: Final[JsonObject] = {"uid": ""}
"""What a patch says of the metadata."""
_OWNED: Final = b'"managedFields":'
_ESCAPED: Final = b"\\u"
"""In each JSON text with a member whose name is written in another way."""


Key: TypeAlias = tuple[str, tuple[bytes, ...], tuple[bytes, ...], tuple[int, ...]]
"""What is the same of those that are alike: the type of the patch, the stored status and the patch
between the texts, and of each text which is the first that equals it."""


class Seen(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A patch and the stored pod that it is for, taken apart."""

    key: Key
    texts: list[bytes]
    """The pod's uid, and what differs of its status and of the patch."""
    begin: bytes
    """The stored pod up to its revision, ..."""
    rest: bytes
    """... and from there up to its status."""

    def writer(self, status: bytes) -> Callable[[int], bytes]:
        """What writes the pod with another status and its revision."""
        return lambda revision: b"%b%d%b%b}" % (self.begin, revision, self.rest, status)


def seen(stored: bytes, body: bytes, media_type: str) -> Seen | None:
    """A patch of that type and the JSON of the pod that it is for; None if it can be alike to none:
    the metadata may change, too, because fields have owners."""
    begun = _BEGIN.match(stored)
    at = stored.rfind(_STATUS + b"{") + len(_STATUS)
    if begun is None or at < begun.end() or _ESCAPED in body or stored.find(_OWNED, 0, at) >= 0:
        return None
    status, patch = _TEXT.split(stored[at:-1]), _TEXT.split(body)
    texts = [begun[1], *status[1::2], *patch[1::2]]
    if len(texts) > MAX_TEXTS:
        return None
    first: dict[bytes, int] = {}
    same = tuple(map(first.setdefault, texts, range(MAX_TEXTS)))
    revision_at, revision_ends = begun.span(2)
    return Seen(
        (media_type, tuple(status[::2]), tuple(patch[::2]), same),
        texts,
        stored[:revision_at],
        stored[revision_ends:at],
    )


class Marked(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The pod and the patch with marks instead of texts."""

    stored: bytes
    body: bytes


def marked(one: Seen) -> Marked | None:
    """The same with marks, equal ones where texts are equal; None if one of the texts may have an
    equal that is not taken for one, or if the patch names its pod in another way."""
    _, status, patch, _ = one.key
    if any(_OTHER.search(part) is not None for part in (*status, *patch)):
        return None
    marks, of_patch = _marks(one), len(status)
    body = _joined(patch, marks[of_patch:])
    tree = orjson.loads(body)
    if tree.get("metadata", _NAMED).keys() - _NAMED or not codecs.keeps_every_field(body, tree):
        return None
    return Marked(one.writer(_joined(status, marks[1:of_patch]))(1), body)


def _marks(one: Seen) -> list[bytes]:
    """The mark of each text; the uid, which is in no status, has none, and stays."""
    return [_mark(one.texts[first], first) for first in one.key[3]]


def _mark(text: bytes, number: int) -> bytes:
    if b"://" in text:
        return b"mark://%d" % number
    if text.endswith(b"Z"):
        return b"2%03d-01-01T00:00:00Z" % number
    return b"10.255.255.%d" % number if b"." in text else text


def _around(parts: Sequence[bytes]) -> list[bytes]:
    """What stands between the texts, with all that stands around each."""
    first, last = 0, len(parts) - 1
    return [
        (b'"' if at > first else b"") + part + (b'":"' if at < last else b"")
        for at, part in enumerate(parts)
    ]


def _joined(parts: Sequence[bytes], texts: Sequence[bytes]) -> bytes:
    """What has these texts in these places."""
    first, *others = _around(parts)
    pairs = zip(texts, others, strict=True)
    return first + b"".join([piece for pair in pairs for piece in pair])


class Template(msgspec.Struct, frozen=True, eq=False):
    """What becomes of the statuses of pods that are alike."""

    status: Splice | None
    """With the numbers of texts; None: it stays what it is."""
    old: JsonObject
    new: JsonObject
    """As much of the pod as rules look at that are asked each time, before and after, with marks.
    """
    fields: Mapping[str, str]
    """The selectable ones that a status has, ..."""
    differing: tuple[tuple[str, int], ...]
    """... and of which of them which text is the value."""
    size_bytes: int

    def selected(self, texts: Sequence[bytes]) -> Mapping[str, str]:
        """The selectable fields of a status with these texts."""
        if not self.differing:
            return self.fields
        own = {key: intern(texts[number].decode()) for key, number in self.differing}
        return {**self.fields, **own}


def template(kind: ServedKind, one: Seen, change: Change, as_marked: Change) -> Template | None:
    """A template, if there can be one, from what became of a pod, and of the same with marks."""
    if any(each.new["metadata"] != each.parts.metadata for each in (change, as_marked)):
        return None
    before, after = (orjson.dumps(tree["status"]) for tree in (as_marked.old, as_marked.new))
    number_of = dict(zip(_marks(one), one.key[3], strict=True))
    del number_of[one.texts[0]]
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
    selected = fields.of_status(kind.storage, new)
    differing = tuple(
        (key, number_of[mark])
        for key, value in selected.items()
        if (mark := value.encode()) in number_of
    )
    sizes = (*map(len, one.key[1]), *map(len, one.key[2]), status.size_bytes if status else 0)
    size_bytes = sum(sizes) + _TREE_BYTES * (len(before) + len(after))
    return Template(status, old, new, selected, differing, size_bytes)


def _splice(status: bytes, number_of: Mapping[bytes, int]) -> Splice | None:
    """A status with holes where marks are; None if one is anywhere else."""
    found = _TEXT.split(status)
    between = _around(found[::2])
    if any(mark in part for part in between for mark in number_of):
        return None
    found[::2] = between
    marked_at = (at for at in range(1, len(found), 2) if found[at] in number_of)
    return Splice(found, tuple((at, number_of[found[at]]) for at in marked_at))


class Templates:
    """Those that there are; those that were used last stay."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, Template] = OrderedDict()
        self._bytes = 0
        self._first: OrderedDict[int, None] = OrderedDict()

    def of(self, key: Key) -> Template | None:
        """What holds for a patch and a pod that look like this."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def is_second(self, key: Key) -> bool:
        """Whether there was another one lately that looked like this: then there will be more."""
        look = hash(key)
        if look in self._first:
            del self._first[look]
            return True
        self._first[look] = None
        if len(self._first) > MAX_FIRST:
            self._first.popitem(last=False)
        return False

    def keep(self, key: Key, template: Template) -> None:
        """From now on, for all that look like this."""
        self._kept[key] = template
        self._bytes += template.size_bytes
        while len(self._kept) > MAX_TEMPLATES or self._bytes > MAX_TEMPLATES_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.size_bytes
