"""The channels of a remote command in WebSocket messages. Pure.

Source: Kubernetes v1.36, k8s.io/apimachinery/pkg/util/remotecommand and util/httpstream/wsstream:
a message is the number of its channel and data; in base64 protocols the number is an ASCII digit
and the data base64 text. In v5 a client closes a channel by a message on channel 255.
"""

import base64
import binascii
from collections.abc import Sequence
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from kubeherd.cluster.api import errors

OPENING_S: Final = 0.1
"""Real seconds between the upgrade and a command's first words. A client of kubectl 1.32 and before
reads the connection before it has made its channels, and discards what has come by then (v1.32,
client-go/tools/remotecommand/websocket.go): with a real runtime, no command answers so soon."""


class Channel(IntEnum):
    """What a message is about."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    """The Status with which the command ended, as JSON."""
    RESIZE = 4
    CLOSE = 255
    """The data is the number of the channel that the client has closed."""


class Protocol(StrEnum):
    """Subprotocols that are spoken, the best first."""

    V5 = "v5.channel.k8s.io"
    V4 = "v4.channel.k8s.io"
    V4_BASE64 = "v4.base64.channel.k8s.io"
    NONE = ""
    """None was asked for: as v4, but of the end of a command only a failure is told, as text."""


class Message(NamedTuple):
    """What came on a channel."""

    channel: Channel
    data: bytes


_NUMBERS = frozenset(Channel)


def choose(offered: str) -> Protocol:
    """The subprotocol for a ``Sec-WebSocket-Protocol`` header; BadRequest where none is known."""
    names = [name.strip() for name in offered.split(",") if name.strip()]
    if not names:
        return Protocol.NONE
    for protocol in Protocol:
        if protocol.value in names:
            return protocol
    known = " ".join(protocol for protocol in Protocol if protocol)
    raise errors.BadRequest(
        f"unable to upgrade: unable to negotiate protocol: client supports {_go_list(names)}, "
        f"server supports [{known}]"
    )


def encode(protocol: Protocol, channel: int, data: bytes) -> bytes | str:
    """A message of the server: bytes are sent as a binary message, str as a text message."""
    if protocol is Protocol.V4_BASE64:
        return f"{int(channel)}{base64.b64encode(data).decode()}"
    return bytes((channel,)) + data


def split(protocol: Protocol, message: bytes | str) -> tuple[int, bytes] | None:
    """Channel number and data of a client's message; None for one that makes no sense."""
    raw = message.encode() if isinstance(message, str) else message
    if not raw:
        return None
    if protocol is not Protocol.V4_BASE64:
        return raw[0], raw[1:]
    try:
        return int(raw[:1]), base64.b64decode(raw[1:], validate=True)
    except (ValueError, binascii.Error):
        return None


def decode(protocol: Protocol, message: bytes | str) -> Message | None:
    """A message of the client of a command; None for one that makes no sense."""
    found = split(protocol, message)
    if found is None or found[0] not in _NUMBERS:
        return None
    return Message(Channel(found[0]), found[1])


def _go_list(names: Sequence[str]) -> str:
    return f"[{' '.join(names)}]"
