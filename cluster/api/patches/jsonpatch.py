"""JSON patch, RFC 6902, with the liberties of the library that Kubernetes uses.

These are: ``replace`` of an absent object member sets it, ``test`` of an absent member against null
holds, list indices may be negative, and the whole document cannot be addressed. Containers are
copied when first written to, so a patch costs what it touches.
"""

from typing import Any

import orjson

from kubeherd.cluster.api.errors import RequestEntityTooLarge
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.patches.problems import (
    NotApplicable,
    failed_test,
    not_applicable,
    undecodable,
)
from kubeherd.cluster.api.serializer.decodingrules import MAX_DEPTH

MAX_OPERATIONS = 10_000
MAX_COPIED_BYTES = 3 * 1024 * 1024
"""What the copy operations of one patch may add to the object."""

MAX_VISITED = 500_000
"""How many values all operations of one patch may look at: moving a large part of the object to
and fro costs a few bytes of patch each time."""


def json_patch(tree: JsonObject, operations: JsonValue) -> JsonObject:
    """`tree` with the operations applied in order; `tree` stays as it is.

    BadRequest if `operations` is not a list of objects, RequestEntityTooLarge (413) if there are
    more than 10000 or they are too much work, Invalid (422) if one does not apply; then none has
    any effect.
    """
    if not isinstance(operations, list) or not all(isinstance(op, dict) for op in operations):
        raise undecodable("a JSON patch must be a list of operations")
    if len(operations) > MAX_OPERATIONS:
        raise RequestEntityTooLarge(
            "Request entity too large: The allowed maximum operations in a JSON patch is"
            f" {MAX_OPERATIONS}, got {len(operations)}"
        )
    document = _Document(tree)
    for operation in operations:
        try:
            document.apply(operation)
        except NotApplicable as error:
            error.operation = operation
            raise
    return document.root


class _Document:
    def __init__(self, tree: JsonObject) -> None:
        self.root: JsonObject = dict(tree)
        # Containers that belong to this document; the values keep their ids from being reused.
        self._own: dict[int, Any] = {id(self.root): self.root}
        self._copied_bytes = 0
        self._visited = 0

    def apply(self, operation: JsonObject) -> None:
        name = operation.get("op")
        path = _parsed(operation.get("path"))
        if name == "add":
            self._add(path, _required_value(operation))
        elif name == "remove":
            self._remove(path)
        elif name == "replace":
            self._replace(path, operation.get("value"))
        elif name == "test":
            if not _same(self._get(path), operation.get("value")):
                raise failed_test()
        elif name in ("move", "copy"):
            source = _parsed(operation.get("from"))
            value = self._get(source, must_exist=True)
            if name == "move":
                self._remove(source)
            else:
                self._count_copy(value)
                self._disown(value)
            self._add(path, value)
        else:
            raise not_applicable()

    def _count_copy(self, value: JsonValue) -> None:
        """Copies of copies grow without bound; Kubernetes stops them at the body limit."""
        try:
            self._copied_bytes += len(orjson.dumps(value))
        except orjson.JSONEncodeError:  # nested too deeply to be written
            raise not_applicable() from None
        if self._copied_bytes > MAX_COPIED_BYTES:
            raise not_applicable()

    def _disown(self, value: JsonValue) -> None:
        """A value about to hang in two places: whoever writes into it must copy it first."""
        pending = [value]
        while pending:
            item = pending.pop()
            if isinstance(item, dict):
                pending.extend(item.values())
            elif isinstance(item, list):
                pending.extend(item)
            else:
                continue
            self._own.pop(id(item), None)

    def _check_depth(self, depth: int, value: JsonValue) -> None:
        """Many operations could nest deeper than any body may be, and than encoders can follow."""
        level = [value]
        while level:
            self._visited += len(level)
            if depth > MAX_DEPTH:
                raise not_applicable()
            if self._visited > MAX_VISITED:
                raise RequestEntityTooLarge(
                    "Request entity too large: the operations of the JSON patch move or add more "
                    f"than {MAX_VISITED} values"
                )
            depth += 1
            level = [
                child
                for item in level
                if isinstance(item, dict | list)
                for child in (item.values() if isinstance(item, dict) else item)
            ]

    def _parent(self, path: list[str]) -> Any:
        """The writable container that holds the last member of `path`."""
        container: Any = self.root
        for token in path[:-1]:
            key = _key(container, token)
            try:
                child = container[key]
            except (KeyError, IndexError):
                raise not_applicable() from None
            if not isinstance(child, dict | list):
                raise not_applicable()
            if id(child) not in self._own:
                child = child.copy()
                self._own[id(child)] = child
                container[key] = child
            container = child
        return container

    def _get(self, path: list[str], *, must_exist: bool = False) -> JsonValue:
        container: Any = self.root
        for position, token in enumerate(path):
            if not isinstance(container, dict | list):
                raise not_applicable()
            key = _key(container, token)
            try:
                container = container[key]
            except IndexError:
                raise not_applicable() from None
            except KeyError:
                if must_exist or position < len(path) - 1:
                    raise not_applicable() from None
                return None
        return container

    def _add(self, path: list[str], value: JsonValue) -> None:
        self._check_depth(len(path), value)
        container = self._parent(path)
        if isinstance(container, dict):
            container[path[-1]] = value
            return
        if path[-1] == "-":
            container.append(value)
            return
        index = _index(path[-1])
        if not -len(container) <= index <= len(container):
            raise not_applicable()
        container.insert(index if index >= 0 else len(container) + index, value)

    def _replace(self, path: list[str], value: JsonValue) -> None:
        self._check_depth(len(path), value)
        container = self._parent(path)
        key = _key(container, path[-1])
        try:
            container[key] = value
        except IndexError:
            raise not_applicable() from None

    def _remove(self, path: list[str]) -> None:
        container = self._parent(path)
        try:
            del container[_key(container, path[-1])]
        except (KeyError, IndexError):
            raise not_applicable() from None


def _required_value(operation: JsonObject) -> JsonValue:
    if "value" not in operation:
        raise not_applicable()
    return operation["value"]


def _parsed(path: JsonValue) -> list[str]:
    if not isinstance(path, str) or not path.startswith("/"):
        raise not_applicable()
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def _key(container: Any, token: str) -> Any:
    return token if isinstance(container, dict) else _index(token)


def _index(token: str) -> int:
    digits = token[1:] if token.startswith("-") else token
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise not_applicable()
    return int(token)


def _same(left: JsonValue, right: JsonValue) -> bool:
    """JSON equality: unlike Python's, true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(v, right[k]) for k, v in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)
