"""Creates of objects that are alike: staged from a template, without decoding their bodies.

Invariants: what is stored and answered is, to the byte, what the general way would store and
answer; where that is not certain nothing is staged, and the general way decides and words every
refusal. A template is valid for one kind, namespace, user and form of request, and only as long as
nothing has changed that admission read of the store when the template was made. The number of
templates and their memory are bounded, and so is the time that is spent on bodies of which no
template comes.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from sys import intern
from typing import Final

import msgspec
import orjson

from kubeherd.cluster.api import warnings
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.api.timestamps import format_micro_time, format_time
from kubeherd.cluster.apiserver.admission import service_account
from kubeherd.cluster.apiserver.edge.messages import User
from kubeherd.cluster.apiserver.edge.negotiation import Media
from kubeherd.cluster.apiserver.read.storedobjects import Reads
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write import fencing
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.pending import Pending, Written
from kubeherd.cluster.apiserver.write.registry import Registry
from kubeherd.cluster.apiserver.write.short.alike import bodies
from kubeherd.cluster.apiserver.write.short.alike.bodies import Pattern
from kubeherd.cluster.apiserver.write.short.alike.places import Slot
from kubeherd.cluster.apiserver.write.short.alike.splices import Splice, splice
from kubeherd.cluster.apiserver.write.short.alike.wires import (
    JSON,
    MSGPACK,
    Wire,
    json_token,
    json_tokens,
    msgpack_token,
)
from kubeherd.cluster.apiserver.write.storedform import attrs, ttl_s
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.state import Attrs

MAX_TEMPLATES: Final = 64
MAX_TEMPLATES_BYTES: Final = 2 * 1024 * 1024
MAX_FORMS: Final = 256
"""For so many forms of requests the length of the last body is remembered."""
NEAR_BYTES: Final = 64
"""Bodies whose lengths differ by more than this are not taken for alike."""
MAX_PAUSE: Final = 64
"""After attempts that made no useful template, so many creates pass at most before the next one."""


class Form(msgspec.Struct, frozen=True):
    """What creates must have in common, besides their bodies, to share a template."""

    api_version: str
    plural: str
    namespace: str
    user: User
    content_type: str
    agent: str


class Template(msgspec.Struct, eq=False):
    """What objects that are alike have in common. The texts for its holes are, in this order: those
    of the body, the UID, the creation time, the name of the volume with the service account's
    token, the revision."""

    pattern: Pattern
    stored: Splice
    """The JSON that is stored."""
    packed: Splice
    """What is answered in msgpack."""
    served: Splice | None
    """What is answered in JSON; None if that is what is stored."""
    selected: Attrs | None
    """The labels and fields for selectors, if the store is given them with a write."""
    reads: Reads
    mounts: bool
    """Whether the object has a volume with the service account's token."""
    used: bool = False
    """Whether an object was made of it."""

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        splices = (self.stored, self.packed, self.served)
        return sum(map(len, self.pattern.fixed)) + sum(one.size_bytes for one in splices if one)

    def attrs(self, name: str) -> Attrs | None:
        """`selected` of the object with this name."""
        if self.selected is None:
            return None
        return Attrs(self.selected.labels, {**self.selected.fields, _NAME: intern(name)})


_NAME: Final = "metadata.name"


class Alike(msgspec.Struct, frozen=True, eq=False):
    """An object that was staged from a template, and what its answer is made of."""

    pending: Pending
    template: Template
    strings: Sequence[bytes]
    tokens: Sequence[bytes]
    """The same as JSON strings."""
    revision: int

    def answer(self, media: Media, stored: bytes) -> bytes | None:
        """The object in the encoding of the answer; None if the template does not have that one."""
        template = self.template
        if media is Media.MSGPACK:
            packed = [*map(msgpack_token, self.strings)]
            return _made(template.packed, packed, self.revision, MSGPACK)
        if media is not Media.JSON:
            return None
        if template.served is None:
            return stored + b"\n"
        return _made(template.served, self.tokens, self.revision, JSON) + b"\n"


