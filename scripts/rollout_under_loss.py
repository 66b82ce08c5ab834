"""Roll a DaemonSet out while API servers and controller managers die: is its budget kept?

    python scripts/rollout_under_loss.py                 500 nodes, two of each, a kill every 5 s
    python scripts/rollout_under_loss.py --nodes 100     smaller
    python scripts/rollout_under_loss.py --seed 7        kill the same ones again

An etcd, two API servers and two controller managers. When all pods run, the image changes, and
when all are new, again, `--rollouts` times; every
`--every` seconds one of the API servers and one of the controller managers is killed with SIGKILL,
drawn by lot, whether it serves or is still starting and whether the other one serves or not, until
the last rollout is over. These are seconds of a machine that has nothing else to do: on a busy one,
where a start takes as much longer, they are stretched, and it is said how much. Then each node must
have one pod, ready and new, and the recorded history must keep the promises that `kubeherd check`
knows of DaemonSets, leaders and objects.

Exit code 1, with what was wrong, if a promise was broken; 2 for wrong usage.
"""

import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

import click
import msgspec
from kills.server import conclude

from kubeherd.checks import checker, registry
from kubeherd.cluster.api.errors import AlreadyExists, ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS
from kubeherd.cluster.client.client import PatchKind
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.settings import (
    APISERVERS,
    CONTROLLER_MANAGERS,
    ClusterOptions,
    Recorded,
    Settings,
    StoreKind,
)
from kubeherd.cluster.launcher.view import ClusterView
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.history.files import merged, read

NAME, NAMESPACE = "agent", "default"
EACH = 2
NODES_PER_AGENT = 100
AGAIN_S = 0.2
BETWEEN_LIVES_S = 0.05
PROBE_CPU_S = 0.2
ROLLED_WITHIN_S = 900.0


def slowness() -> float:
    """How many times longer work takes here now than on a machine that has nothing else to do."""
    began_s, began_cpu_s = time.monotonic(), time.thread_time()
    while (cpu_s := time.thread_time() - began_cpu_s) < PROBE_CPU_S:
        pass
    return max(1.0, (time.monotonic() - began_s) / cpu_s)


class Report(msgspec.Struct):
    """What was done, and what was wrong."""

    nodes: int
    rollouts: int
    every_s: float
    due: int = 0
    """Kills for which the time had come."""
    kills: Counter[str] = msgspec.field(default_factory=Counter)
    starting: int = 0
    """Kills of what did not serve again yet."""
    began_s: float = 0.0
    rolled_s: float = 0.0
    looked_at: Counter[str] = msgspec.field(default_factory=Counter)
    wrong: list[str] = msgspec.field(default_factory=list)

    def __str__(self) -> str:
        kills = ", ".join(f"{number} x {name}" for name, number in sorted(self.kills.items()))
        looks = ", ".join(f"{name} {number}" for name, number in self.looked_at.most_common())
        return (
            f"{self.nodes} nodes: pods everywhere after {self.began_s:.0f} s,"
            f" rolled out {self.rollouts} times in {self.rolled_s:.0f} s\n"
            f"{self.kills.total()} kills of {self.due},"
            f" one of each every {self.every_s:.1f} s:"
            f" {kills} ({self.starting} of them while starting)\nlooks: {looks}"
        )


def settings(nodes: int, seed: int | None) -> Settings:
    """Of the cluster."""
    return lifecycle.new_settings(
        ClusterOptions(
            nodes_per_agent=NODES_PER_AGENT,
            controllers=EACH,
            apiservers=EACH,
            store=StoreKind.ETCD,
            record=Recorded.WRITES,
        ),
        nodes=nodes,
        seed=seed,
    )


def daemonset(unavailable: str) -> JsonObject:
    """With its first image."""
    labels = {"app": NAME}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [_container(1)]}}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable}}
    return {
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": strategy,
            "template": template,
        },
    }


def _container(version: int) -> JsonObject:
    return {"name": "main", "image": f"app:{version}"}


async def roll(view: ClusterView, version: int) -> None:
    """Another image, repeated until it is answered: twice is as good as once."""
    patch = {"spec": {"template": {"spec": {"containers": [_container(version)]}}}}
    while True:
        try:
            await view.client.patch(DAEMONSETS, NAME, patch, NAMESPACE, kind=PatchKind.STRATEGIC)
        except (TransportError, ApiError):
            await asyncio.sleep(AGAIN_S)
        else:
            return


async def create(view: ClusterView, unavailable: str) -> None:
    """The DaemonSet, repeated until it is there."""
    while True:
        try:
            await view.client.create(DAEMONSETS, daemonset(unavailable))
        except AlreadyExists:
            return
        except (TransportError, ApiError):
            await asyncio.sleep(AGAIN_S)


