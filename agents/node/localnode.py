"""The node that a kubelet runs on, as it was registered and as the API shows it now."""

from collections.abc import Callable, Mapping

import msgspec

from kubeherd.agents.node.nodestatus import NodeConfig
from kubeherd.agents.node.registration import Registered
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Node


class LocalNode:
    """One node: its configuration, its registration and its Node object."""

    def __init__(
        self,
        config: NodeConfig,
        registered: Registered,
        tree: JsonObject,
        observed: Callable[[], Node | None],
    ) -> None:
        """`tree`: the Node as it was registered; `observed`: as the watch shows it; None before the
        first list, or deleted."""
        self.config = config
        self.registered = registered
        self._observed = observed
        # Seldom read: as bytes it is a quarter of the object, which is a quarter of the tree.
        self._initial = msgspec.json.encode(msgspec.convert(tree, Node))

    @property
    def name(self) -> str:
        """The node's name."""
        return self.config.name

    def current(self) -> Node:
        """The newest Node that was seen; the registered one if none is."""
        return self._observed() or msgspec.json.decode(self._initial, type=Node)

    @property
    def annotations(self) -> Mapping[str, str]:
        """The Node's annotations now."""
        return self.current().metadata.annotations
