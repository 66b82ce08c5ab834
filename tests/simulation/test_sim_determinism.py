"""Same seed, same history, byte for byte; another seed, another one."""

import subprocess
import sys
from pathlib import Path

from kubeherd.cluster.api.kinds import DAEMONSETS, PODS
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import daemonset_tree, pod_tree, simulated


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


def test_the_same_seed_gives_the_same_history() -> None:
    first = virtualtime.run(scenario(7))
    assert virtualtime.run(scenario(7)) == first
    assert virtualtime.run(scenario(8)) != first


def test_how_often_others_are_started_does_not_change_the_chance_of_a_component() -> None:
    """Else a failure would not come back when one of its crashes is left out."""

    async def identities(restarts: int) -> str:
        async with simulated(7, nodes=1) as cluster:
            for _ in range(restarts):
                await cluster.kill("node-0")
                cluster.start("node-0")
            await cluster.kill("controller-manager")
            cluster.start("controller-manager")
            await cluster.clock.sleep(1)
            return cluster.identities["controller-manager"]

    assert virtualtime.run(identities(0)) == virtualtime.run(identities(2))


def test_the_history_does_not_depend_on_the_process(tmp_path: Path) -> None:
    """Hash randomisation and memory addresses differ from process to process, and the second
    cluster of a process finds what the first has left: caches, warm tables."""
    histories = []
    for hash_seed, seeds in (("1", "7"), ("2", "6..7")):
        subprocess.run(
            [sys.executable, "-m", "kubeherd", "chaos", "run", "storm", "--simulate",
             "--seeds", seeds, "--record", str(tmp_path / "history.jsonl")],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        )  # fmt: skip
        name = "history.jsonl" if seeds == "7" else "history-storm-7.jsonl"
        histories.append((tmp_path / name).read_bytes())
    assert len(histories[0]) > 100_000
    assert histories[0] == histories[1]