def everywhere(view: ClusterView, nodes: int, version: int) -> bool:
    """Whether every node has one pod, ready, of this version, and the status says so."""
    found = view.daemonset(NAMESPACE, NAME)
    if found is None or found.status.observed_generation != found.metadata.generation:
        return False
    status = found.status
    if not status.updated_number_scheduled == status.number_available == nodes:
        return False
    return not misplaced(view, nodes, version)


def misplaced(view: ClusterView, nodes: int, version: int) -> list[str]:
    """What keeps the pods from being one per node, ready and of this version."""
    pods = view.pods(NAME)
    on = Counter(pod.spec.node_name for pod in pods)
    found = [f"{number} pods on {node}" for node, number in on.items() if number != 1]
    if len(on) != nodes:
        found.append(f"pods on {len(on)} of {nodes} nodes")
    image = _container(version)["image"]
    return found + [
        f"{pod.metadata.name} is not ready, or old"
        for pod in pods
        if not pod.ready or pod.spec.containers[0].image != image
    ]


async def kill_all_the_time(handle: ClusterHandle, rng: Rng, report: Report) -> None:
    """One of each, for ever, at fixed times."""
    next_s = time.monotonic()
    while True:
        next_s += report.every_s
        await asyncio.sleep(next_s - time.monotonic())
        for names in (APISERVERS, CONTROLLER_MANAGERS):
            report.due += 1
            await kill(handle, rng.choice(names[:EACH]), report)


async def kill(handle: ClusterHandle, name: str, report: Report) -> None:
    """Kill a process; one that is just between two lives as soon as the next one begins."""
    while True:
        with contextlib.suppress(LauncherError):
            found = await asyncio.to_thread(handle.process, name)
            await asyncio.to_thread(handle.crash, name)
            report.kills[name] += 1
            report.starting += not found.ready
            return
        await asyncio.sleep(BETWEEN_LIVES_S)


async def rollout(
    handle: ClusterHandle, report: Report, unavailable: str, within_s: float, rng: Rng
) -> None:
    """The rollout, from the first pod to the last."""
    nodes = report.nodes
    began_s = time.monotonic()
    async with handle.view() as view:
        await create(view, unavailable)
        await view.until(lambda: everywhere(view, nodes, 1), "all run", within_s)
        report.began_s = time.monotonic() - began_s
        click.echo(f"pods on {nodes} nodes after {report.began_s:.0f} s", err=True)
        killing = asyncio.create_task(kill_all_the_time(handle, rng, report))
        began_s = time.monotonic()
        try:
            for version in range(2, report.rollouts + 2):
                await roll(view, version)
                new = partial(everywhere, view, nodes, version)
                await view.until(new, f"all of version {version}", within_s)
        except TimeoutError as error:
            report.wrong += [str(error), *misplaced(view, nodes, version)]
        finally:
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
        report.rolled_s = time.monotonic() - began_s


def judge(handle: ClusterHandle, report: Report) -> None:
    """By the history that all servers have recorded together."""
    files = [handle.rundir.history_of(name) for name in APISERVERS[:EACH]]
    verdict = checker.check(merged(*map(read, files)), registry.of_kind(registry.Kind.SAFETY))
    report.looked_at.update({one.name: one.looked_at for one in verdict.checked if one.looked_at})
    report.wrong += [f"{one.promise}: {one.text}" for one in verdict.violations]
    for needed in ("daemonset-one-pod-per-node", "daemonset-budget"):
        if not report.looked_at[needed]:
            report.wrong.append(f"{needed}: nothing of the history says anything of it")


@click.command(help=__doc__ and __doc__.replace("\n    python", "\n\n\b\n    python", 1))
@click.option("--nodes", type=click.IntRange(1), default=500, show_default=True)
@click.option("--every", "every_s", type=click.FloatRange(0.5), default=5.0, show_default=True)
@click.option("--rollouts", type=click.IntRange(1), default=3, show_default=True)
@click.option("--max-unavailable", default="1%", show_default=True)
@click.option("--seed", type=int, help="Draws the same lots.  [default: random]")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Keep the cluster here.")
def main(
    nodes: int,
    every_s: float,
    rollouts: int,
    max_unavailable: str,
    seed: int | None,
    directory: Path | None,
) -> None:
    """See the module."""
    slower = slowness()
    report = Report(nodes, rollouts, every_s * slower)
    chosen = settings(nodes, seed)
    rng = Rng(chosen.seed).child("kills")
    click.echo(f"seed {chosen.seed}; work takes {slower:.1f} times its CPU time here")
    with tempfile.TemporaryDirectory(prefix="kubeherd-rollout-") as temporary:
        with ClusterHandle(directory or Path(temporary) / "herd", chosen) as handle:
            asyncio.run(rollout(handle, report, max_unavailable, ROLLED_WITHIN_S * slower, rng))
        judge(handle, report)
    conclude(report, report.wrong, chosen.seed, "one pod on every node, and the budget was kept")


if __name__ == "__main__":
    main()
