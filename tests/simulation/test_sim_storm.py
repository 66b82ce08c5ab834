"""Bad weather from a seed: lost answers, crashes at commits, two managers, nodes that come and go.

While it rages nothing may run twice; when it is over, everything must be as it should.
"""

import asyncio
import os
from typing import Any

import pytest
from structlog.testing import capture_logs
from weather import FragileDisk, Weather

from kubeherd.checks import registry
from kubeherd.checks.checker import Watcher
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.kinds import DAEMONSETS, NODES, PODS
from kubeherd.cluster.api.objects import DaemonSet
from kubeherd.cluster.client.client import PatchKind
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.history import Record
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import SimulatedCluster, daemonset_tree, rolled_out

SEEDS = range(int(os.environ.get("KUBEHERD_SIM_SEEDS", "3")))
STEPS = 35
MANAGERS = ("controller-manager-a", "controller-manager-b")
NAMES = [f"node-{number}" for number in range(4)]
PAUSES_S = (0.0, 0.0007, 0.003, 0.01, 0.3, 2.0, 20.0)
PROMISES = (
    "names-and-uids-never-come-back",
    "revisions-and-generations-grow",
    "finalizers-respected",
    "only-the-leader-writes",
    "ended-pods-stay-ended",
    "daemonset-one-pod-per-node",
    "daemon-pods-are-not-evicted-for-silence",
)
SURPRISES = {"reconcile_crashed", "scheduling_crashed", "controller_crashed", "request_failed"}


