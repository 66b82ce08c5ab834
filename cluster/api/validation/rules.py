"""What a module of this package says about its kinds."""

from collections.abc import Callable, Mapping

import msgspec

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject

Create = Callable[[JsonObject], list[Cause]]
Update = Callable[[JsonObject, JsonObject], list[Cause]]


class Rules(msgspec.Struct, frozen=True):
    """The rules of a kind beyond its metadata.

    Without `update` an update follows the rules of `create`; a subresource that is not listed
    (``status`` of most kinds) has no rules but those of metadata.
    """

    create: Create
    update: Update | None = None
    subresources: Mapping[str, Update] = msgspec.field(default_factory=dict)
