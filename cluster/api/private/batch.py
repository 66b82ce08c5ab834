"""The private batch: several requests of one client in one HTTP request (ARCHITECTURE.md). Pure.

Shared by the server, which answers it, and the client, which sends it. In msgpack, as arrays; each
answer has the place of its request.
"""

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import msgspec

PATH: Final = "/kubeherd/batch"
MAX_REQUESTS: Final = 256
MAX_PARAMETERS: Final = 64
NO_ANSWER: Final = 0
"""The status of a request that would have been left without an answer, had it come alone."""


Query: TypeAlias = Annotated[dict[str, str], msgspec.Meta(max_length=MAX_PARAMETERS)]


class BatchedRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One request. `path` is decoded; `body` empty for none."""

    method: str
    path: str
    query: Query
    content_type: str
    accept: str
    body: bytes
    fence: str = ""
    """The leader's term for which it is sent (`cluster.api.private.fence`)."""


class BatchedAnswer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One answer. Header names are lower case."""

    status: int
    content_type: str
    headers: dict[str, str]
    body: bytes


_requests: msgspec.msgpack.Decoder[list[BatchedRequest]] = msgspec.msgpack.Decoder(
    Annotated[list[BatchedRequest], msgspec.Meta(max_length=MAX_REQUESTS)]
)
_answers = msgspec.msgpack.Decoder(list[BatchedAnswer])
_encoder = msgspec.msgpack.Encoder()


def encode(batch: Sequence[BatchedRequest] | Sequence[BatchedAnswer]) -> bytes:
    """The body of a batch or of its answer."""
    return _encoder.encode(batch)


def decode_requests(body: bytes) -> list[BatchedRequest]:
    """The reverse; msgspec.DecodeError if it is no batch, or too large a one: of that nothing is
    made."""
    return _requests.decode(body)


def decode_answers(body: bytes) -> list[BatchedAnswer]:
    """The reverse; msgspec.DecodeError if it is no answer to one."""
    return _answers.decode(body)
