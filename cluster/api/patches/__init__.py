"""The patch formats of Kubernetes other than apply (spec api-machinery, section 10).

Each function takes the JSON tree of the current object and a decoded patch and returns the patched
tree. Invariants: neither input is modified, though the result may share unchanged parts with them;
directives of a strategic merge patch never end up in the result; every refusal is an `ApiError`.
"""

from kubeherd.cluster.api.patches.jsonpatch import MAX_OPERATIONS, json_patch
from kubeherd.cluster.api.patches.mergepatch import merge_patch
from kubeherd.cluster.api.patches.strategic import strategic_merge

__all__ = ["MAX_OPERATIONS", "json_patch", "merge_patch", "strategic_merge"]
