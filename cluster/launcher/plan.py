"""Which processes a cluster consists of, and when a crashed one is started again. Pure.

The order of `processes` is the order of starting; stopping goes the other way.
"""

import enum
from dataclasses import dataclass
from pathlib import Path

from kubeherd.cluster.launcher.rundir import RunDir
from kubeherd.cluster.launcher.settings import Settings
from kubeherd.cluster.runtime.rng import Rng

RESTART_BASE_S = 0.1
RESTART_CAP_S = 10.0
STABLE_AFTER_S = 10.0
"""A process that lived this long has recovered: the next crash starts the back-off anew."""
FAILED_STARTS_LIMIT = 3
"""So many exits before the first readiness fail the start of the cluster."""


class Role(enum.StrEnum):
    """What a process is for."""

    APISERVER = "apiserver"
    CONTROLLER_MANAGER = "controller-manager"
    AGENT = "agent"


class Phase(enum.StrEnum):
    """Where a process is in its life."""

    DOWN = "down"
    STARTING = "starting"
    RUNNING = "running"
    FROZEN = "frozen"
    BACKOFF = "backoff"


@dataclass(frozen=True)
class ProcessSpec:
    """A process that should run: `python -m module args...`."""

    name: str
    role: Role
    module: str
    args: tuple[str, ...]
    log: Path
    nodes: tuple[str, ...] = ()


def processes(settings: Settings, rundir: RunDir) -> list[ProcessSpec]:
    """The processes of a cluster with these settings, in the order of starting."""
    return [
        apiserver(settings, rundir),
        controller_manager(settings, rundir),
        *(agent(settings, rundir, name) for name in settings.agents()),
    ]


def apiserver(settings: Settings, rundir: RunDir) -> ProcessSpec:
    """The API server."""
    place = ("--dir", str(rundir.root), "--port", str(settings.port), "--store", settings.store)
    return ProcessSpec(
        name=Role.APISERVER,
        role=Role.APISERVER,
        module="kubeherd.cluster.apiserver",
        args=(*place, *_common(settings)),
        log=rundir.log(Role.APISERVER),
    )


def controller_manager(settings: Settings, rundir: RunDir) -> ProcessSpec:
    """The controller manager, scheduler included."""
    return ProcessSpec(
        name=Role.CONTROLLER_MANAGER,
        role=Role.CONTROLLER_MANAGER,
        module="kubeherd.controller",
        args=("--kubeconfig", str(rundir.controller_kubeconfig), *_common(settings)),
        log=rundir.log(Role.CONTROLLER_MANAGER),
    )


def agent(settings: Settings, rundir: RunDir, name: str) -> ProcessSpec:
    """The agent process `name` with all its nodes; KeyError if the settings have none."""
    nodes = settings.agents()[name]
    own: tuple[str, ...]
    if settings.has_fleets:
        # No log files: creating and deleting one for each pod costs more than all else of a pod.
        own = ("--fleet-kubeconfig", str(rundir.fleet_kubeconfig(name)))
    else:
        own = (
            *("--kubeconfig-dir", str(rundir.kubeconfigs)),
            *("--pod-log-dir", str(rundir.logs / "pods")),
        )
    named = [word for node in nodes for word in ("--node", node)]
    return ProcessSpec(
        name=name,
        role=Role.AGENT,
        module="kubeherd.agents",
        args=(
            *named,
            *own,
            *_common(settings),
        ),
        log=rundir.log(name),
        nodes=tuple(nodes),
    )


def restart_delay_s(crashes: int, rng: Rng) -> float:
    """Seconds to wait after the `crashes`-th crash in a row: doubling, capped, jittered."""
    base_s: float = RESTART_BASE_S * 2 ** min(crashes - 1, 30)
    return min(RESTART_CAP_S, base_s) * rng.uniform(0.5, 1.0)


def _common(settings: Settings) -> tuple[str, ...]:
    return ("--speed", f"{settings.speed:g}", "--seed", str(settings.seed))
