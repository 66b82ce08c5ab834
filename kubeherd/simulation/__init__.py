"""A whole cluster in one process on virtual time, with every edge that can fail replaced.

For tests of kubeherd and of other asyncio code that talks to Kubernetes: docs/how-to/simulate.md.
`cluster` puts the real API server, controllers and agents together, `edges` replaces disk, process
and network, `arena` hurts it, `virtualtime` lets the event loop jump to its next timer.
"""

from kubeherd.simulation.arena import SimulatedArena
from kubeherd.simulation.cluster import ADMIN, SimulatedCluster, simulated
from kubeherd.simulation.edges import InProcessTransport
from kubeherd.simulation.virtualtime import VirtualClock, run, virtual

__all__ = [
    "ADMIN",
    "InProcessTransport",
    "SimulatedArena",
    "SimulatedCluster",
    "VirtualClock",
    "run",
    "simulated",
    "virtual",
]
