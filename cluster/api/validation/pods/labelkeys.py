"""Rules of ``matchLabelKeys`` and ``mismatchLabelKeys`` of affinity terms and spread constraints.

Source: pkg/apis/core/validation (ValidateMatchLabelKeysAndMismatchLabelKeys), v1.36. The server has
merged the keys into the label selector by then (`PodStrategy`), so a key that comes twice there was
in the client's selector too.
"""

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import forbidden, invalid, invalid_each

MATCH = "matchLabelKeys"
MISMATCH = "mismatchLabelKeys"


def label_keys(term: JsonObject, path: str) -> list[Cause]:
    """The keys of a term: label names, and each used for one thing."""
    selector, wanted = term.get("labelSelector"), term.get(MATCH) or []
    causes = [
        cause
        for name in (MATCH, MISMATCH)
        for cause in _keys(term.get(name) or [], selector, f"{path}.{name}")
    ]
    used = set((selector or {}).get("matchLabels") or {})
    for requirement in (selector or {}).get("matchExpressions") or ():
        key = requirement.get("key", "")
        if key in used and key in wanted:
            index = len(wanted) - 1 - wanted[::-1].index(key)
            detail = "exists in both matchLabelKeys and labelSelector"
            causes.append(invalid(f"{path}[{index}]", key, detail))
        used.add(key)
    return causes + [
        invalid(f"{path}.{MATCH}[{index}]", key, f"exists in both {MATCH} and {MISMATCH}")
        for index, key in enumerate(wanted)
        if key in (term.get(MISMATCH) or ())
    ]


def _keys(keys: list[str], selector: JsonObject | None, path: str) -> list[Cause]:
    if keys and selector is None:
        return [forbidden(path, "must not be specified when labelSelector is not set")]
    return [
        cause
        for index, key in enumerate(keys)
        for cause in invalid_each(f"{path}[{index}]", key, names.qualified_name(key))
    ]
