"""How long one DaemonSet plan takes with all pods present, on a placement made anew and on one that
is kept: one JSON line.

Usage: python scripts/bench_plan.py [--nodes 1000] [--repeat 50]
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from daemonset_world import World, daemonset, node, placement

from kubeherd.cluster.api.objects import Node


def _settled(count: int) -> World:
    """A DaemonSet with an available pod on each of `count` nodes."""
    world = World(daemonset(), [_node(index) for index in range(count)])
    hash_ = world.hash
    for found in world.nodes:
        world.add(found.metadata.name, hash_, ready=True)
    world.settle()
    return world


def _node(index: int) -> Node:
    made = node(f"node-{index:05d}", labels={"kubernetes.io/hostname": f"node-{index:05d}"})
    metadata = msgspec.structs.replace(made.metadata, resource_version=str(index + 1))
    return msgspec.structs.replace(made, metadata=metadata)


def _median_ms(act: Callable[[], object], repeat: int) -> float:
    times_s = []
    for _ in range(repeat):
        started_s = time.perf_counter()
        act()
        times_s.append(time.perf_counter() - started_s)
    return round(statistics.median(times_s) * 1000, 3)


def _measured(world: World, repeat: int) -> dict[str, float]:
    kept = placement(world.ds, world.nodes, world.pods.values())
    return {
        "anew_median_ms": _median_ms(world.plan, repeat),
        "kept_median_ms": _median_ms(lambda: world.plan_on(kept), repeat),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=50)
    arguments = parser.parse_args()
    world = _settled(arguments.nodes)
    idle = _measured(world, arguments.repeat)
    world.update("img:2")
    updating = _measured(world, arguments.repeat)
    result = {
        "benchmark": "daemonset_plan",
        "nodes": arguments.nodes,
        "idle": idle,
        "updating": updating,
        "budget_ms": 20,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
