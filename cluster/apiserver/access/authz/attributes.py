"""The question that an authorizer answers, and its answer."""

import msgspec

from kubeherd.cluster.api.errors import Forbidden
from kubeherd.cluster.api.fields import EVERYTHING, FieldSelector
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.apiserver.edge.messages import User


class Attributes(msgspec.Struct, frozen=True):
    """One action. For a resource `path` is empty; for a path (``/version``) `resource` is empty."""

    user: User
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: FieldSelector = EVERYTHING

    @property
    def resource_path(self) -> str:
        """``pods`` or ``pods/status``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Decision(msgspec.Struct, frozen=True):
    """`reason` says why: shown to the user after a refusal, and by access reviews."""

    allowed: bool
    reason: str = ""


def refusal(attributes: Attributes, reason: str) -> Forbidden:
    """403: ``pods "x" is forbidden: User "u" cannot get resource "pods" in API group "" in the
    namespace "n"[: reason]`` (apiserver/pkg/endpoints/handlers/responsewriters/errors.go)."""
    text = _text(attributes).translate(_NO_HTML)
    if reason:
        text += f": {reason}"
    resource, group, name = attributes.resource, attributes.group, attributes.name
    if not resource:
        return Forbidden(f"forbidden: {text}", details={})
    subject = f"{resource}.{group}" if group else resource
    if name:
        subject += f" {quoted(name)}"
    details = {"name": name, "group": group, "kind": resource}
    return Forbidden(
        f"{subject} is forbidden: {text}",
        details={key: value for key, value in details.items() if value},
    )


_NO_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""A refusal shows what a stranger sent; it must not look like HTML."""


def _text(attributes: Attributes) -> str:
    who = f"User {quoted(attributes.user.name)} cannot {attributes.verb}"
    if not attributes.resource:
        return f"{who} path {quoted(attributes.path)}"
    what = f"{who} resource {quoted(attributes.resource_path)} in API group"
    if attributes.namespace:
        return f"{what} {quoted(attributes.group)} in the namespace {quoted(attributes.namespace)}"
    return f"{what} {quoted(attributes.group)} at the cluster scope"
