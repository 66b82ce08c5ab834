"""The private group poll: many collections followed by one request (ARCHITECTURE.md). Pure.

Shared by the server, which answers it, and the client, which sends it. In msgpack, as arrays.
"""

from typing import Annotated, Final

import msgspec

from kubeherd.cluster.api.private.batch import Query

PATH: Final = "/kubeherd/poll"
MAX_PARTS: Final = 256


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One collection. `query` has the selectors, and either the `resourceVersion` after which
    changes are wanted, or what a list takes (`limit`)."""

    path: str
    query: Query


class GroupPoll(msgspec.Struct, frozen=True, array_like=True):
    """`timeout_s` is in real seconds."""

    timeout_s: int
    parts: Annotated[list[Part], msgspec.Meta(max_length=MAX_PARTS)]


class PartAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What the part of this index would have been answered alone: a poll, a page, or a Status."""

    index: int
    status: int
    content_type: str
    body: bytes


class GroupAnswer(msgspec.Struct, frozen=True, array_like=True):
    """Answers to the parts for which there is something; nothing has happened to the others up to
    `revision`, if that is not 0: then there was more than fits one answer."""

    revision: int
    answers: list[PartAnswer]


_polls = msgspec.msgpack.Decoder(GroupPoll)
_answers = msgspec.msgpack.Decoder(GroupAnswer)
_encoder = msgspec.msgpack.Encoder()


def encode(message: GroupPoll | GroupAnswer) -> bytes:
    """The body of a group poll or of its answer."""
    return _encoder.encode(message)


def decode_poll(body: bytes) -> GroupPoll:
    """The reverse; msgspec.DecodeError if it is none, or too large a one: of that nothing is
    made."""
    return _polls.decode(body)


def decode_answer(body: bytes) -> GroupAnswer:
    """The reverse; msgspec.DecodeError if it is none."""
    return _answers.decode(body)
