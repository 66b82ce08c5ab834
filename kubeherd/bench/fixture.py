"""What a cluster costs a test, from request to three Ready nodes and back: one JSON line.

Usage: python -m kubeherd.bench.fixture [--clusters 5]

`first` is the first cluster of a program, imports included; `next` is the median of those after
it. CPU is that of all processes together, this one included.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

BEGAN_S, BEGAN_CPU_S = time.monotonic(), time.process_time()
"""Before kubeherd is imported: that is part of the first cluster's price."""

import kubeherd  # noqa: E402
from kubeherd.cluster.launcher.directory.rundir import RunDir  # noqa: E402
from kubeherd.cluster.launcher.handle import ClusterHandle  # noqa: E402
from kubeherd.cluster.launcher.processes import warm  # noqa: E402


def cpu_s(pid: int) -> float:
    """User and system time of a process's living threads, in seconds."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def pids(cluster: kubeherd.Cluster) -> Iterator[int]:
    """All processes of a cluster, its supervisor and its fork server."""
    directory = cluster.directory
    state = ClusterHandle(directory, RunDir(directory).load_settings()).state()
    for process in (state.supervisor, state.spawner, *(p.process for p in state.processes)):
        if process is not None:
            yield process.pid


def measure(began_s: float, began_cpu_s: float) -> dict[str, float]:
    """Start a cluster and stop it: wall and CPU seconds."""
    parent = warm.of_this_process()
    parent_cpu_s = cpu_s(parent.pid) if parent.pid else 0.0
    cluster = kubeherd.Cluster(nodes=3, seed=1)
    cluster.start()
    up_s = time.monotonic() - began_s
    own_cpu_s = time.process_time() - began_cpu_s
    total_cpu_s = own_cpu_s + cpu_s(parent.pid) - parent_cpu_s + sum(map(cpu_s, pids(cluster)))
    not_ready = [n for n in cluster.list("Node") if not kubeherd.is_ready(n)]
    if not_ready:
        raise RuntimeError("the cluster was said to be up before its nodes were Ready")
    stop_began_s = time.monotonic()
    cluster.stop()
    return {"wall_s": up_s, "cpu_s": total_cpu_s, "stop_s": time.monotonic() - stop_began_s}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clusters", type=int, default=5, help="after the first one")
    count = parser.parse_args().clusters
    first = measure(BEGAN_S, BEGAN_CPU_S)
    later = [measure(time.monotonic(), time.process_time()) for _ in range(count)]
    following = {name: statistics.median(one[name] for one in later) for name in first}
    print(json.dumps({"first": first, "next": following}))


if __name__ == "__main__":
    main()
