"""What can be wrong: a struct per kind of fault, whose fields are its parameters.

Times are nominal seconds, as everywhere in a cluster: `--speed` divides them. A probability is that
of each request (or commit, or renewal) to be hit. The tag `kind` names the struct in JSON and YAML:
``{"kind": "partition", "direction": "answers"}``. A field with a default may be left out.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e7)]
Probability: TypeAlias = Annotated[float, Meta(gt=0, le=1)]
Words: TypeAlias = tuple[Annotated[str, Meta(max_length=253)], ...]
Uniform: TypeAlias = Callable[[float, float], float]
"""Draws a number between two: chance is the caller's."""


class FaultKind(StrEnum):
    """Every kind of fault, by the name that commands and files use."""

    CRASH = "crash"
    STOP = "stop"
    FREEZE = "freeze"
    RESTART = "restart"
    REBOOT = "reboot"
    TWO_LEADERS = "two-leaders"
    PARTITION = "partition"
    SLOW_NETWORK = "slow-network"
    API_DELAY = "api-delay"
    API_ERROR = "api-error"
    API_DROP = "api-drop"
    WATCH_END = "watch-end"
    WATCH_STALL = "watch-stall"
    WATCH_REPEAT = "watch-repeat"
    EXPIRE = "expire"
    STALE_LIST = "stale-list"
    STORE_SLOW = "store-slow"
    STORE_FAIL = "store-fail"
    STORE_FULL = "store-full"
    HEARTBEAT_LOSS = "heartbeat-loss"
    HEARTBEAT_DELAY = "heartbeat-delay"
    CLOCK_SKEW = "clock-skew"
    POD_CRASH = "pod-crash"
    POD_UNREADY = "pod-unready"
    POD_PULL_FAILURE = "pod-pull-failure"
    POD_SLOW_START = "pod-slow-start"
    POD_STUCK_TERMINATING = "pod-stuck-terminating"


class Direction(StrEnum):
    """What a partition stops, seen from the one who is cut off."""

    BOTH = "both"
    REQUESTS = "requests"
    """Nothing arrives at the API server."""
    ANSWERS = "answers"
    """Requests arrive and are carried out; the answers, and what watches tell, are lost."""


class Moment(StrEnum):
    """When a connection is dropped."""

    BEFORE = "before"
    """The request is not carried out."""
    AFTER = "after"
    """It was carried out; its answer is lost."""


