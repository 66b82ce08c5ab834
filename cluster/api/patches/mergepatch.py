"""JSON merge patch, RFC 7386: null deletes, objects merge, everything else replaces.

Kubernetes' library leaves out the null members of objects in lists as well (evanphx/json-patch,
pruneNulls), though not the null elements of lists.
"""

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.patches.problems import undecodable


def merge_patch(tree: JsonObject, patch: JsonValue) -> JsonObject:
    """`tree` merged with `patch`; BadRequest if the patch is not an object."""
    if not isinstance(patch, dict):
        raise undecodable("a merge patch must be an object")
    return _merged(tree, patch)


def _merged(tree: JsonObject, patch: JsonObject) -> JsonObject:
    out = dict(tree)
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict):
            current = out.get(key)
            out[key] = _merged(current if isinstance(current, dict) else {}, value)
        else:
            out[key] = _without_nulls(value)
    return out


def _without_nulls(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
