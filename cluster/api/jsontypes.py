"""Names for JSON trees, the form in which the API server keeps objects.

``JsonObject`` marks the codec boundary: the only place where ``Any`` is allowed. Code that knows
a kind reasons over the structs of `cluster.api.objects` instead.
"""

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
JsonValue: TypeAlias = Any


def copied(tree: JsonValue) -> JsonValue:
    """A tree of its own with the same values."""
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [copied(value) for value in tree]
    return tree