def _made(splice: Splice, tokens: Sequence[bytes], revision: int, wire: Wire) -> bytes:
    """The object with these texts, which are encoded already, and this revision."""
    return splice.made([*tokens, wire.token(b"%d" % revision)])


class AlikeCreates:
    """Makes templates, and stages objects from them; one per process."""

    def __init__(self, registry: Registry, rng: Rng) -> None:
        self._registry = registry
        self._store = registry.store
        self._rng = rng
        self._marks = rng.child("alike")
        self._templates: OrderedDict[Form, list[Template]] = OrderedDict()
        self._newest: list[Template] | None = None
        """The templates of the form that was used last."""
        self._count = self._bytes = 0
        self._lengths: OrderedDict[Form, int] = OrderedDict()
        self._pause, self._pause_left = 1, 0
        """How many creates pass between two attempts to make a template, and how many of them are
        still to pass. The pause doubles until a template is used."""

    def stage(self, kind: ServedKind, form: Form, body: bytes, ctx: RequestContext) -> Alike | None:
        """Stage the object in a body from a template; None, and nothing is staged, if there is no
        template for it, or if what the general way would do is not certain."""
        found = self._found(form, body)
        if found is None or self._store.is_shared or not self._registry.chain.is_own:
            return None
        template, name, strings = found
        if not template.reads.hold(self._store):
            self._forget(form, template)
            return None
        if self._store.head(kind.key, form.namespace, name) is not None:
            return None
        try:
            fencing.check(self._registry, kind.resource, name, ctx.fence)
        except ApiError:
            return None
        strings += _given(self._rng.uuid4(), ctx.timestamp, mounts=template.mounts)
        tokens = json_tokens(strings)
        staged = self._store.put(
            kind.key, form.namespace, name,
            lambda revision: _made(template.stored, tokens, revision, JSON),
            template.attrs(name), ttl_s=ttl_s(kind.storage),
        )  # fmt: skip
        if not template.used:
            template.used = True
            self._pause, self._pause_left = 1, 0
        pending = Pending(Written(b"", created=True), staged)
        return Alike(pending, template, strings, tokens, staged.revision)

    def _found(self, form: Form, body: bytes) -> tuple[Template, str, list[bytes]] | None:
        """The template that a body matches, the object's name, and the texts of the body."""
        templates = self._templates.get(form)
        if templates is None or len(body) > bodies.MAX_BYTES:
            return None
        for at, template in enumerate(templates):
            strings = template.pattern.strings(body)
            if strings is None:
                continue
            for fits, string in zip(template.pattern.rules, strings, strict=True):
                if not fits(string):
                    return None
            if at:
                templates.insert(0, templates.pop(at))
            if templates is not self._newest:
                self._newest = templates
                self._templates.move_to_end(form)
            return template, strings[template.pattern.name].decode(), strings
        return None

    def is_worth_a_look(self, form: Form, body: bytes) -> bool:
        """Whether to make a template of a body that matches none: if the last body of the same form
        was about as long, more of them may follow."""
        if self._store.is_shared or not self._registry.chain.is_own:
            return False
        size = len(body)
        last = self._lengths.pop(form, None)
        self._lengths[form] = size
        if len(self._lengths) > MAX_FORMS:
            self._lengths.popitem(last=False)
        if size > bodies.MAX_BYTES or last is None or abs(last - size) > NEAR_BYTES:
            return False
        if self._pause_left:
            self._pause_left -= 1
            return False
        self._pause_left, self._pause = self._pause, min(2 * self._pause, MAX_PAUSE)
        return True

    def learn(
        self,
        kind: ServedKind,
        form: Form,
        wire: Wire,
        body: bytes,
        decode: Callable[[bytes, datetime], tuple[JsonObject, RequestContext]],
        stored: bytes,
    ) -> None:
        """Make a template of a body whose object was just `stored` by the general way, and keep it
        if it can reproduce that object. `decode` gives what the general way starts with: the object
        in a body, and the context of a create at the given time."""
        marked = bodies.marked(wire, body, kind.resource, self._mark)
        if marked is None:
            return
        uid, moment = self._marks.uuid4(), self._moment()
        try:
            tree, ctx = decode(marked.body, moment)
            with self._registry.noting_reads() as reads:
                made = self._registry.make(kind, form.namespace, tree, ctx, uid)
        except ApiError:
            return
        warned = warnings.of_created(kind.resource.group_resource)
        if ctx.warnings or reads.unbounded or (warned is not None and warned(made)):
            return
        given = _given(uid, ctx.timestamp, mounts=True)
        marks = [*marked.marks, *given, self._mark(Slot.TEXT)]
        made["metadata"]["resourceVersion"] = marks[-1].decode()
        template = _template(kind, marked.pattern, made, marks, reads)
        if template is not None and _is_right(kind, template, body, stored):
            self._keep(form, template)

    def _mark(self, slot: Slot) -> bytes:
        """A new mark for a field of this sort: valid there, and found nowhere else."""
        if slot is Slot.TIME:
            return format_time(self._moment()).encode()
        if slot is Slot.MICRO_TIME:
            return format_micro_time(self._moment()).encode()
        return f"m{self._marks.uuid4()}".encode()

    def _moment(self) -> datetime:
        return _FAR + timedelta(microseconds=self._marks.randrange(_SPAN_US))

    def _keep(self, form: Form, template: Template) -> None:
        self._templates.setdefault(form, []).insert(0, template)
        self._templates.move_to_end(form)
        self._newest = self._templates[form]
        self._count += 1
        self._bytes += template.size_bytes
        while self._count > MAX_TEMPLATES or self._bytes > MAX_TEMPLATES_BYTES:
            oldest, templates = next(iter(self._templates.items()))
            self._forget(oldest, templates[-1])

    def _forget(self, form: Form, template: Template) -> None:
        templates = self._templates[form]
        templates.remove(template)
        if not templates:
            del self._templates[form]
        self._count -= 1
        self._bytes -= template.size_bytes


