"""A cluster from Python: start three nodes, kill one, and see when Kubernetes notices.

python examples/watch_a_node_die.py
"""

import asyncio
import tempfile
import time
from pathlib import Path

from kubeherd.cluster.launcher.control import Op
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.lifecycle import new_settings

SPEED = 20.0


async def watch(handle: ClusterHandle) -> None:
    """Kill node-1 and wait until it is NotReady, then until it is back."""
    async with handle.view() as view:
        await view.until(lambda: len(view.ready_nodes()) == 3, "three nodes Ready")
        killed_s = time.monotonic()
        await asyncio.to_thread(handle.node, Op.NODE_KILL, "node-1")
        await view.until(lambda: "node-1" not in view.ready_nodes(), "node-1 NotReady")
        nominal_s = (time.monotonic() - killed_s) * SPEED
        print(f"node-1 went NotReady {nominal_s:.0f} nominal seconds after its death")
        await asyncio.to_thread(handle.node, Op.NODE_START, "node-1")
        await view.until(lambda: "node-1" in view.ready_nodes(), "node-1 Ready again")
        print("node-1 is back")


def main() -> None:
    """Run it on a cluster in a temporary directory."""
    with tempfile.TemporaryDirectory() as temporary:
        settings = new_settings(nodes=3, speed=SPEED)
        with ClusterHandle(Path(temporary) / "herd", settings) as handle:
            asyncio.run(watch(handle))


if __name__ == "__main__":
    main()
