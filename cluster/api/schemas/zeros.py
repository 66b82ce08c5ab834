"""Which fields of a built-in type Kubernetes prints although nobody set them.

Go writes a struct field that is neither a pointer nor ``omitempty`` even when it is zero, and a
struct whatever its tag: null for times and lists, ``{}``, ``""``, 0 and false. `zeros.json` beside
this file says it for every definition; `scripts/update_zeros.py` makes it.
"""

from functools import cache
from pathlib import Path

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject


@cache
def _table() -> dict[str, JsonObject]:
    text = Path(__file__).with_name("zeros.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, JsonObject])


def printed(key: str) -> JsonObject:
    """The fields of the definition `key` that are always printed, with their zero values."""
    return _table().get(key, {})
