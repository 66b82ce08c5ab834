"""One pass of the pod machine: its inputs, and what it collects beside the new facts."""

from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import NamedTuple

import msgspec

from kubeherd.agents.faking.volumefiles import Mount, VolumeKey, left, seen
from kubeherd.agents.pods.facts import Moment
from kubeherd.agents.pods.plans import ContainerPlan
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.api.shell.surroundings import Files

NORMAL = "Normal"
WARNING = "Warning"


HurtPods = Callable[[Pod, list[ContainerPlan]], list[ContainerPlan]]
"""What the containers of a pod do instead, where faults are in force (`agents.faults.pods`)."""


class NodeView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a pod's status shows of its node."""

    name: str
    host_ips: tuple[str, ...]
    pulled_images: Collection[str] = ()
    """Images that had to be pulled before, so that they are present now."""
    volumes: Mapping[VolumeKey, Mapping[str, str]] = {}
    """The files that containers left in volumes."""
    hurt: HurtPods | None = None


class PodEvent(NamedTuple):
    """An Event on the pod; `field_path` names the container it is about."""

    type: str
    reason: str
    message: str
    field_path: str = ""


class LogKind(Enum):
    """What a log is told."""

    NOTE = "note"
    """A word of kubeherd's own, for a container of whose output nothing is known."""
    OUTPUT = "output"
    BEGIN = "begin"
    """The container was restarted: what is there is the log of the one before."""


class LogLine(NamedTuple):
    """A line of a fake container's log, without its newline."""

    container: str
    text: str
    kind: LogKind = LogKind.NOTE


class Pass:
    """Collects events, log lines, pulled images, files and wake-up times while a step runs."""

    __slots__ = ("events", "logs", "node", "now", "pod", "pulled", "wake_s", "written")

    def __init__(self, pod: Pod, node: NodeView, now: Moment) -> None:
        self.pod = pod
        self.node = node
        self.now = now
        self.events: list[PodEvent] = []
        self.logs: list[LogLine] = []
        self.pulled: list[str] = []
        self.written: dict[VolumeKey, dict[str, str]] = {}
        self.wake_s: float | None = None

    def wake(self, at_s: float) -> None:
        """Ask for another step at `at_s`."""
        if self.wake_s is None or at_s < self.wake_s:
            self.wake_s = at_s

    def normal(self, reason: str, message: str, field_path: str = "") -> None:
        self.events.append(PodEvent(NORMAL, reason, message, field_path))

    def warning(self, reason: str, message: str, field_path: str = "") -> None:
        self.events.append(PodEvent(WARNING, reason, message, field_path))

    def log(self, container: str, text: str, kind: LogKind = LogKind.NOTE) -> None:
        self.logs.append(LogLine(container, text, kind))

    def files(self, mounted: tuple[Mount, ...]) -> Files:
        """What is in mounted volumes now."""
        return seen(mounted, {**self.node.volumes, **self.written})

    def leave(self, mounted: tuple[Mount, ...], files: Files) -> None:
        """A container has left these files."""
        self.written.update(left(mounted, files))
