"""Watch streams as clients read them: JSON lines and protobuf frames, whole objects, Tables and
metadata, to the values of `kubeherd.checks.watchhistory`."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import orjson

from kubeherd.checks.watchhistory import Change, Event, Shown
from kubeherd.cluster.api.serializer.protobuf import bodies

PROTOBUF = "application/vnd.kubernetes.protobuf"
_END = "k8s.io/initial-events-end"


class Refused(Exception):
    """The server ended the watch with a Status."""

    def __init__(self, status: dict[str, Any]) -> None:
        super().__init__(status.get("message", ""))
        self.code = int(status.get("code", 0))


def shown(tree: dict[str, Any]) -> Shown:
    """An object, a Table of one, or its metadata, as the history has it."""
    if tree.get("kind") == "Table":
        tree = tree["rows"][0]["object"]
    partial = tree.get("kind") == "PartialObjectMetadata"
    meta = dict(tree["metadata"])
    revision = int(meta.pop("resourceVersion"))
    namespace, name = meta.get("namespace", ""), meta["name"]
    rest = {key: tree[key] for key in tree.keys() - {"apiVersion", "kind", "metadata"}}
    node = tree.get("spec", {}).get("nodeName", "") if not partial else ""
    return Shown(
        key=f"{namespace}/{name}" if namespace else name,
        revision=revision,
        uid=meta["uid"],
        labels=meta.get("labels", {}),
        fields={"spec.nodeName": node},
        metadata=_digest(meta),
        whole="" if partial else _digest({**rest, "metadata": meta}),
    )


def event(type_: str, tree: dict[str, Any]) -> Event:
    """One event; Refused for an ERROR."""
    if type_ == "ERROR":
        raise Refused(tree)
    if type_ != Change.BOOKMARK:
        one = shown(tree)
        return Event(Change(type_), one.revision, one)
    meta = tree["metadata"]
    if tree.get("kind") == "Table" and tree.get("rows"):
        meta = tree["rows"][0]["object"]["metadata"]
    ends = meta.get("annotations", {}).get(_END) == "true"
    return Event(Change.BOOKMARK, int(meta["resourceVersion"]), None, ends)


class Lines:
    """JSON events, one a line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that are complete now."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            tree = json.loads(line)
            yield event(tree["type"], tree["object"])


class Frames:
    """Protobuf events, each after its length in four bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that are complete now."""
        self._rest += chunk
        while len(self._rest) >= 4:
            end = 4 + int.from_bytes(self._rest[:4], "big")
            if len(self._rest) < end:
                return
            type_, raw = _fields(self._rest[4:end])
            (_, body) = _fields(raw)[0], _fields(raw)[-1]
            self._rest = self._rest[end:]
            yield event(type_.decode(), bodies.decode(body))


def _fields(message: bytes) -> list[bytes]:
    """The values of a message whose fields are all delimited."""
    found, at = [], 0
    while at < len(message):
        size, shift, at = 0, 0, at + 1
        while True:
            size |= (message[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if message[at - 1] < 0x80:
                break
        found.append(message[at : at + size])
        at += size
    return found


def _digest(tree: dict[str, Any]) -> str:
    encoded = orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(encoded, digest_size=12).hexdigest()
