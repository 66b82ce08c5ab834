"""The fence around a leader's writes: the term of a Lease under which a request was sent. Pure.

A leader that hung for longer than its Lease lasts may wake with writes under way, and write more
before it notices that another one leads. A write that carries ``Kubeherd-Fence:
<namespace>/<lease>/<holderIdentity>/<leaseTransitions>`` is stored only while the Lease has this
holder for this time. A private header: other API servers ignore it.
"""

from typing import Final

import msgspec

from kubeherd.cluster.api.memo import remembered

HEADER: Final = "Kubeherd-Fence"
KEY: Final = HEADER.lower()
"""The header as servers look it up."""


class Term(msgspec.Struct, frozen=True):
    """One holder's time with a Lease: between two of them the count of transitions grows."""

    namespace: str
    lease: str
    holder: str
    transitions: int

    def header(self) -> str:
        """The header's value."""
        return f"{self.namespace}/{self.lease}/{self.holder}/{self.transitions}"


@remembered(entries=16, longest=256)
def parse(header: str) -> Term:
    """The reverse of `Term.header`; ValueError if it is none. A holder's name may have slashes. All
    that a leader writes has the same one."""
    place, _, transitions = header.rpartition("/")
    namespace, lease, holder = place.split("/", 2)
    if not (namespace and lease and holder and transitions.isascii() and transitions.isdigit()):
        raise ValueError(header)
    return Term(namespace, lease, holder, int(transitions))
