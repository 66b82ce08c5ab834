"""The question that an authorizer answers, and its answer."""

from dataclasses import dataclass

from kubeherd.cluster.apiserver.edge.messages import User


@dataclass(frozen=True, slots=True)
class Attributes:
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
    field_selector: str = ""

    @property
    def resource_path(self) -> str:
        """``pods`` or ``pods/status``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` says why: shown to the user after a refusal, and by access reviews."""

    allowed: bool
    reason: str = ""


def refusal_text(attributes: Attributes, reason: str) -> str:
    """``User "u" cannot get resource "pods" in API group "" in the namespace "x"[: reason]``."""
    text = (
        f'User "{attributes.user.name}" cannot {attributes.verb} resource '
        f'"{attributes.resource_path}" in API group "{attributes.group}"'
    )
    if attributes.namespace:
        text += f' in the namespace "{attributes.namespace}"'
    else:
        text += " at the cluster scope"
    return f"{text}: {reason}" if reason else text