class _Base(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    @property
    def kind(self) -> FaultKind:
        """The kind of fault that this is."""
        return FaultKind(str(self.__struct_config__.tag))


class _Requests(_Base, frozen=True, tag="", kw_only=True):
    """Faults of single requests: which of them are hit."""

    verbs: Words = ()
    """As in RBAC: get, list, watch, create, update, patch, delete, deletecollection; none: all."""
    resources: Words = ()
    """As in RBAC: ``pods``, ``pods/status``, ``daemonsets.apps``; none: all."""
    probability: Probability = 1.0


# --- processes ---


class Crash(_Base, frozen=True, tag=FaultKind.CRASH.value):
    """SIGKILL; the process stays dead until the fault is undone."""


class Stop(_Base, frozen=True, tag=FaultKind.STOP.value):
    """SIGTERM and an ordered end; the process stays down until the fault is undone."""


class Freeze(_Base, frozen=True, tag=FaultKind.FREEZE.value):
    """SIGSTOP until the fault is undone: connections stay open, nothing is done."""


class Restart(_Base, frozen=True, tag=FaultKind.RESTART.value, kw_only=True):
    """Each target ends and is started again, at once; there is nothing to undo."""

    graceful: bool = True
    """SIGTERM; else SIGKILL."""
    rolling: bool = False
    """One after the other, each when the one before serves again; else all at once."""


class Reboot(_Base, frozen=True, tag=FaultKind.REBOOT.value):
    """The node's process is killed and comes back with another boot id: its containers are gone."""


class TwoLeaders(_Base, frozen=True, tag=FaultKind.TWO_LEADERS.value):
    """The controller manager lets its lease expire and goes on acting: as soon as another one has
    taken it, there are two. Undone, it competes for the lease again."""


# --- connections ---


class Partition(_Base, frozen=True, tag=FaultKind.PARTITION.value, kw_only=True):
    """The target and the API server do not reach each other. With `period_s` it flaps: cut off for
    `share` of each period."""

    direction: Direction = Direction.BOTH
    period_s: Seconds = 0.0
    share: Probability = 0.5

    def cuts(self, age_s: float) -> bool:
        """Whether it lets nothing through when it is `age_s` nominal seconds old."""
        return not self.period_s or age_s % self.period_s < self.period_s * self.share

    def changes_in_s(self, age_s: float) -> float | None:
        """Nominal seconds from that age until it begins or ceases to cut; None: it never does."""
        if not self.period_s or self.share >= 1:
            return None
        into_s = age_s % self.period_s
        return (self.period_s * self.share if self.cuts(age_s) else self.period_s) - into_s


class SlowNetwork(_Base, frozen=True, tag=FaultKind.SLOW_NETWORK.value, kw_only=True):
    """Every message takes `latency_s`, more or less `jitter_s`, and its size divided by
    `bandwidth_bytes_per_s` (0: unlimited), each way."""

    latency_s: Seconds = 0.0
    jitter_s: Seconds = 0.0
    bandwidth_bytes_per_s: Annotated[int, Meta(ge=0, le=2**40)] = 0

    def takes_s(self, size_bytes: int, uniform: Uniform) -> float:
        """Nominal seconds that a message of this size is on its way."""
        sent_s = size_bytes / self.bandwidth_bytes_per_s if self.bandwidth_bytes_per_s else 0.0
        return _jittered(self.latency_s, self.jitter_s, uniform) + sent_s


class ApiDelay(_Requests, frozen=True, tag=FaultKind.API_DELAY.value, kw_only=True):
    """Requests wait before they are carried out."""

    latency_s: Seconds
    jitter_s: Seconds = 0.0

    def takes_s(self, uniform: Uniform) -> float:
        """Nominal seconds that a request waits."""
        return _jittered(self.latency_s, self.jitter_s, uniform)


class ApiError(_Requests, frozen=True, tag=FaultKind.API_ERROR.value, kw_only=True):
    """Requests are refused with a Status of this code, and not carried out."""

    code: Annotated[int, Meta(ge=400, le=599)]
    retry_after_s: Annotated[int, Meta(ge=0, le=3600)] = 0
    """With it, the answer has the header Retry-After."""


class ApiDrop(_Requests, frozen=True, tag=FaultKind.API_DROP.value, kw_only=True):
    """Connections of requests break."""

    moment: Moment = Moment.BEFORE


class WatchEnd(_Requests, frozen=True, tag=FaultKind.WATCH_END.value, kw_only=True):
    """Watches end, in order, `after_s` after they begin; those that are open when the fault begins,
    then."""

    after_s: Seconds = 0.0


class WatchStall(_Requests, frozen=True, tag=FaultKind.WATCH_STALL.value):
    """Watches stay open and tell nothing, no bookmark either. They end when the fault does."""


class WatchRepeat(_Requests, frozen=True, tag=FaultKind.WATCH_REPEAT.value, kw_only=True):
    """A watch that is resumed tells up to `events` again that are older than it asked for, and no
    bookmarks: as after a resume at a revision that the watcher had passed. Of several the one that
    repeats most counts."""

    events: Annotated[int, Meta(ge=1, le=1000)] = 10


class Expire(_Requests, frozen=True, tag=FaultKind.EXPIRE.value):
    """Watches from a revision, and further pages of lists, are refused as too old (410)."""


class StaleList(_Requests, frozen=True, tag=FaultKind.STALE_LIST.value, kw_only=True):
    """Lists that do not ask for the newest state (resourceVersion=0, or a minimum) show that of
    `revisions` before now, as a lagging cache of another API server would; with `all`, every list
    does, as servers did before lists were consistent."""

    revisions: Annotated[int, Meta(ge=1, le=100_000)] = 100
    all: bool = False


# --- store ---


class StoreSlow(_Base, frozen=True, tag=FaultKind.STORE_SLOW.value, kw_only=True):
    """Each commit takes longer; `delay_s` are real seconds, as disks do not follow --speed."""

    delay_s: Seconds


class StoreFail(_Base, frozen=True, tag=FaultKind.STORE_FAIL.value, kw_only=True):
    """Commits fail and keep nothing."""

    probability: Probability = 1.0


class StoreFull(_Base, frozen=True, tag=FaultKind.STORE_FULL.value):
    """Every commit fails for want of space."""


# --- nodes ---


class HeartbeatLoss(_Base, frozen=True, tag=FaultKind.HEARTBEAT_LOSS.value, kw_only=True):
    """Renewals of the node's Lease and reports of its status are left out."""

    probability: Probability = 1.0


class HeartbeatDelay(_Base, frozen=True, tag=FaultKind.HEARTBEAT_DELAY.value, kw_only=True):
    """Renewals of the Lease and reports of the status come `delay_s` late, each counted from when
    it would have been due after the one before: every 10 s and the delay."""

    delay_s: Seconds


class ClockSkew(_Base, frozen=True, tag=FaultKind.CLOCK_SKEW.value, kw_only=True):
    """The wall clock of the node is off by `offset_s`, and by `drift` more for each second."""

    offset_s: Annotated[float, Meta(ge=-1e9, le=1e9)] = 0.0
    drift: Annotated[float, Meta(ge=-0.5, le=0.5)] = 0.0


class _Pods(_Base, frozen=True, tag="", kw_only=True):
    """Faults of the pods on the target nodes."""

    selector: Annotated[str, Meta(max_length=4096)] = ""
    """A label selector; none: all pods."""
    namespace: Annotated[str, Meta(max_length=63)] = ""
    names: Words = ()
    """``namespace/name`` of pods; none: all that the others choose."""


class PodCrash(_Pods, frozen=True, tag=FaultKind.POD_CRASH.value, kw_only=True):
    """Containers end with `exit_code`, `after_s` after they start."""

    after_s: Seconds = 0.0
    exit_code: Annotated[int, Meta(ge=0, le=255)] = 1


class PodUnready(_Pods, frozen=True, tag=FaultKind.POD_UNREADY.value):
    """Containers run and are never ready."""


class PodPullFailure(_Pods, frozen=True, tag=FaultKind.POD_PULL_FAILURE.value):
    """Images cannot be pulled. Those that ran on the node before are there, and are only pulled if
    the policy is Always."""


class PodSlowStart(_Pods, frozen=True, tag=FaultKind.POD_SLOW_START.value, kw_only=True):
    """Containers take `delay_s` longer to start."""

    delay_s: Seconds


class PodStuckTerminating(_Pods, frozen=True, tag=FaultKind.POD_STUCK_TERMINATING.value):
    """Pods that are deleted do not end, whatever their grace period is."""


Effect: TypeAlias = (
    Crash
    | Stop
    | Freeze
    | Restart
    | Reboot
    | TwoLeaders
    | Partition
    | SlowNetwork
    | ApiDelay
    | ApiError
    | ApiDrop
    | WatchEnd
    | WatchStall
    | WatchRepeat
    | Expire
    | StaleList
    | StoreSlow
    | StoreFail
    | StoreFull
    | HeartbeatLoss
    | HeartbeatDelay
    | ClockSkew
    | PodCrash
    | PodUnready
    | PodPullFailure
    | PodSlowStart
    | PodStuckTerminating
)

PROCESS: Final = (Crash, Stop, Freeze, Restart, Reboot)
"""Those of a process as a whole: signals."""

CONNECTION: Final = (Partition, SlowNetwork)
"""Those between the target and the API server."""

REQUEST_EFFECTS: Final = (
    ApiDelay,
    ApiError,
    ApiDrop,
    WatchEnd,
    WatchStall,
    WatchRepeat,
    Expire,
    StaleList,
)
"""Those of single requests: their targets are clients."""

RequestEffect: TypeAlias = (
    ApiDelay | ApiError | ApiDrop | WatchEnd | WatchStall | WatchRepeat | Expire | StaleList
)

STORE: Final = (StoreSlow, StoreFail, StoreFull)
"""Those of the disk under the API server."""

PODS: Final = (PodCrash, PodUnready, PodPullFailure, PodSlowStart, PodStuckTerminating)
"""Those of the pods on the target nodes."""

PodEffect: TypeAlias = PodCrash | PodUnready | PodPullFailure | PodSlowStart | PodStuckTerminating

NODE: Final = (HeartbeatLoss, HeartbeatDelay, ClockSkew, *PODS)
"""Those that a node does wrong by itself."""

ONE_SHOT: Final = (Restart, Reboot)
"""Those that are over when they have been carried out: there is nothing to undo."""


def _jittered(latency_s: float, jitter_s: float, uniform: Uniform) -> float:
    """More or less `jitter_s`, and never below zero."""
    return max(0.0, latency_s + uniform(-jitter_s, jitter_s)) if jitter_s else latency_s
