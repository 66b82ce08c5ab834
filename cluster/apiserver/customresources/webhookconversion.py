"""Custom resources in versions that a conversion webhook makes (strategy Webhook).

Converting is asked for in the middle of reads and writes, where nobody may wait. So what a webhook
made of a content is kept, and a conversion that is not known raises `Unconverted`: whoever answers
the request asks the webhook then, outside of everything, and begins again. Invariants: a webhook is
asked once for all objects of a list; what is kept is bounded in bytes; a write is begun again
before it has changed anything, for with the stored form the served form that its answer shows is
made too.
"""

import copy
import hashlib
from collections.abc import Callable, Sequence
from threading import Lock

import orjson

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.customresources import conversionreview
from kubeherd.cluster.api.customresources.conversionreview import Question, Unusable
from kubeherd.cluster.api.customresources.kind import CustomKind
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.admission.webhooks.review import CallFailed
from kubeherd.cluster.apiserver.read.conversion import Unconverted

KEPT_BYTES = 32 * 1024 * 1024
TIMEOUT_S = 30
_CONTENT_META = ("name", "namespace", "labels", "annotations")
"""What a webhook sees of the metadata that tells one content from another."""

_Key = tuple[str, int, str, bytes]


class Kept:
    """What webhooks made of contents, in the order of the last use; bounded in bytes. Used by the
    loop and by the thread of large requests."""

    def __init__(self, limit_bytes: int = KEPT_BYTES) -> None:
        self._lock = Lock()
        self._limit = limit_bytes
        self._size = 0
        self._made: dict[_Key, bytes] = {}

    def get(self, key: _Key) -> JsonObject | None:
        """A fresh tree, or None."""
        with self._lock:
            found = self._made.pop(key, None)
            if found is None:
                return None
            self._made[key] = found
        tree: JsonObject = codecs.loads_json(found)
        return tree

    def put(self, key: _Key, tree: JsonObject) -> None:
        """Keep a tree; what was not used for longest goes where there is no room."""
        data = codecs.dumps_json(tree)
        with self._lock:
            self._size += len(data) - len(self._made.pop(key, b""))
            self._made[key] = data
            while self._size > self._limit and len(self._made) > 1:
                self._size -= len(self._made.pop(next(iter(self._made))))


class WebhookConversion:
    """The conversions between a served version of a kind and the stored one."""

    def __init__(
        self, resource: Resource, custom: CustomKind, stored: Resource, services: "Services"
    ) -> None:
        self._resource = resource
        self._custom = custom
        self._stored = stored
        self._services = services
        meta = custom.definition["metadata"]
        self._definition = str(meta.get("uid", "")), int(meta.get("generation", 0))

    def served(self, tree: JsonObject) -> JsonObject:
        """A stored object in the served version; Unconverted if it is not known yet."""
        return self._all_served([tree], is_list=False)[0]

    def served_all(self, trees: Sequence[JsonObject]) -> list[JsonObject]:
        """The same for the objects of a list."""
        return self._all_served(trees, is_list=True)

    def stored(self, tree: JsonObject) -> JsonObject:
        """A served object in the stored version; Unconverted if it is not known yet."""
        made = self._known([tree], self._stored, is_list=False, back=True)[0]
        return self._pruned(made, self._stored)

    def _all_served(self, trees: Sequence[JsonObject], *, is_list: bool) -> list[JsonObject]:
        defaulted = [self._defaulted(tree) for tree in trees]
        made = self._known(defaulted, self._resource, is_list=is_list, back=False)
        return [self._pruned(one, self._resource) for one in made]

    def _defaulted(self, tree: JsonObject) -> JsonObject:
        custom = self._stored.custom
        if custom is not None and tree["apiVersion"] == self._stored.api_version:
            custom.default(tree)
        return tree

    def _pruned(self, tree: JsonObject, resource: Resource) -> JsonObject:
        if resource.custom is not None:
            resource.custom.decode(tree)
        return tree

    def _known(
        self, trees: Sequence[JsonObject], into: Resource, *, is_list: bool, back: bool
    ) -> list[JsonObject]:
        made, missing = [], []
        for tree in trees:
            found = self._lookup(tree, into.api_version)
            if found is None:
                missing.append(tree)
            else:
                made.append(found)
        if missing:
            raise Unconverted(lambda: self._ask(missing, into, is_list=is_list, back=back))
        return made

    def _lookup(self, tree: JsonObject, version: str) -> JsonObject | None:
        if tree["apiVersion"] == version:
            return tree
        found = self._services.kept.get(self._key(tree, version))
        if found is None:
            return None
        given = found.get("metadata") or {}
        meta = {k: v for k, v in tree["metadata"].items() if k not in ("labels", "annotations")}
        return {**found, "metadata": {**meta, **given}}

    def _key(self, tree: JsonObject, version: str) -> _Key:
        meta = tree.get("metadata") or {}
        content = {**tree, "metadata": {key: meta.get(key) for key in _CONTENT_META}}
        data = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        digest = hashlib.blake2b(data, digest_size=20).digest()
        return (*self._definition, version, digest)

    # --- asking ---

    async def _ask(
        self, trees: Sequence[JsonObject], into: Resource, *, is_list: bool, back: bool
    ) -> None:
        """Have objects converted; `back`: also what comes of it into the served version."""
        made = await self._answered(trees, into.api_version, is_list=is_list)
        for old, new in zip(trees, made, strict=True):
            kept = {key: new["metadata"][key] for key in _KEPT_META if key in new["metadata"]}
            self._services.kept.put(self._key(old, into.api_version), {**new, "metadata": kept})
        if back:
            stored = [self._pruned(copy.deepcopy(one), into) for one in made]
            again = [self._defaulted(one) for one in stored]
            wanted = [one for one in again if one["apiVersion"] != self._resource.api_version]
            if wanted:
                await self._ask(wanted, self._resource, is_list=False, back=False)

    async def _answered(
        self, trees: Sequence[JsonObject], version: str, *, is_list: bool
    ) -> list[JsonObject]:
        uid = self._services.uid()
        question = Question(self._custom, trees, version, uid, is_list)
        try:
            body = question.body()
            config = question.webhook.get("clientConfig") or {}
            answer = await self._services.send(config, TIMEOUT_S, body)
            return conversionreview.converted(question, answer)
        except CallFailed as why:
            raise errors.ApiError(f"{question.subject} failed: {why}") from None
        except Unusable as why:
            raise errors.ApiError(str(why)) from None


_KEPT_META = ("labels", "annotations")


class Services:
    """What conversions of all kinds share."""

    def __init__(self, uid: Callable[[], str]) -> None:
        self.kept = Kept()
        self.uid = uid

    async def send(self, config: JsonObject, timeout_s: int, body: bytes) -> bytes:
        """POST to a webhook; CallFailed."""
        from kubeherd.cluster.apiserver.write import webhookcall  # noqa: PLC0415 - aiohttp's client

        return await webhookcall.send(config, timeout_s, body)
