"""How the rows of `kubeherd bench` are measured and written: clusters, memory, processor time."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.settings import ClusterOptions

CONTROL_PLANE: Final = (Role.APISERVER, Role.CONTROLLER_MANAGER)


@dataclass(frozen=True)
class Row:
    """One number; `smaller` says in which direction it should go."""

    row: str
    value: float
    unit: str
    budget: float
    smaller: bool = True
    detail: JsonObject = field(default_factory=dict)

    def line(self) -> str:
        """The JSON line."""
        ok = self.value <= self.budget if self.smaller else self.value >= self.budget
        return json.dumps(
            {
                "row": self.row,
                "value": round(self.value, 3),
                "unit": self.unit,
                "budget": self.budget,
                "ok": ok,
                **self.detail,
            }
        )


@contextmanager
def cluster(*, nodes: int, nodes_per_agent: int = 1, up: bool = True) -> Iterator[ClusterHandle]:
    """A cluster in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="kubeherd-bench-") as temporary:
        settings = lifecycle.new_settings(
            ClusterOptions(nodes_per_agent=nodes_per_agent), nodes=nodes, seed=1
        )
        handle = ClusterHandle(Path(temporary) / "herd", settings)
        try:
            if up:
                handle.up()
            yield handle
        finally:
            handle.down()


def memory_mb(handle: ClusterHandle, *roles: Role) -> float:
    """Proportional set size of all processes with these roles."""
    return sum(map(pss_mb, _pids(handle, *roles)))


def pss_mb(pid: int) -> float:
    """Proportional set size of one process."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(ln.split()[1]) for ln in rollup.splitlines() if ln.startswith("Pss:")) / 1024


def cpu_seconds(handle: ClusterHandle, *roles: Role) -> float:
    """User and system time that all processes with these roles have used so far."""
    return sum(time.clock_gettime(_cpu_clock(pid)) for pid in _pids(handle, *roles))


def _cpu_clock(pid: int) -> int:
    """The clock of a process' CPU time, in nanoseconds, as clock_getcpuclockid(3) has it: /proc
    counts in hundredths of a second, which is more than little work takes."""
    return (~pid << 3) | 2


def _pids(handle: ClusterHandle, *roles: Role) -> list[int]:
    processes = handle.state().processes
    return [p.process.pid for p in processes if p.role in roles and p.process is not None]


def daemonset() -> JsonObject:
    """The DaemonSet ``bench``: all of its pods may be unavailable at once."""
    labels = {"app": "bench"}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "bench", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "100%"},
            },
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "main", "image": "b:1"}],
                },
            },
        },
    }
