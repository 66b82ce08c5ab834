"""A write between being staged and being answered."""

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.store.staged import Staged


class Written(msgspec.Struct):
    """The result of a write: the object in its stored form, as JSON and, where it is at hand, as a
    tree of the receiver's own."""

    json: bytes
    tree: JsonObject | None = None
    created: bool = False
    removed: bool = False


class Pending(msgspec.Struct, eq=False):
    """A write that is staged but perhaps not durable; `staged` is None if nothing was written."""

    written: Written
    staged: Staged | None
