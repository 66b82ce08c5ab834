"""What the parts of a node work with: other pieces while the node is hurt.

A node that is hurt has a client, a clock or heartbeats that misbehave (`agents.faults`). They are
exchanged as a whole, while the node runs, and put back when it is healed; so that nothing stands in
the way of a node to which nothing is done.
"""

from collections.abc import Awaitable, Callable

import msgspec

from kubeherd.agents.pods.sync import HurtPods
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.runtime.clock import Clock

Hindrance = Callable[[], Awaitable[bool]]
"""Asked before each heartbeat: waits while it is late; whether it is left out."""


class Equipment(msgspec.Struct, frozen=True, kw_only=True):
    """One node's."""

    client: ApiClient
    clock: Clock
    hindrance: Hindrance | None = None
    hurt_pods: HurtPods | None = None
    frozen: bool = False
    """Nothing happens by itself: no time passes for its pods."""
