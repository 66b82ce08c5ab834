"""What a user can do to a cluster from the page. Pure: what is asked, and the command for it."""

import shlex
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from kubeherd.cluster.launcher.control import Op
from kubeherd.cluster.launcher.settings import MAX_NODES
from kubeherd.dashboard.answers import Refused

_Name = Annotated[str, Meta(max_length=253)]


class Action(StrEnum):
    """What can be asked for."""

    KILL = "kill"
    FREEZE = "freeze"
    THAW = "thaw"
    STOP = "stop"
    START = "start"


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An action as the page asks for it."""

    action: Action
    node: _Name = ""
    nodes: Annotated[tuple[_Name, ...], Meta(max_length=MAX_NODES)] = ()
    dry_run: bool = False
    """Only say the command."""

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes that are meant."""
        return (self.node, *self.nodes) if self.node else self.nodes


OPS: Final = {
    Action.KILL: Op.NODE_KILL,
    Action.FREEZE: Op.NODE_FREEZE,
    Action.THAW: Op.NODE_THAW,
    Action.STOP: Op.NODE_STOP,
    Action.START: Op.NODE_START,
}
"""What is asked of the supervisor."""

_decoder = msgspec.json.Decoder(Wanted)


def decode(body: bytes) -> Wanted:
    """An action from JSON; Refused."""
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise Refused(400, str(error)) from None


def command(wanted: Wanted, directory: str) -> str:
    """The command that does the same; `directory` is the option that names the cluster."""
    word = f"kubeherd node {wanted.action}"
    return " && ".join(f"{word} {shlex.quote(name)}{directory}" for name in wanted.names)
