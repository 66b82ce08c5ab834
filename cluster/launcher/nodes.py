"""The node commands of a running cluster: add, kill, stop, start, freeze, thaw, remove.

What changes the cluster's nodes is written to cluster.json before it is carried out. Where an
agent process has several nodes, a command for one of them that acts on the process acts on all:
every command returns the names of the nodes that it touched.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from kubeherd.cluster.launcher import plan
from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.herd import AGENT_GRACE_S, Herd
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.launcher.plan import Phase
from kubeherd.cluster.launcher.processes.supervised import SupervisedProcess
from kubeherd.cluster.launcher.settings import Settings


class NodeCommands:
    """Carries out node commands, one at a time (the caller sees to that)."""

    def __init__(self, rundir: RunDir, settings: Settings, pki: ClusterPki, herd: Herd) -> None:
        self._rundir = rundir
        self._settings = settings
        self._pki = pki
        self._herd = herd

    async def prepare(self) -> None:
        """Make what the agents of all nodes need."""
        await self._ensure_identities(self._settings.node_names)

    def start_all(self) -> None:
        """Start the agents of all nodes."""
        self._herd.start(self._spec(agent) for agent in self._settings.agents())

    async def add(self, names: Sequence[str], count: int) -> list[str]:
        """Add nodes by name, or `count` of them named node-0, node-1, ...; start their agents."""
        added = list(names) or settings_module.next_names(self._settings.node_names, count)
        before = set(self._settings.agents())
        self._save(settings_module.add_nodes(self._settings, added))
        await self._ensure_identities(added)
        self._herd.start(self._spec(a) for a in self._settings.agents() if a not in before)
        return added

    async def kill(self, node: str) -> list[str]:
        """SIGKILL; the process stays dead."""
        process = self._running(node)
        await process.kill()
        return list(process.spec.nodes)

    async def stop(self, node: str) -> list[str]:
        """Graceful end; the process stays down."""
        process = self._running(node)
        await process.stop(AGENT_GRACE_S)
        return list(process.spec.nodes)

    async def start(self, node: str) -> list[str]:
        """Start a killed or stopped process again."""
        agent = self._settings.agent_of(node)
        if self._herd[agent].wanted:
            raise LauncherError(f'node "{node}" is already running')
        self._herd.start([self._spec(agent)])
        return list(self._herd[agent].spec.nodes)

    async def freeze(self, node: str) -> list[str]:
        """SIGSTOP."""
        process = self._running(node)
        if process.phase is Phase.FROZEN:
            raise LauncherError(f'node "{node}" is already frozen')
        process.freeze()
        return list(process.spec.nodes)

    async def thaw(self, node: str) -> list[str]:
        """SIGCONT."""
        process = self._running(node)
        if process.phase is not Phase.FROZEN:
            raise LauncherError(f'node "{node}" is not frozen')
        process.thaw()
        return list(process.spec.nodes)

    async def remove(self, node: str) -> list[str]:
        """Stop the node's process and forget the node.

        Other nodes of the same process go on: it is started again without this one.
        """
        agent = self._settings.agent_of(node)
        was_wanted = self._herd[agent].wanted
        touched = list(self._herd[agent].spec.nodes)
        self._save(settings_module.remove_node(self._settings, node))
        identity = self._rundir.node_kubeconfig(node)
        if agent not in self._settings.agents():
            await self._herd.remove(agent)
            if self._settings.has_fleets:
                identity = self._rundir.fleet_kubeconfig(agent)
        else:
            await self._herd[agent].stop(AGENT_GRACE_S)
            self._herd[agent].spec = self._spec(agent)
            if was_wanted:
                self._herd[agent].start()
        with contextlib.suppress(OSError):
            identity.unlink()
        return touched

    def agents_of(self, nodes: Sequence[str]) -> set[str]:
        """The agent processes that have these nodes."""
        return {self._settings.agent_of(node) for node in nodes}

    async def _ensure_identities(self, nodes: Sequence[str]) -> None:
        if self._settings.has_fleets:
            await asyncio.to_thread(self._pki.ensure_fleets, self.agents_of(nodes))
        else:
            await asyncio.to_thread(self._pki.ensure_nodes, nodes)

    def _spec(self, agent: str) -> plan.ProcessSpec:
        return plan.agent(self._settings, self._rundir, agent)

    def _running(self, node: str) -> SupervisedProcess:
        process = self._herd[self._settings.agent_of(node)]
        if process.child is None:
            raise LauncherError(f'node "{node}" is not running')
        return process

    def _save(self, settings: Settings) -> None:
        self._rundir.save_settings(settings)
        self._settings = settings
