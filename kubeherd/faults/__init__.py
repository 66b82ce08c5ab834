"""Faults: one vocabulary for all who hurt a cluster and all who tell of it. Pure.

A `Fault` says what is wrong (`effects`), with whom (`targets`), and since when. The commands, the
experiments, the simulation and the history use the same values. Each is carried out at an edge:
process, connection, clock, container runtime or store engine (`carriers`). Imports nothing of
kubeherd, and anybody may import it.
"""

from kubeherd.faults.effects import Effect, FaultKind
from kubeherd.faults.fault import Fault, FaultError
from kubeherd.faults.targets import Clients, Component, Nodes, Target

__all__ = [
    "Clients",
    "Component",
    "Effect",
    "Fault",
    "FaultError",
    "FaultKind",
    "Nodes",
    "Target",
]
