"""Kill, freeze and restart random nodes and the controller manager while images roll; then check.

    python scripts/chaos_nodes.py --seed 7 --nodes 8 --duration 30

Starts a cluster of its own, hurts it for `--duration` seconds as the seed says, heals it, and
requires that it converges: exactly one ready pod of the newest revision on every node, none
elsewhere. Exit code 1, with what was wrong, if it does not. The checker (`problems`) is pure.
"""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CONTROLLERREVISIONS, DAEMONSETS
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet, Pod
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.control import Op
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.plan import Phase, Role
from kubeherd.cluster.launcher.view import ClusterView
from kubeherd.cluster.runtime import logging
from kubeherd.cluster.runtime.rng import Rng

NAME, NAMESPACE = "herd", "default"
HASH_LABEL = "controller-revision-hash"
PAUSE_S = (0.1, 0.8)
HEAL_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class Seen:
    """What the checker looks at: the state of a cluster that has had time to heal."""

    nodes: frozenset[str]
    pods: tuple[Pod, ...]
    newest_hash: str
    daemonset: DaemonSet


def problems(seen: Seen) -> list[str]:
    """What violates: exactly one ready pod of the newest revision on every node, none elsewhere."""
    by_node: dict[str, list[Pod]] = {}
    for pod in seen.pods:
        by_node.setdefault(pod.spec.node_name, []).append(pod)
    found = [f"{node}: no pod" for node in sorted(seen.nodes - by_node.keys())]
    for node in sorted(by_node.keys() - seen.nodes):
        names = ", ".join(pod.metadata.name for pod in by_node[node])
        found.append(f"{node or 'no node'}: {names}, but there is no such node")
    for node, pods in sorted(by_node.items()):
        if len(pods) > 1:
            found.append(f"{node}: {len(pods)} pods")
        for pod in pods:
            found += [f"{node}: {pod.metadata.name} {what}" for what in _wrong_with(pod, seen)]
    return found + _wrong_status(seen)


def _wrong_with(pod: Pod, seen: Seen) -> list[str]:
    wrong = []
    if pod.metadata.deletion_timestamp is not None:
        wrong.append("is being deleted")
    if not pod.ready:
        wrong.append("is not ready")
    if pod.metadata.labels.get(HASH_LABEL) != seen.newest_hash:
        wrong.append("is of an old revision")
    return wrong


def _wrong_status(seen: Seen) -> list[str]:
    status, generation = seen.daemonset.status, seen.daemonset.metadata.generation
    if status.observed_generation != generation:
        return [f"status is of generation {status.observed_generation}, not {generation}"]
    wanted = len(seen.nodes)
    counts = {
        "desiredNumberScheduled": status.desired_number_scheduled,
        "currentNumberScheduled": status.current_number_scheduled,
        "updatedNumberScheduled": status.updated_number_scheduled,
        "numberReady": status.number_ready,
        "numberAvailable": status.number_available,
    }
    return [f"status.{name} is {n}, not {wanted}" for name, n in counts.items() if n != wanted]


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


@click.command()
@click.option("--seed", type=int, help="Replays the same decisions.  [default: random]")
@click.option("--nodes", type=click.IntRange(1), default=6, show_default=True)
@click.option("--duration", "duration_s", type=float, default=20.0, show_default=True)
@click.option("--speed", type=click.FloatRange(0.001), default=20.0, show_default=True)
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), help="Keep the cluster's files."
)
def main(
    seed: int | None, nodes: int, duration_s: float, speed: float, directory: Path | None
) -> None:
    """Run one experiment; exit code 1 if the cluster does not converge."""
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
        sys.exit(1)
    click.echo("converged: one ready pod of the newest revision on every node, none elsewhere")


if __name__ == "__main__":
    main()
