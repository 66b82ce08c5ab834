"""The node that a kubelet runs on, as the API shows it now.

Where there is none a kubelet takes one that it makes as for its registration (Kubernetes v1.36,
pkg/kubelet/kubelet_getters.go): so nothing of it is kept.
"""

from collections.abc import Callable, Mapping

import msgspec

from kubeherd.agents.node import nodestatus
from kubeherd.agents.node.nodestatus import NodeConfig
from kubeherd.agents.node.registration import Registered
from kubeherd.cluster.api.helpers import nodestandin
from kubeherd.cluster.api.objects import Node


class LocalNode:
    """One node: its configuration, its registration and its Node object."""

    def __init__(
        self,
        config: NodeConfig,
        registered: Registered,
        observed: Callable[[], Node | None],
    ) -> None:
        """`observed`: the Node as the watch shows it; None before the first list, or deleted."""
        self.config = config
        self.registered = registered
        self._observed = observed

    @property
    def name(self) -> str:
        """The node's name."""
        return self.config.name

    def current(self) -> Node:
        """The newest Node that was seen; one as it would register, if there is none."""
        return self._observed() or self._initial()

    @property
    def annotations(self) -> Mapping[str, str]:
        """The Node's annotations now."""
        return self.current().metadata.annotations

    def _initial(self) -> Node:
        identity = self.registered.identity
        content = nodestandin.shown(
            nodestatus.status_content(self.config, identity, ()), self.config.annotations
        )
        return msgspec.convert(nodestatus.node_object(self.config, identity, content), Node)