_FAR: Final = datetime(4000, 1, 1, tzinfo=UTC)
_VOLUME: Final = -2
"""The index of the volume's mark."""
_SPAN_US: Final = 1_000 * 365 * 86_400 * 1_000_000


def _given(uid: str, created: str, *, mounts: bool) -> list[bytes]:
    """The texts that the server chooses: the UID, the creation time and, if the object `mounts` a
    token, the name of the volume."""
    volume = service_account.volume_name(uid) if mounts else ""
    return [uid.encode(), created.encode(), volume.encode()]


def _template(
    kind: ServedKind, pattern: Pattern, made: JsonObject, marks: list[bytes], reads: Reads
) -> Template | None:
    """A template, from what the general way made of an object with marks."""
    stored = codecs.dumps_json(made)
    served = kind.served(codecs.loads_json(stored))
    as_json = splice(stored, marks, json_token)
    packed = splice(codecs.dumps_msgpack(served), marks, msgpack_token)
    own = None
    if kind.to_served is not None:
        own = splice(codecs.dumps_json(served), marks, json_token)
        if own is None:
            return None
    selected = attrs(kind.storage, made)
    if as_json is None or packed is None:
        return None
    mounts = any(marks[number] == marks[_VOLUME] for _, number in as_json.holes)
    return Template(pattern, as_json, packed, own, selected, reads.once(), mounts)


def _is_right(kind: ServedKind, template: Template, body: bytes, stored: bytes) -> bool:
    """Whether a template makes of a body exactly what the general way made of it."""
    tree: JsonObject = orjson.loads(stored)
    meta, strings = tree["metadata"], template.pattern.strings(body)
    if strings is None:
        return False
    strings += _given(meta["uid"], meta["creationTimestamp"], mounts=template.mounts)
    tokens = json_tokens(strings)
    revision, served = int(meta["resourceVersion"]), kind.served(orjson.loads(stored))
    one = Alike(Pending(Written(stored), None), template, strings, tokens, revision)
    shown = one.answer(Media.JSON, stored), one.answer(Media.MSGPACK, stored)
    return (
        _made(template.stored, tokens, revision, JSON) == stored
        and shown == (codecs.dumps_json(served) + b"\n", codecs.dumps_msgpack(served))
        and template.attrs(meta["name"]) == attrs(kind.storage, tree)
    )
