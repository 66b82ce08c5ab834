"""What is stored as watchers and readers see it: a copy of all collections that watches keep, and
every new object in every encoding."""

import json

import orjson

from hostile.encodings import JSON, MSGPACK, PROTOBUF, YAML
from hostile.requests import Hostile
from hostile.targets import STORED, Answer, Target
from kubeherd.cluster.api.errors import ApiError, RequestEntityTooLarge
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.serializer import codecs

_NO_PROTOBUF = 406
_GONE = 410
_OK = 200
_ENCODINGS = (YAML, MSGPACK, PROTOBUF)
_LOOKS = 3


class Untold(Exception):
    """The server does not tell what it stores: no run can go on after that."""


class Mirror:
    """Follows every collection by watches alone, after one list."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._state: dict[Resource, dict[str, str]] = {}
        self._at: dict[Resource, str] = {}
        self._begun = 0
        """Objects of older revisions are not looked at in all encodings."""

    async def follow(self) -> None:
        """Take in what has happened since the last time. Untold."""
        for resource in STORED:
            while await self._poll(resource):
                pass

    async def problems(self) -> list[str]:
        """What the watches told otherwise than the lists, or an encoding otherwise than JSON.
        Looks again if the server wrote something by itself while it was asked. Untold."""
        for _ in range(_LOOKS):
            before = await self._target.revision()
            found = await self._differences()
            if not found or await self._target.revision() == before:
                break
        self._begun = max(int(at) for at in self._at.values())
        return found

    async def _differences(self) -> list[str]:
        await self.follow()
        found = []
        for resource in STORED:
            listed = await self._get(resource.path())
            items = {_key(item): item for item in listed["items"]}
            revisions = {key: item["metadata"]["resourceVersion"] for key, item in items.items()}
            told = self._state[resource]
            if revisions != told:
                wrong = [
                    key for key in {**revisions, **told} if revisions.get(key) != told.get(key)
                ]
                found.append(f"{resource.plural} {wrong[:3]} are told otherwise than listed")
            newest = [item for key, item in items.items() if int(revisions[key]) > self._begun]
            for item in newest:
                found += await self._read_in_all(resource, item)
        return found

    async def _poll(self, resource: Resource) -> bool:
        """Take in one answer; whether there may be more."""
        at = self._at.get(resource, "")
        query = {"watch": "1", "poll": "1", "timeoutSeconds": "0", "resourceVersion": at}
        answer = await self._ask(resource.path(), JSON, query) if at else Answer(_GONE)
        if answer.status == _GONE:
            listed = await self._get(resource.path())
            self._at[resource] = listed["metadata"]["resourceVersion"]
            self._state[resource] = {
                _key(item): item["metadata"]["resourceVersion"] for item in listed["items"]
            }
            self._begun = self._begun or int(self._at[resource])
            return False
        tree = _told_by(resource.path(), answer)
        for event in tree["events"]:
            one, state = event["object"], self._state[resource]
            if event["type"] == "DELETED":
                state.pop(_key(one), None)
            else:
                state[_key(one)] = one["metadata"]["resourceVersion"]
        self._at[resource] = tree["resourceVersion"]
        return bool(tree["events"])

    async def _read_in_all(self, resource: Resource, listed: JsonObject) -> list[str]:
        meta = listed["metadata"]
        path = resource.path(meta.get("namespace", ""), meta["name"])
        plain = await self._ask(path, JSON)
        if plain.status != _OK:
            return [f"GET {path} is answered {plain.status}, though it is listed"]
        tree, found = orjson.loads(plain.body), []
        for accept in _ENCODINGS:
            answer = await self._ask(path, accept)
            if answer.status == _NO_PROTOBUF and accept == PROTOBUF:
                continue
            if answer.status != _OK:
                found.append(f"GET {path} as {accept} is answered {answer.status}")
                continue
            try:
                read = codecs.decode_body(accept, answer.body).tree
            except RequestEntityTooLarge:
                continue  # with what the server has added it is more than a body may be
            except ApiError as error:
                found.append(f"{path} cannot be read as {accept}: {error}")
                continue
            same = read == tree if accept != PROTOBUF else _told(read) == _told(tree)
            if not same:
                where = _difference(_told(tree), _told(read))
                found.append(f"{path} is another object as {accept}: {where}")
        return found

    async def _get(self, path: str) -> JsonObject:
        return _told_by(path, await self._ask(path, JSON))

    async def _ask(self, path: str, accept: str, query: dict[str, str] | None = None) -> Answer:
        return await self._target.send(
            Hostile("look", "GET", path, query or {}, {"accept": accept})
        )


def _told_by(path: str, answer: Answer) -> JsonObject:
    if answer.status != _OK:
        text = answer.body[:300].decode(errors="replace")
        raise Untold(f"GET {path} is answered {answer.status}: {text}")
    tree: JsonObject = json.loads(answer.body)
    return tree


def _key(tree: JsonObject) -> str:
    meta = tree["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"


_ZEROS: tuple[object, ...] = (None, "", 0, False, {}, [], "0001-01-01T00:00:00Z",
                              "0001-01-01T00:00:00.000000Z")  # fmt: skip


def _told(tree: object) -> object:
    """What protobuf tells of a tree: no zeros, and no kinds but the object's own."""
    if isinstance(tree, dict):
        told = {key: _told(item) for key, item in tree.items()}
        templates = told.get("volumeClaimTemplates")
        for template in templates if isinstance(templates, list) else ():
            template.pop("apiVersion", None)
            template.pop("kind", None)
        return {key: item for key, item in told.items() if item not in _ZEROS}
    if isinstance(tree, list):
        return [_told(item) for item in tree]
    return tree


def _difference(one: object, other: object, path: str = "") -> str:
    """The first place where two trees differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            if one.get(key) != other.get(key):
                return _difference(one.get(key), other.get(key), f"{path}.{key}")
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            if left != right:
                return _difference(left, right, f"{path}[{number}]")
    return f"{path} is {str(one)[:150]} and {str(other)[:150]}"
