"""Who is hurt: nodes, a process of the control plane, or clients by their identity."""

from fnmatch import fnmatchcase
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=253)]
Pattern: TypeAlias = Annotated[str, Meta(max_length=512)]

MAX_NODES = 10_000

ZONE: Final = "topology.kubernetes.io/zone"
"""The label by which nodes are chosen by zone."""

ADMIN_USER: Final = "kubernetes-admin"
CHAOS_AGENT: Final = "kubeherd-chaos"
"""The administrator whose User-Agent begins so is the client of an experiment: no fault hurts it,
unless one of `Clients` names this User-Agent."""
COMMAND: Final = "command"
"""The component that is a user's program in an experiment: no process of ours, but the API server
knows it."""
COMMAND_USER: Final = "kubeherd:command"
"""The user that it is to the API server."""


class Nodes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="nodes"):
    """Nodes by name: who chooses by label, zone or percent has chosen when the fault begins."""

    names: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=MAX_NODES)]

    def __str__(self) -> str:
        if len(self.names) > 4:
            return f"{len(self.names)} nodes ({', '.join(self.names[:3])}, ...)"
        return ", ".join(self.names)


class Component(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="component"):
    """A process of the control plane: ``apiserver``, ``controller-manager``, and by number if there
    are several, ``controller-manager-2``; or ``command``, a user's program in an experiment."""

    name: Name

    def __str__(self) -> str:
        return self.name


class Clients(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="clients"):
    """Clients of the API by identity; patterns as in a shell (``*``, ``?``), all of which must
    match; "" matches anybody."""

    user: Pattern = ""
    """The user name, ``system:serviceaccount:shop:operator``: that of a certificate or a token."""
    user_agent: Pattern = ""
    certificate: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""
    """The SHA-256 of a client certificate, in hexadecimal."""

    def match(self, *, user: str, user_agent: str, certificate: str = "") -> bool:
        """Whether a client is one of these."""
        return (
            (not self.user or fnmatchcase(user, self.user))
            and (not self.user_agent or fnmatchcase(user_agent, self.user_agent))
            and self.certificate in ("", certificate)
        )

    def __str__(self) -> str:
        facts = (("user", self.user), ("agent", self.user_agent), ("cert", self.certificate[:12]))
        return " ".join(f"{name}={value}" for name, value in facts if value) or "all clients"


Target: TypeAlias = Nodes | Component | Clients