class Storm:
    """One cluster in bad weather; the seed decides everything."""

    def __init__(self, seed: int) -> None:
        chance = Rng(seed)
        self.chance = chance.child("storm")
        self.disk = FragileDisk(chance.child("disk"))
        self.weather = Weather(chance.child("weather"), calm="admin")
        self.cluster = SimulatedCluster(seed, disk=self.disk, network=self.weather, record=True)
        self.watcher = Watcher(registry.named(*PROMISES))
        self.disk.on_crash = self._crash
        self.crashes: list[asyncio.Task[None]] = []
        self.story: list[str] = []

    def _crash(self) -> None:
        self.say("crashed at a commit")
        crash = self.cluster.crash_apiserver()
        self.crashes.append(asyncio.ensure_future(crash))

    def say(self, what: str) -> None:
        self.story.append(f"{self.cluster.now_s:.3f} {what}")

    def _see(self, record: Record) -> None:
        self.watcher.see(record)

    async def begin(self) -> None:
        cluster = self.cluster
        cluster.start_apiserver()
        for name in MANAGERS:
            cluster.start_manager(name=name)
        for name in NAMES:
            cluster.start_node(name)
        await cluster.until_ready(*NAMES)
        cluster.follow(self._see)
        tree = daemonset_tree(
            updateStrategy={"rollingUpdate": {"maxUnavailable": self.chance.choice([1, "60%"])}},
            annotations={"kubeherd.io/ready-delay-seconds": "0.5"},
        )
        await cluster.admin.create(DAEMONSETS, tree, "default")

    async def strike(self) -> None:
        """One random fault, repair or change."""
        cluster, chance = self.cluster, self.chance
        name = chance.choice([*MANAGERS, "apiserver", "apiserver", *NAMES])
        if not cluster.processes[name].alive:
            cluster.start(name)
            self.say(f"start {name}")
            return
        acts = [self.fault, self.fault, self.repair, self.change, self.change]
        self.say(await chance.choice(acts)(name))

    async def fault(self, name: str) -> str:
        chance, now_s = self.chance, self.cluster.now_s
        match chance.choice(["kill", "kill", "cut", "commit", "loss", "slow", "freeze", "full"]):
            case "kill":
                await self.cluster.kill(name)
                return f"kill {name}"
            case "cut":
                self.cluster.partition(name)
                return f"cut {name}"
            case "commit":
                self.disk.commits_until_crash = chance.randrange(1, 12)
                return f"crash at commit {self.disk.commits_until_crash}"
            case "loss":
                self.weather.loss = chance.choice([0.02, 0.1, 0.3])
                return f"loss {self.weather.loss}"
            case "slow":
                self.weather.slowness = chance.choice([10.0, 100.0])
                return f"slow {self.weather.slowness}"
            case "freeze":
                self.weather.frozen_until_s = now_s + chance.choice([1, 5, 20, 60])
                return f"frozen until {self.weather.frozen_until_s:.1f}"
            case _:
                self.disk.full_until_s = now_s + chance.choice([0.01, 1, 10])
                return f"disk full until {self.disk.full_until_s:.1f}"

    async def repair(self, _name: str) -> str:
        self.cluster.heal()
        self.weather.clear()
        return "repair"

    async def change(self, _name: str) -> str:
        admin, chance, node = self.cluster.admin, self.chance, self.chance.choice(NAMES)
        what = chance.choice(["roll", "roll", "delete pod", "delete node", "cordon", "uncordon"])
        try:
            match what:
                case "roll":
                    await self.patch_daemonset(image_patch(f"agent:{chance.randrange(1, 5)}"))
                case "delete pod":
                    pods = await self.cluster.pods()
                    if pods:
                        name = chance.choice(pods).metadata.name
                        await admin.delete(PODS, name, "default")
                case "delete node":
                    await admin.delete(NODES, node)
                case _:
                    await self.patch_node(node, {"unschedulable": what == "cordon" or None})
        except (ApiError, TransportError) as error:
            return f"{what} {node}: {error}"
        return f"{what} {node}"

    async def patch_daemonset(self, patch: dict[str, Any]) -> None:
        await self.cluster.admin.patch(DAEMONSETS, "agent", patch, "default")

    async def patch_node(self, name: str, spec: dict[str, Any]) -> None:
        await self.cluster.admin.patch(NODES, name, {"spec": spec}, kind=PatchKind.MERGE)

    async def clear(self) -> None:
        """The weather is fine, everything runs, and every node is there again."""
        cluster = self.cluster
        cluster.heal()
        self.weather.clear()
        self.disk.full_until_s = self.disk.commits_until_crash = 0
        await cluster.clock.sleep(0.1)  # a crash at a commit that has begun still comes
        for name, process in list(cluster.processes.items()):
            if not process.alive:
                cluster.start(name)

        async def nodes_are_back() -> bool:
            there = await cluster.nodes()
            for name in NAMES:
                if name not in there:  # a kubelet registers only when it starts
                    await cluster.kill(name)
                    cluster.start(name)
            return len(there) == len(NAMES)

        await cluster.until(nodes_are_back, within_s=120, step_s=5)

    async def as_it_should_be(self) -> bool:
        cluster = self.cluster
        daemonset: DaemonSet = await cluster.daemonset("agent")
        image = daemonset.spec.template["spec"]["containers"][0]["image"]
        pods = await cluster.pods()
        return (
            rolled_out(daemonset)
            and sorted(p.spec.node_name for p in pods) == sorted(await cluster.nodes()) == NAMES
            and all(p.ready and p.spec.containers[0].image == image for p in pods)
            and not any(p.metadata.deletion_timestamp for p in pods)
        )

    async def run(self) -> None:
        cluster = self.cluster
        try:
            await self.begin()
            for _ in range(STEPS):
                await self.strike()
                await cluster.clock.sleep(self.chance.choice(PAUSES_S))
            self.say("clear")
            await self.clear()
            await cluster.until(self.as_it_should_be, within_s=500, what="all is well", step_s=1)
            before = {pod.metadata.uid for pod in await cluster.pods()}
            await cluster.clock.sleep(60)
            assert {pod.metadata.uid for pod in await cluster.pods()} == before
        finally:
            for name in reversed(list(cluster.processes)):
                await cluster.kill(name)


def image_patch(image: str) -> dict[str, Any]:
    containers = [{"name": "main", "image": image}]
    return {"spec": {"template": {"spec": {"containers": containers}}}}


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_runs_twice_and_all_is_well_after_the_storm(seed: int) -> None:
    storm = Storm(seed)
    with capture_logs() as logs:
        try:
            virtualtime.run(storm.run())
            verdict = storm.watcher.verdict
            assert not verdict.violations
            assert not verdict.unchecked
            assert not [entry for entry in logs if entry["event"] in SURPRISES]
        except AssertionError as error:
            error.add_note("\n".join([f"seed {seed}:", *storm.story]))
            raise
