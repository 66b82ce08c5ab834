"""What mutating policies and webhooks share: how a patched object takes the place of the one that
was sent, and who is asked again because somebody else changed it.

Source: Kubernetes v1.36, apiserver/pkg/admission/plugin/webhook/mutating (dispatcher.go,
reinvocationcontext.go), the same in plugin/policy/mutating.
"""

from collections.abc import Hashable

import msgspec

from kubeherd.cluster.api import defaults
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.serializer import decoding
from kubeherd.cluster.apiserver.admission.equivalents import Custom, converted
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest

_OWN = ("creationTimestamp", "uid")
"""What the server gives to an object, and nobody takes away."""


def decoded(resource: Resource, patched: JsonObject) -> list[str]:
    """Decode and default a patched object of a resource, in place; its unknown fields.

    BadRequest if it is none.
    """
    problems = decoding.decode(resource, patched)
    defaults.apply(resource, patched)
    return problems


def replaced(
    request: AdmissionRequest, seen_as: Resource, patched: JsonObject, custom: Custom
) -> bool:
    """Let a patched and decoded object, of the resource as which it was seen, take the place of
    the request's, in place; whether anything changed."""
    tree = request.new or {}
    new = converted(patched, seen_as, request.resource, custom)
    if new == tree:
        return False
    own = {key: tree["metadata"][key] for key in _OWN if key in tree["metadata"]}
    tree.clear()
    tree.update(new)
    tree["metadata"] = {**(tree.get("metadata") or {}), **own}
    return True


class Rounds(msgspec.Struct):
    """What one plugin remembers of the first round of mutation for the second, in which the object
    is shown once more to those that want that and have not seen the last change."""

    is_second: bool = False
    changed: bool = False
    """Whether a second round is needed."""
    _invoked: set[Hashable] = msgspec.field(default_factory=set)
    _due: set[Hashable] = msgspec.field(default_factory=set)
    _last: str = ""

    def begin(self, tree: JsonObject) -> None:
        """A round begins with this object."""
        if self.is_second and repr(tree) != self._last:
            self._require()

    def wants(self, key: Hashable) -> bool:
        """Whether somebody is to be asked in this round."""
        return not self.is_second or key in self._due

    def asked(self, key: Hashable, *, changed: bool, again: bool) -> None:
        """Somebody was asked: whether he `changed` the object, and wants to be asked `again`."""
        if changed:
            self._require()
            self.changed = True
        if again:
            self._invoked.add(key)

    def end(self, tree: JsonObject) -> None:
        """The round is over."""
        self._last = repr(tree)

    def _require(self) -> None:
        self._due |= self._invoked
        self._invoked = set()
