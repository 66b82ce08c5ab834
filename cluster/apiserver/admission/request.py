"""What an admission plugin sees of a write."""

from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

import msgspec

from kubeherd.cluster.api.errors import Forbidden, forbidden
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.edge.messages import User
from kubeherd.cluster.apiserver.read.lookup import Lookup


class Operation(Enum):
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"

    __hash__ = object.__hash__  # there is one of each; an Enum's own is slow, and asked per write


def target(resource: Resource, subresource: str) -> str:
    """``pods`` or ``pods/status``: what is written, as `chain` has its plugins."""
    key = resource.group_resource
    return f"{key}/{subresource}" if subresource else key


class AdmissionRequest(msgspec.Struct):
    """One write. `new` is None for a delete, `old` for a create; mutating plugins change `new` in
    place."""

    operation: Operation
    resource: Resource
    namespace: str
    name: str
    user: User
    subresource: str = ""
    new: JsonObject | None = None
    old: JsonObject | None = None
    dry_run: bool = False
    warnings: list[str] = msgspec.field(default_factory=list)
    """What the answer is to warn of."""
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    """What the audit log is to say of the write."""
    kind: tuple[str, str, str] | None = None
    """Group, version and kind of what is in `new` where that is no object of the resource, but what
    a subresource takes."""

    @property
    def target(self) -> str:
        """``pods`` or ``pods/status``: what a plugin compares with."""
        return target(self.resource, self.subresource)

    def forbidden(self, why: str) -> Forbidden:
        """403 naming the object, or as what it begins while its name is not generated yet."""
        meta = (self.new or {}).get("metadata") or {}
        return forbidden(self.resource, self.name or meta.get("generateName") or "Unknown", why)


Plugin: TypeAlias = Callable[[AdmissionRequest, Lookup], None]
