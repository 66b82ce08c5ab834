"""What can be done to a cluster from the page: what is asked for, and the command for it. Pure."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from kubeherd.dashboard.web.answers import Refused
from kubeherd.faults.targets import MAX_NODES

_Name = Annotated[str, Meta(max_length=253, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?\Z")]
_Image = Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^[\x21-\x7e]+\Z")]
_MAX_ADDED: Final = 1000
ALL_CONTAINERS: Final = "*"
_DRAINING: Final = " --ignore-daemonsets --delete-emptydir-data"


class Action(StrEnum):
    """What can be asked for."""

    KILL = "kill"
    FREEZE = "freeze"
    THAW = "thaw"
    STOP = "stop"
    START = "start"
    CORDON = "cordon"
    UNCORDON = "uncordon"
    DRAIN = "drain"
    PARTITION = "partition"
    HEAL = "heal"
    ADD_NODES = "add-nodes"
    REMOVE_NODE = "remove-node"
    SET_IMAGE = "set-image"
    ROLL_BACK = "roll-back"
    RESTART = "restart"
    PAUSE = "pause"
    RESUME = "resume"
    SPEED = "speed"


OF_PROCESSES: Final = (Action.KILL, Action.FREEZE, Action.THAW, Action.STOP, Action.START)
OF_NODES: Final = (Action.CORDON, Action.UNCORDON, Action.DRAIN)
OF_WORKLOADS: Final = (
    Action.SET_IMAGE,
    Action.ROLL_BACK,
    Action.RESTART,
    Action.PAUSE,
    Action.RESUME,
)
ANYWHERE: Final = frozenset({*OF_NODES, *OF_WORKLOADS, Action.REMOVE_NODE})
"""What can be done to any cluster; all else to one of kubeherd only."""


class Kind(StrEnum):
    """The workloads that can be acted on."""

    DAEMONSET = "DaemonSet"
    DEPLOYMENT = "Deployment"
    STATEFULSET = "StatefulSet"


class Workload(msgspec.Struct, frozen=True):
    """One workload."""

    kind: Kind
    namespace: str
    name: str

    @property
    def key(self) -> str:
        """As `Rollout.key`."""
        return f"{self.kind} {self.namespace}/{self.name}"


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An action as the page asks for it."""

    action: Action
    node: _Name | None = None
    nodes: Annotated[tuple[_Name, ...], Meta(max_length=MAX_NODES)] = ()
    workload: Annotated[str, Meta(max_length=600)] = ""
    """``DaemonSet namespace/name``."""
    revision: Annotated[int, Meta(ge=0)] = 0
    """To roll back to; 0: the one before."""
    image: _Image | None = None
    container: _Name | None = None
    """Whose image is set; none: of all."""
    count: Annotated[int, Meta(ge=0, le=_MAX_ADDED)] = 0
    fault: _Name | None = None
    speed: Annotated[float, Meta(gt=0)] | None = None
    """How many times faster than real time; its bounds are the launcher's."""
    dry_run: bool = False
    """Only say the command."""

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes that are meant."""
        return tuple(dict.fromkeys((*((self.node,) if self.node else ()), *self.nodes)))

    def target(self) -> Workload:
        """The workload that is meant; Refused."""
        kind, _, rest = self.workload.partition(" ")
        namespace, _, name = rest.partition("/")
        try:
            return Workload(Kind(kind), _checked(namespace), _checked(name))
        except (ValueError, msgspec.ValidationError):
            raise Refused(400, f'"{self.workload}" is no workload that can be changed') from None

    def check(self) -> None:
        """Refused if it does not say what it needs."""
        needed: dict[Action, tuple[object, str]] = {
            Action.HEAL: (self.fault, "which fault?"),
            Action.ADD_NODES: (self.count, "how many nodes?"),
            Action.SET_IMAGE: (self.image, "which image?"),
            Action.SPEED: (self.speed, "how fast?"),
        }
        if self.action in (*OF_PROCESSES, *OF_NODES, Action.PARTITION, Action.REMOVE_NODE):
            needed[self.action] = (self.names, "which node?")
        there, question = needed.get(self.action, (True, ""))
        if not there:
            raise Refused(400, question)
        if self.action in OF_WORKLOADS:
            kind = self.target().kind
            if self.action in (Action.PAUSE, Action.RESUME) and kind is not Kind.DEPLOYMENT:
                raise Refused(400, f"a {kind} cannot be paused")


_decoder: Final = msgspec.json.Decoder(Wanted)


def decode(body: bytes) -> Wanted:
    """An action from JSON; Refused."""
    try:
        wanted = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, str(error)) from None
    wanted.check()
    return wanted


class Commands(msgspec.Struct, frozen=True):
    """How the commands name the cluster: ``" --dir DIR"`` or nothing for kubeherd, the kubeconfig
    for kubectl."""

    directory: str
    kubeconfig: str
    ours: bool

    def of(self, wanted: Wanted) -> str:
        """The command, or commands, that do the same."""
        if wanted.action in OF_WORKLOADS:
            return self._kubectl(_WORKLOAD[wanted.action](wanted), wanted.target())
        if wanted.action in OF_NODES:
            options = _DRAINING if wanted.action is Action.DRAIN else ""
            return self._kubectl(f"{wanted.action} {_words(wanted.names)}{options}")
        if wanted.action is Action.REMOVE_NODE and not self.ours:
            return self._kubectl(f"delete node {_words(wanted.names)}")
        return " && ".join(f"kubeherd {line}{self.directory}" for line in _lines(wanted))

    def _kubectl(self, line: str, of: Workload | None = None) -> str:
        namespace = f" -n {shlex.quote(of.namespace)}" if of is not None else ""
        return f"kubectl --kubeconfig {shlex.quote(self.kubeconfig)}{namespace} {line}"


def _lines(wanted: Wanted) -> list[str]:
    match wanted.action:
        case Action.PARTITION:
            return [f"fault partition {_words(wanted.names)}"]
        case Action.HEAL:
            return [f"fault undo {_words([wanted.fault or ''])}"]
        case Action.ADD_NODES:
            return [f"node add --count {wanted.count}"]
        case Action.SPEED:
            return [f"speed {wanted.speed:g}"]
        case Action.REMOVE_NODE:
            return [f"node rm {_words([name])}" for name in wanted.names]
    return [f"node {wanted.action} {_words([name])}" for name in wanted.names]


def _set_image(wanted: Wanted) -> str:
    image = f"{wanted.container or ALL_CONTAINERS}={wanted.image}"
    return f"set image {_object(wanted)} {shlex.quote(image)}"


def _roll_back(wanted: Wanted) -> str:
    to = f" --to-revision={wanted.revision}" if wanted.revision else ""
    return f"rollout undo {_object(wanted)}{to}"


_WORKLOAD: Final[Mapping[Action, Callable[[Wanted], str]]] = {
    Action.SET_IMAGE: _set_image,
    Action.ROLL_BACK: _roll_back,
    Action.RESTART: lambda wanted: f"rollout restart {_object(wanted)}",
    Action.PAUSE: lambda wanted: f"rollout pause {_object(wanted)}",
    Action.RESUME: lambda wanted: f"rollout resume {_object(wanted)}",
}


def _object(wanted: Wanted) -> str:
    of = wanted.target()
    return shlex.quote(f"{of.kind.lower()}/{of.name}")


def _words(names: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, names))


def _checked(name: str) -> str:
    return msgspec.convert(name, _Name)
