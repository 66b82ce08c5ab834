"""What a history does not show: the values of Secrets. Pure.

A history is kept, sent along with bug reports and judged elsewhere; nobody needs the values for
that. All lines of all files go through here, whoever wrote the record.
"""

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from kubeherd.history.records import Record, Write

REDACTED: Final = "REDACTED"
"""In place of each value; valid base64, so that the object stays one."""

_SECRETS: Final = "secrets"
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""`kubectl apply` keeps a copy of the whole object in it."""


def redacted(record: Record) -> Record:
    """The record without what must stay secret; its keys stay."""
    if not isinstance(record, Write) or record.resource != _SECRETS:
        return record
    tree: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(record.object))
    for part in ("data", "stringData"):
        if tree.get(part):
            tree[part] = dict.fromkeys(tree[part], REDACTED)
    annotations = tree["metadata"].get("annotations") or {}
    if _LAST_APPLIED in annotations:
        annotations[_LAST_APPLIED] = REDACTED
    return replace(record, object=tree)
