"""The control socket: how `kubeherd` talks to the supervisor of a cluster.

JSON lines over a Unix socket that only the owner can open (0600 in a 0700 directory). A client
sends one `Request`; the supervisor (`controlserver`) answers any number of progress `Reply`s
(`final` false) and one final one, which carries the state of the cluster, or an `error` for the
user.
"""

import enum
import socket
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import MAX_NODES, MAX_SPEED, MIN_SPEED
from kubeherd.cluster.launcher.state import ClusterState
from kubeherd.cluster.runtime.sockets.unixsockets import socket_address

_NO_FAULTS = msgspec.Raw(b"[]")
"""Most commands are not about faults: what reads and writes them is imported by those that are."""
_MAX_IDS = 1000
_NAME_LIMIT = 253  # of any name in Kubernetes; whether it is a node's is for the supervisor to say


class Op(enum.StrEnum):
    """What can be asked of a supervisor."""

    STATUS = "status"
    WAIT = "wait"
    STOP = "stop"
    NODE_ADD = "node-add"
    NODE_KILL = "node-kill"
    NODE_STOP = "node-stop"
    NODE_START = "node-start"
    NODE_FREEZE = "node-freeze"
    NODE_THAW = "node-thaw"
    NODE_REMOVE = "node-remove"
    SPEED = "speed"
    FAULT_BEGIN = "fault-begin"
    FAULT_UNDO = "fault-undo"
    FAULT_LIST = "fault-list"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`nodes` names the nodes meant; for NODE_ADD without names, `count` says how many.

    `faults` are those that FAULT_BEGIN begins, all or none, as JSON (`kubeherd.faults`); `ids`
    those that FAULT_UNDO undoes; none: all.
    """

    op: Op
    nodes: Annotated[
        tuple[Annotated[str, Meta(max_length=_NAME_LIMIT)], ...], Meta(max_length=MAX_NODES)
    ] = ()
    count: Annotated[int, Meta(ge=0, le=MAX_NODES)] = 0
    speed: Annotated[float, Meta(ge=MIN_SPEED, le=MAX_SPEED)] = 1.0
    """For SPEED: how many times faster than real time."""
    faults: msgspec.Raw = _NO_FAULTS
    ids: Annotated[tuple[Annotated[str, Meta(max_length=63)], ...], Meta(max_length=_MAX_IDS)] = ()

    def check(self) -> None:
        """LauncherError if it does not say which nodes it means."""
        if self.op is Op.NODE_ADD and not self.nodes and self.count == 0:
            raise LauncherError("node-add needs names or a count")
        if self.op is Op.FAULT_BEGIN and bytes(self.faults) == bytes(_NO_FAULTS):
            raise LauncherError("fault-begin needs a fault")
        if self.op in _NAMED and not self.nodes:
            raise LauncherError(f"{self.op} needs the name of a node")


_NAMED = frozenset(Op) - {
    *(Op.STATUS, Op.WAIT, Op.STOP, Op.NODE_ADD, Op.SPEED),
    *(Op.FAULT_BEGIN, Op.FAULT_UNDO, Op.FAULT_LIST),
}


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The state now; `nodes` are the nodes that the request touched; `error` is for the user.

    `faults`, as JSON, are those that were begun, undone or listed.
    """

    final: bool = True
    state: ClusterState = ClusterState()
    nodes: tuple[str, ...] = ()
    faults: msgspec.Raw = _NO_FAULTS
    error: str = ""


class NotListening(LauncherError):
    """Nobody serves the control socket, or no longer: the supervisor starts, leaves or is gone."""


class NoAnswer(LauncherError):
    """Time is up."""


def ask(rundir: RunDir, request: Request, timeout_s: float) -> Iterator[Reply]:
    """Send a request; yields the progress and then the final reply.

    `timeout_s` bounds the wait for each reply: NoAnswer. NotListening when no supervisor answers,
    LauncherError when the final reply is an error.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            with socket_address(rundir.socket) as address:
                connection.connect(address)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    reply = msgspec.json.decode(line, type=Reply)
                    if reply.error:
                        raise LauncherError(reply.error)
                    yield reply
                    if reply.final:
                        return
        except TimeoutError:
            raise NoAnswer(f"the supervisor did not answer within {timeout_s:g} s") from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotListening(f"the cluster in {rundir.root} is not running") from None
        except (ConnectionResetError, BrokenPipeError):  # it closed the socket with us waiting
            raise NotListening("the supervisor went away") from None
        except OSError as error:
            raise LauncherError(f"cannot talk to the supervisor: {error.strerror}") from error
    raise NotListening("the supervisor went away")
