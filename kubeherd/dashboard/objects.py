"""One object of a cluster, as the page shows it. Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from kubeherd.dashboard.web.answers import Refused
from kubeherd.history import Verb, Write
from kubeherd.history.records import Object
from kubeherd.history.redaction import redacted

_MAX_NAME: Final = 253


class Key(msgspec.Struct, frozen=True):
    """Which object."""

    resource: str
    """As RBAC names it: ``daemonsets.apps``."""
    namespace: str
    name: str


def asked(query: Mapping[str, str]) -> Key:
    """Which object is meant; Refused for what is no name."""
    key = Key(query.get("resource", ""), query.get("namespace", ""), query.get("name", ""))
    if not key.resource or not key.name:
        raise Refused(400, "which object? resource=, namespace= and name=")
    if not all(map(is_name, filter(None, (key.resource, key.namespace, key.name)))):
        raise Refused(400, "that is no name of an object")
    return key


def shown(key: Key, tree: Object) -> Object:
    """An object without who manages its fields, and without the values of a Secret."""
    metadata = {name: value for name, value in tree["metadata"].items() if name != "managedFields"}
    write = Write(
        at=0.0,
        revision=0,
        verb=Verb.UPDATE,
        resource=key.resource,
        name=key.name,
        object={**tree, "metadata": metadata},
    )
    kept = redacted(write)
    return kept.object if isinstance(kept, Write) else {}


def is_name(text: str) -> bool:
    """Whether it can stand in a path, as one part of it."""
    bad = set("/%?#\\") & set(text) or text in ("", ".", "..") or len(text) > _MAX_NAME
    return text.isprintable() and not bad
