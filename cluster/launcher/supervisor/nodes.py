"""Which nodes a running cluster has: add and remove; and what their agent processes are.

What changes the cluster's nodes is written to cluster.json before it is carried out. Every command
returns the names of the nodes that it touched: where an agent process has several nodes, those of
the same process, too. What hurts nodes is in `faults`.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from kubeherd.cluster.launcher import plan
from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.launcher.settings import Settings
from kubeherd.cluster.launcher.supervisor.herd import AGENT_GRACE_S, Herd


class NodeCommands:
    """Adds and removes nodes, one at a time (the caller sees to that)."""

    def __init__(
        self, rundir: RunDir, settings: Settings, pki: ClusterPki | None, herd: Herd
    ) -> None:
        """Without a `pki` the nodes have identities of a cluster that is elsewhere."""
        self._rundir = rundir
        self.settings = settings
        """Those of now."""
        self._pki = pki
        self._herd = herd

    async def prepare(self) -> None:
        """Make what the agents of all nodes need."""
        await self._ensure_identities(self.settings.node_names)

    def start_all(self) -> None:
        """Start the agents of all nodes."""
        self._herd.start(self.spec(agent) for agent in self.settings.agents())

    async def add(self, names: Sequence[str], count: int) -> list[str]:
        """Add nodes by name, or `count` of them named node-0, node-1, ...; start their agents."""
        if self._pki is None:
            raise LauncherError("nodes of another cluster join it: `kubeherd join`")
        added = list(names) or settings_module.next_names(self.settings.node_names, count)
        before = set(self.settings.agents())
        self.save(settings_module.add_nodes(self.settings, added))
        await self._ensure_identities(added)
        self._herd.start(self.spec(a) for a in self.settings.agents() if a not in before)
        return added

    async def remove(self, node: str) -> list[str]:
        """Stop the node's process and forget the node.

        Other nodes of the same process go on: it is started again without this one.
        """
        agent = self.settings.agent_of(node)
        was_wanted = self._herd[agent].wanted
        touched = list(self._herd[agent].spec.nodes)
        self.save(settings_module.remove_node(self.settings, node))
        identity = self._rundir.node_kubeconfig(node)
        if agent not in self.settings.agents():
            await self._herd.remove(agent)
            if self.settings.has_fleets:
                identity = self._rundir.fleet_kubeconfig(agent)
        else:
            await self._herd[agent].stop(AGENT_GRACE_S)
            self._herd[agent].spec = self.spec(agent)
            if was_wanted:
                self._herd[agent].start()
        with contextlib.suppress(OSError):
            identity.unlink()
        return touched

    def sharing(self, nodes: Sequence[str]) -> list[str]:
        """These nodes and all that share a process with one of them; LauncherError: no such."""
        agents = self.settings.agents()
        touched = dict.fromkeys(self.settings.agent_of(node) for node in nodes)
        return [node for agent in touched for node in agents[agent]]

    def agents_of(self, nodes: Sequence[str]) -> set[str]:
        """The agent processes that have these nodes."""
        return {self.settings.agent_of(node) for node in nodes}

    def spec(self, agent: str, *, reboot: bool = False) -> plan.ProcessSpec:
        """The agent process of this name, as it should run now."""
        return plan.agent(self.settings, self._rundir, agent, reboot=reboot)

    async def _ensure_identities(self, nodes: Sequence[str]) -> None:
        if self._pki is None:
            return
        if self.settings.has_fleets:
            await asyncio.to_thread(self._pki.ensure_fleets, self.agents_of(nodes))
        else:
            await asyncio.to_thread(self._pki.ensure_nodes, nodes)

    def save(self, settings: Settings) -> None:
        """Have these from now on."""
        self._rundir.save_settings(settings)
        self.settings = settings
