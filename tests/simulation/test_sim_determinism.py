"""Same seed, same history, byte for byte; another seed, another one."""

import subprocess
import sys

from kubeherd.cluster.api.kinds import DAEMONSETS, PODS
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import daemonset_tree, pod_tree, simulated
from kubeherd.simulation.weather import FragileDisk, Weather


async def scenario(seed: int) -> str:
    """Roll an image while a node dies, the API server crashes and the manager crashes."""
    async with simulated(seed, nodes=4) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.admin.create(PODS, pod_tree("plain"), "default")
        await cluster.until_rolled_out("agent")
        await cluster.kill("node-1")
        template = {
            "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "b:2"}]}}}
        }
        await cluster.admin.patch(DAEMONSETS, "agent", template, "default")
        await cluster.clock.sleep(0.013)
        await cluster.kill("apiserver")
        await cluster.clock.sleep(3)
        cluster.start("apiserver")
        await cluster.clock.sleep(70)
        await cluster.kill("controller-manager")
        cluster.start("controller-manager")
        cluster.start("node-1")
        await cluster.until_rolled_out("agent")
        await cluster.clock.sleep(400)
        return cluster.digest()


async def rough(seed: int) -> str:
    """Everything that is off at once: weather, two managers, frozen components, a wrong clock."""
    chance = Rng(seed)
    disk, weather = FragileDisk(chance.child("disk")), Weather(chance.child("weather"), "admin")
    async with simulated(
        seed, nodes=3, managers=2, disk=disk, network=weather, max_history_events=200
    ) as cluster:
        cluster.skew("node-0", -300, drift=0.01)
        weather.loss, weather.slowness = 0.1, 10.0
        tree = daemonset_tree(updateStrategy={"rollingUpdate": {"maxUnavailable": "60%"}})
        await cluster.admin.create(DAEMONSETS, tree, "default")
        for name in ("node-1", "controller-manager", "apiserver", "node-2"):
            cluster.freeze(name)
            await cluster.clock.sleep(chance.choice([0.3, 17.0, 60.0]))
            cluster.thaw(name)
            containers = [{"name": "main", "image": f"agent:{name}"}]
            template = {"spec": {"template": {"spec": {"containers": containers}}}}
            await cluster.admin.patch(DAEMONSETS, "agent", template, "default")
            await cluster.clock.sleep(0.05)
            await cluster.kill(name)
            cluster.start(name)
        weather.clear()
        await cluster.until_rolled_out("agent", within_s=400)
        return cluster.digest()


def test_the_same_seed_gives_the_same_history() -> None:
    first = virtualtime.run(scenario(7))
    assert virtualtime.run(scenario(7)) == first
    assert virtualtime.run(scenario(8)) != first


def test_the_history_does_not_depend_on_the_process() -> None:
    """Hash randomisation and memory addresses differ from process to process, and the second
    cluster of a process finds what the first has left: caches, warm tables."""
    code = (
        "import sys; sys.path[:0] = ['tests/simulation']\n"
        "from kubeherd.simulation import virtualtime; import test_sim_determinism as t\n"
        "told = {n: virtualtime.run(getattr(t, n)(7)) for n in sys.argv[1:]}\n"
        "print(*sorted(told.values()))"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code, *order],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        .stdout.strip()
        .splitlines()[-1]
        for seed, order in (("1", ("scenario", "rough")), ("2", ("rough", "scenario")))
    }
    assert len(digests) == 1
    assert len(digests.pop().split()) == 2
