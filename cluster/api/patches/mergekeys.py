"""What makes two list elements the same element."""

import json

from cluster.api.jsontypes import JsonValue


def identity(item: JsonValue, merge_key: str) -> object:
    """A hashable identity: the merge key's value, or the item itself for primitive lists."""
    value = item.get(merge_key) if merge_key and isinstance(item, dict) else item
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return (type(value) is bool, value)
