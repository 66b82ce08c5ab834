"""Kill, freeze and restart random nodes and the controller manager while images roll; then check.

An experiment starts a cluster of its own, hurts it for some seconds as the seed says, heals it, and
requires that it converges: `kubeherd.chaos.checker` says what that means.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from kubeherd.chaos.checker import HASH_LABEL, Seen, problems
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CONTROLLERREVISIONS, DAEMONSETS
from kubeherd.cluster.api.objects import ControllerRevision
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.control import Op
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.plan import Phase, Role
from kubeherd.cluster.launcher.view import ClusterView
from kubeherd.cluster.runtime import logging
from kubeherd.cluster.runtime.rng import Rng

NAME, NAMESPACE = "herd", "default"
PAUSE_S = (0.1, 0.8)
HEAL_TIMEOUT_S = 90.0


class Chaos:
    """Hurts a cluster, one random action after the other; every decision comes from the seed."""

    def __init__(self, handle: ClusterHandle, view: ClusterView, rng: Rng) -> None:
        self._handle = handle
        self._view = view
        self._rng = rng
        self._images = 0
        self.actions: dict[str, int] = {}

    async def hurt(self) -> None:
        """One random action that is possible now."""
        phases = {p.name: p.phase for p in self._handle.state().processes if p.role is Role.AGENT}
        up = [name for name, phase in phases.items() if phase is Phase.RUNNING]
        down = [name for name, phase in phases.items() if phase is Phase.DOWN]
        frozen = [name for name, phase in phases.items() if phase is Phase.FROZEN]
        choices: list[tuple[str, Sequence[str]]] = [
            ("kill", up),
            ("crash", up),
            ("freeze", up),
            ("start", down),
            ("start", down),
            ("thaw", frozen),
            ("thaw", frozen),
            ("roll", ("the image",)),
            ("crash", (Role.CONTROLLER_MANAGER,)),
        ]
        action, targets = self._rng.choice([choice for choice in choices if choice[1]])
        target = self._rng.choice(targets)
        self.actions[action] = self.actions.get(action, 0) + 1
        with contextlib.suppress(LauncherError):  # it ended by itself in the meantime
            await self._act(action, target)

    async def heal(self) -> None:
        """Bring every node back."""
        for process in self._handle.state().processes:
            if process.phase is Phase.DOWN:
                await self._act("start", process.name)
            elif process.phase is Phase.FROZEN:
                await self._act("thaw", process.name)
        await self._act("roll", "the image")

    async def _act(self, action: str, target: str) -> None:
        if action == "roll":
            self._images += 1
            container = {"name": "main", "image": f"app:{self._images}"}
            patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
            await self._view.client.patch(DAEMONSETS, NAME, patch, NAMESPACE)
        elif action == "crash":
            await asyncio.to_thread(self._handle.crash, target)
        else:
            await asyncio.to_thread(self._handle.node, Op(f"node-{action}"), target)


async def observe(view: ClusterView, nodes: Sequence[str]) -> Seen | None:
    """The state to check, newest revision included; None while there is no DaemonSet."""
    daemonset = view.daemonset(NAMESPACE, NAME)
    listed = await view.client.list(CONTROLLERREVISIONS, ControllerRevision, NAMESPACE)
    if daemonset is None or not listed.items:
        return None
    newest = max(listed.items, key=lambda revision: revision.revision)
    newest_hash = newest.metadata.labels.get(HASH_LABEL, "")
    return Seen(frozenset(nodes), tuple(view.pods(NAME)), newest_hash, daemonset)


async def converged(view: ClusterView, nodes: Sequence[str], timeout_s: float) -> list[str]:
    """Wait until nothing is wrong; returns what still is after `timeout_s`."""
    wrong = ["nothing was seen"]
    try:
        async with asyncio.timeout(timeout_s):
            while wrong:
                before = view.changes
                seen = await observe(view, nodes)
                wrong = problems(seen) if seen is not None else ["no DaemonSet"]
                if wrong:
                    await view.changed_since(before)
    except TimeoutError:
        pass
    return wrong


async def experiment(handle: ClusterHandle, duration_s: float, rng: Rng) -> list[str]:
    """Hurt a running cluster, heal it, and return what is wrong afterwards."""
    nodes = handle.settings.node_names
    async with handle.view() as view:
        await view.client.create(DAEMONSETS, daemonset())
        if wrong := await converged(view, nodes, HEAL_TIMEOUT_S):
            return wrong
        chaos = Chaos(handle, view, rng)
        loop = asyncio.get_running_loop()
        end_s = loop.time() + duration_s
        while loop.time() < end_s:
            await chaos.hurt()
            await asyncio.sleep(rng.uniform(*PAUSE_S))
        told = ", ".join(f"{name} {count}" for name, count in sorted(chaos.actions.items()))
        click.echo(f"actions: {told}")
        await chaos.heal()
        return await converged(view, nodes, HEAL_TIMEOUT_S)


def daemonset() -> JsonObject:
    """The workload: one container, three old pods replaced at a time."""
    labels = {"app": NAME}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 3}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "app:0"}]},
            },
        },
    }


def run(
    seed: int | None, nodes: int, duration_s: float, speed: float, directory: Path | None
) -> bool:
    """Run one experiment and tell of it; whether the cluster converged."""
    logging.configure("chaos", level="error")
    rng = Rng(seed)
    click.echo(f"seed {rng.root_seed}: {nodes} nodes, {duration_s:g} s")
    with tempfile.TemporaryDirectory(prefix="kubeherd-chaos-") as temporary:
        settings = lifecycle.new_settings(nodes=nodes, speed=speed, seed=rng.root_seed % 2**63)
        with ClusterHandle(directory or Path(temporary) / "herd", settings) as handle:
            wrong = asyncio.run(experiment(handle, duration_s, rng.child("chaos")))
    for line in wrong:
        click.echo(f"violated: {line}", err=True)
    if wrong:
        click.echo(f"replay with --seed {rng.root_seed}", err=True)
        return False
    click.echo("converged: one ready pod of the newest revision on every node, none elsewhere")
    return True
