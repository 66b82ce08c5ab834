"""What the fake container runtime of a node knows of one pod: plain immutable values.

The pod machine takes facts and returns new facts; nobody changes them in place, so that a step
can be repeated, compared and tested. Times that decide something are nominal seconds
(`..._s`); times that are shown are RFC 3339 texts (`..._at`).
"""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from kubeherd.cluster.api.helpers.commands import Program

UNKNOWN_EXIT_CODE = 137
"""The exit code of a container of which nothing is left (spec node-lifecycle 12.4)."""


class Moment(NamedTuple):
    """One instant: nominal seconds for arithmetic, RFC 3339 text for timestamps."""

    s: float
    text: str


class ContainerPhase(StrEnum):
    """Where a fake container is; `ContainerFacts.due_s` says until when."""

    ABSENT = "Absent"
    """No container: nothing happened yet, or the last one is to be replaced."""
    PULLING = "Pulling"
    PULL_FAILED = "PullFailed"
    """Waiting for the next pull."""
    STARTING = "Starting"
    """Created, its process not yet running."""
    RUNNING = "Running"
    EXITED = "Exited"


class WaitingReason(StrEnum):
    """Reasons of a waiting container (spec node-lifecycle 12.4)."""

    CONTAINER_CREATING = "ContainerCreating"
    POD_INITIALIZING = "PodInitializing"
    CRASH_LOOP_BACK_OFF = "CrashLoopBackOff"
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    ERR_IMAGE_PULL = "ErrImagePull"
    ERR_IMAGE_NEVER_PULL = "ErrImageNeverPull"
    INVALID_IMAGE_NAME = "InvalidImageName"


class PodPhase(StrEnum):
    """status.phase."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


TERMINAL = (PodPhase.SUCCEEDED, PodPhase.FAILED)


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """Why a container waits, when it is more than "being created"."""

    reason: WaitingReason
    message: str


class Terminated(msgspec.Struct, frozen=True, gc=False):
    """How a container ended."""

    exit_code: int
    reason: str
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    container_id: str = ""


class Stop(msgspec.Struct, frozen=True, gc=False):
    """A stop in progress: hook until `sigterm_s`, then the signal; ends at `exits_s`."""

    sigterm_s: float
    sigkill_s: float
    exits_s: float
    exit_code: int
    killed: bool
    signalled: bool = False
    restarts: bool = False
    """Whether the kubelet runs the container anew once it has stopped it."""


class Probe(msgspec.Struct, frozen=True, gc=False):
    """What a prober remembers: the standing result, equal contrary results in a row, next run."""

    healthy: bool
    streak: int = 0
    next_s: float | None = None


class ContainerFacts(msgspec.Struct, frozen=True, gc=False):
    """One container. `attempts` counts containers created, so restartCount is `attempts - 1`."""

    phase: ContainerPhase = ContainerPhase.ABSENT
    due_s: float = 0.0
    attempts: int = 0
    container_id: str = ""
    image: str = ""
    started_s: float = 0.0
    started_at: str = ""
    written: int = 0
    """Lines of its plan's output that the running process has written."""
    started: bool = False
    ready: bool = False
    finished_s: float = 0.0
    replaced: bool = False
    """Stopped by the kubelet itself, to be run anew at once: it need not look whether it ended."""
    finished_before_s: float = 0.0
    """`finished_s` of the process before: the newest end that is known to who replaces."""
    waiting: Waiting | None = None
    terminated: Terminated | None = None
    last: Terminated | None = None
    stop: Stop | None = None
    program: Program | None = None
    """What the running process does, where its plan alone does not say."""
    readiness: Probe | None = None
    liveness: Probe | None = None
    startup: Probe | None = None
    pull_began_s: float = 0.0
    pull_backoff_s: float = 0.0
    pull_failed_s: float = 0.0
    backoff_s: float = 0.0
    backoff_bumped_s: float = 0.0

    @property
    def restart_count(self) -> int:
        return max(0, self.attempts - 1)

    @property
    def running(self) -> bool:
        return self.phase is ContainerPhase.RUNNING


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """Why the kubelet refuses or ends a pod: status.reason and the reason's text."""

    reason: str
    message: str


class Ending(msgspec.Struct, frozen=True, gc=False):
    """A kubelet's own decision to end a running pod (spec node-lifecycle 11, 13 and 15)."""

    reason: str
    message: str
    disruption: str
    """The message of the pod's DisruptionTarget condition."""
    grace_s: float | None = None
    """Overrides the pod's own grace period if it is shorter."""
    event: bool = True
    """Whether a Warning Event with the same reason and message tells of it."""


class Transition(msgspec.Struct, frozen=True, gc=False):
    """A condition's status and since when it has it."""

    status: str
    since: str


class PodFacts(msgspec.Struct, frozen=True, gc=False):
    """One pod on one node."""

    uid: str
    start_time: str = ""
    start_s: float = 0.0
    pod_ip: str = ""
    sandbox: bool = False
    sandbox_retry_s: float = 0.0
    unmounted: bool = False
    """Its volumes are not there: nothing is started yet."""
    phase: PodPhase = PodPhase.PENDING
    containers: dict[str, ContainerFacts] = msgspec.field(default_factory=dict)
    transitions: dict[str, Transition] = msgspec.field(default_factory=dict)
    rejection: Rejection | None = None
    disruption: str = ""
    """The message of the DisruptionTarget condition, if the kubelet set one."""
    grace_s: float | None = None
    """The grace period in force since termination began; it only shrinks."""
    final: bool = False
    """Nothing runs any more and the last status is computed (spec node-lifecycle 13, step 7)."""

    @property
    def terminating(self) -> bool:
        return self.grace_s is not None
