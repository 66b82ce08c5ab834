"""HTTP/2 as gRPC's client: frames, headers, streams, flow control; and what is not HTTP/2."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("hpack", reason="the extra etcd is not installed")
hpack = importlib.import_module("hpack")
frames = importlib.import_module("kubeherd.cluster.store.etcd.grpc.frames")
headers = importlib.import_module("kubeherd.cluster.store.etcd.grpc.headers")
connections = importlib.import_module("kubeherd.cluster.store.etcd.grpc.connection")

GREETING = frames.settings({})
OK = headers.encode([("grpc-status", "0")])
WINDOW = connections.STREAM_WINDOW_BYTES


class Noted(connections.Stream):  # type: ignore[misc, name-defined]
    """A stream that notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()
        self.end: list[tuple[str, str]] = []

    def received(self, payload: bytes) -> None:
        self.data += payload

    def ended(self, code: str, details: str) -> None:
        self.end.append((code, details))


def greeted(settings: dict[int, int] | None = None) -> Any:
    connection = connections.Connection()
    connection.receive(frames.settings(settings or {}))
    connection.outgoing.clear()
    return connection


def begun(connection: Any, body: bytes = b"?", *, complete: bool = True) -> Noted:
    stream = Noted()
    connection.begin(stream, b"", body, complete=complete)
    return stream


def sent(connection: Any, kind: int | None = None) -> list[tuple[int, int, int, bytes]]:
    """The frames that are to be sent, of one kind or all, which are gone then."""
    data = bytes(connection.outgoing).removeprefix(frames.PREFACE)
    connection.outgoing.clear()
    return [one for one in frames.FrameReader().feed(data) if kind in (None, one[0])]


def ended(stream_id: int, block: bytes = OK) -> bytes:
    return frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream_id, block)


# --- frames ---


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    begin = 0
    for place in [*sorted(place % (len(data) + 1) for place in places), len(data)]:
        yield data[begin:place]
        begin = place


@given(
    some=st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary()),
        max_size=5,
    ),
    places=st.lists(st.integers(0, 1000), max_size=5),
)
def test_frames_are_the_same_however_they_are_cut(
    some: list[tuple[int, int, int, bytes]], places: list[int]
) -> None:
    reader = frames.FrameReader()
    data = b"".join(frames.frame(*one) for one in some)
    assert [one for part in cut(data, places) for one in reader.feed(part)] == some


@pytest.mark.parametrize(
    ("flags", "payload", "content"),
    [
        (0, b"abc", b"abc"),
        (0x8, b"\x02abc\0\0", b"abc"),
        (0x20, b"12345abc", b"abc"),
        (0x28, b"\x0112345abc\0", b"abc"),
        (0x8, b"\x03abc", b""),
    ],
)
def test_what_is_around_headers_is_taken_off(flags: int, payload: bytes, content: bytes) -> None:
    assert frames.content(frames.HEADERS, flags, payload) == content


@pytest.mark.parametrize(("flags", "payload"), [(0x8, b""), (0x8, b"\x04abc"), (0x20, b"1234")])
def test_more_padding_than_there_is_room_for(flags: int, payload: bytes) -> None:
    with pytest.raises(frames.Garbled, match="padding"):
        frames.content(frames.HEADERS, flags, payload)


# --- headers ---


@given(
    fields=st.lists(
        st.tuples(st.text("abc-", min_size=1), st.text(st.characters(codec="ascii"), max_size=300))
    )
)
def test_headers_are_read_as_they_were_written(fields: list[tuple[str, str]]) -> None:
    decoded = hpack.Decoder(1 << 20).decode(headers.encode(fields[:2], fields[2:]))
    assert [(name, value) for name, value in decoded] == fields


def test_secrets_are_never_put_into_a_table() -> None:
    (field,) = hpack.Decoder().decode(headers.encode([], [("token", "t")]))
    assert isinstance(field, hpack.NeverIndexedHeaderTuple)


def test_an_answer_is_decoded_once() -> None:
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    block = encoder.encode(
        [(":status", "200"), ("grpc-status", "14"), ("grpc-message", "no%20leader%21")]
    )
    reader = headers.AnswerReader()
    first = reader.read(block)
    assert (first.http_status, first.code, first.details) == ("200", "14", "no leader!")
    assert reader.read(block) is first
    for number in range(1000):
        reader.read(headers.encode([("grpc-status", "1"), ("x", str(number))]))
    assert len(reader._known) <= 64


def test_a_table_that_was_forbidden_is_garbled() -> None:
    encoder = hpack.Encoder()
    encoder.encode([("a", "b")])
    with pytest.raises(frames.Garbled, match="headers"):
        headers.AnswerReader().read(encoder.encode([("a", "b")]))


# --- streams ---


def test_a_request_is_headers_and_data_and_its_answer_ends_it() -> None:
    connection = greeted()
    stream = Noted()
    connection.begin(stream, b"block", b"body", complete=True)
    assert sent(connection) == [
        (frames.HEADERS, frames.END_HEADERS, 1, b"block"),
        (frames.DATA, frames.END_STREAM, 1, b"body"),
    ]
    start = headers.encode([(":status", "200"), ("content-type", "application/grpc")])
    connection.receive(frames.frame(frames.HEADERS, frames.END_HEADERS, 1, start))
    connection.receive(frames.frame(frames.DATA, 0, 1, b"ans") + ended(1))
    assert (bytes(stream.data), stream.end) == (b"ans", [("OK", "")])
    assert not connection.streams
    connection.receive(frames.frame(frames.DATA, 0, 1, b"late"))
    assert stream.data == b"ans"


def test_a_body_goes_as_far_as_there_is_room() -> None:
    connection = greeted({4: 10, 5: 16384})
    stream = begun(connection, b"a" * 25)
    assert [len(payload) for *_, payload in sent(connection, frames.DATA)] == [10]
    connection.receive(frames.number(frames.WINDOW_UPDATE, 1, 10))
    assert [flags for _, flags, *_ in sent(connection, frames.DATA)] == [0]
    assert not stream.sent_all
    connection.receive(frames.settings({4: 20}))
    assert [(flags, len(payload)) for _, flags, _, payload in sent(connection, frames.DATA)] == [
        (frames.END_STREAM, 5)
    ]
    assert stream.sent_all


def test_all_bodies_share_the_room_of_the_connection() -> None:
    connection = greeted({4: 1 << 20})
    begun(connection, b"a" * 60_000)
    begun(connection, b"b" * 60_000)
    assert sum(len(payload) for *_, payload in sent(connection, frames.DATA)) == 65535
    connection.receive(frames.number(frames.WINDOW_UPDATE, 0, 100_000))
    assert sum(len(payload) for *_, payload in sent(connection, frames.DATA)) == 120_000 - 65535


def test_large_bodies_are_cut_into_frames() -> None:
    connection = greeted()
    begun(connection, b"a" * 20_000)
    assert [len(payload) for *_, payload in sent(connection, frames.DATA)] == [16384, 3616]


def test_a_call_waits_while_there_are_as_many_as_allowed() -> None:
    connection = greeted({3: 2})
    first, second, third, fourth = (begun(connection) for _ in range(4))
    connection.cancel(third)
    assert [one[2] for one in sent(connection, frames.HEADERS)] == [1, 3]
    connection.receive(ended(1))
    assert [one[2] for one in sent(connection, frames.HEADERS)] == [5]
    assert first.end
    assert (second.id, third.id, fourth.id) == (3, 0, 5)


def test_what_is_read_makes_room_for_more() -> None:
    connection = greeted()
    stream = begun(connection)
    sent(connection)
    for _ in range(WINDOW // 16384):
        connection.receive(frames.frame(frames.DATA, 0, 1, bytes(16384)))
    assert not sent(connection)
    connection.consumed(stream, WINDOW // 2)
    assert sent(connection) == [(frames.WINDOW_UPDATE, 0, 1, (WINDOW // 2).to_bytes(4, "big"))]
    for _ in range(WINDOW // 2 // 16384):
        connection.receive(frames.frame(frames.DATA, 0, 1, bytes(16384)))
    with pytest.raises(frames.Garbled, match="more of an answer"):
        connection.receive(frames.frame(frames.DATA, 0, 1, b"1"))


def test_all_answers_together_get_new_room_in_time() -> None:
    connection = greeted()
    connection._unread = 2**30
    connection.receive(frames.frame(frames.DATA, 0, begun(connection).id, b"abc"))
    ((_, _, stream_id, payload),) = sent(connection, frames.WINDOW_UPDATE)
    assert (stream_id, int.from_bytes(payload, "big")) == (0, 2**30 + 3)


def test_who_cancels_is_told_nothing_and_the_server_is() -> None:
    connection = greeted()
    stream = begun(connection)
    sent(connection)
    connection.cancel(stream)
    assert sent(connection) == [(frames.RST_STREAM, 0, 1, b"\0\0\0\x08")]
    connection.receive(ended(1))
    assert not stream.end


@pytest.mark.parametrize(
    ("error", "code"), [(7, "NOT_CARRIED_OUT"), (8, "CANCELLED"), (2, "INTERNAL")]
)
def test_a_reset_ends_a_call(error: int, code: str) -> None:
    connection = greeted()
    stream = begun(connection)
    connection.receive(frames.number(frames.RST_STREAM, 1, error))
    assert [one for one, _ in stream.end] == [code]


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ([("grpc-status", "5"), ("grpc-message", "gone")], ("NOT_FOUND", "gone")),
        ([("grpc-status", "99")], ("UNKNOWN", "")),
        ([(":status", "503")], ("UNKNOWN", "it answered with HTTP status 503")),
        ([(":status", "200")], ("INTERNAL", "it ended an answer without a status")),
    ],
)
def test_headers_say_how_a_call_ends(fields: list[tuple[str, str]], end: tuple[str, str]) -> None:
    connection = greeted()
    stream = begun(connection)
    connection.receive(ended(1, headers.encode(fields)))
    assert stream.end == [end]


def test_an_answer_that_is_no_grpc_ends_at_once() -> None:
    connection = greeted()
    stream = begun(connection)
    sent(connection)
    block = headers.encode([(":status", "404")])
    connection.receive(frames.frame(frames.HEADERS, frames.END_HEADERS, 1, block))
    assert stream.end == [("UNKNOWN", "it answered with HTTP status 404")]
    assert [one[0] for one in sent(connection)] == [frames.RST_STREAM]


def test_data_that_ends_an_answer_is_no_status() -> None:
    connection = greeted()
    stream = begun(connection)
    connection.receive(frames.frame(frames.DATA, frames.END_STREAM, 1, b"x"))
    assert [code for code, _ in stream.end] == ["INTERNAL"]


def test_an_answer_before_the_whole_request_ends_the_request() -> None:
    connection = greeted()
    stream = begun(connection, complete=False)
    sent(connection)
    connection.receive(ended(1))
    assert stream.end == [("OK", "")]
    assert [one[0] for one in sent(connection)] == [frames.RST_STREAM]


def test_headers_may_come_in_parts() -> None:
    connection = greeted()
    stream = begun(connection)
    connection.receive(frames.frame(frames.HEADERS, frames.END_STREAM, 1, OK[:3]))
    connection.receive(frames.frame(frames.CONTINUATION, 0, 1, OK[3:5]))
    connection.receive(frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, OK[5:]))
    assert stream.end == [("OK", "")]


def test_a_connection_that_is_lost_tells_who_was_certainly_not_heard() -> None:
    connection = greeted({3: 2})
    whole = begun(connection)
    part = begun(connection, bytes(100_000))
    waiting = begun(connection)
    connection.lost("gone")
    assert whole.end == [("UNAVAILABLE", "gone")]
    assert part.end == waiting.end == [("NOT_CARRIED_OUT", "gone")]
    assert begun(connection).end[0][0] == "NOT_CARRIED_OUT"


def test_who_goes_away_finishes_what_it_began() -> None:
    connection = greeted({3: 2})
    first, second, waiting = (begun(connection) for _ in range(3))
    connection.receive(frames.frame(frames.GOAWAY, 0, 0, b"\0\0\0\x01\0\0\0\0text"))
    assert connection.leaving
    assert second.end == waiting.end == [("NOT_CARRIED_OUT", "it goes away")]
    assert begun(connection).end[0][0] == "NOT_CARRIED_OUT"
    connection.receive(ended(1))
    assert first.end == [("OK", "")]


def test_pings_and_settings_are_answered() -> None:
    connection = greeted()
    connection.receive(frames.frame(frames.PING, 0, 0, b"12345678"))
    connection.receive(frames.frame(frames.PING, frames.ACK, 0, b"12345678"))
    connection.receive(frames.frame(frames.SETTINGS, frames.ACK, 0, b""))
    connection.receive(GREETING)
    assert sent(connection) == [
        (frames.PING, frames.ACK, 0, b"12345678"),
        (frames.SETTINGS, frames.ACK, 0, b""),
    ]


# --- what is not HTTP/2 ---

HEADERS_BEGUN = frames.frame(frames.HEADERS, 0, 1, b"")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "larger than allowed"),
        (b"\xff\xff\xff" + bytes(6), "larger than allowed"),
        (frames.frame(frames.DATA, 0, 99, b""), "nobody asked"),
        (frames.frame(frames.DATA, 0, 2, b""), "nobody asked"),
        (frames.frame(frames.DATA, 0, 0, b""), "nobody asked"),
        (ended(3), "nobody asked"),
        (frames.number(frames.RST_STREAM, 5, 0), "nobody asked"),
        (frames.frame(frames.RST_STREAM, 0, 1, b""), "too short"),
        (frames.frame(frames.SETTINGS, 0, 0, b"1234567"), "wrong length"),
        (frames.frame(frames.PING, 0, 0, b"1"), "wrong length"),
        (frames.frame(frames.PUSH_PROMISE, 0, 1, b""), "promise"),
        (frames.frame(frames.CONTINUATION, 0, 1, b""), "not begun"),
        (HEADERS_BEGUN + ended(1), "interrupted"),
        (HEADERS_BEGUN + frames.frame(frames.DATA, 0, 1, b""), "interrupted"),
        (HEADERS_BEGUN + 5 * frames.frame(frames.CONTINUATION, 0, 1, bytes(16384)), "too large"),
        (ended(1, b"\xff\xff\xff\xff\xff\xff"), "cannot be read"),
        (2 * frames.number(frames.WINDOW_UPDATE, 0, 2**31 - 1), "more room"),
        (2 * frames.number(frames.WINDOW_UPDATE, 1, 2**31 - 1), "more room"),
    ],
)
def test_what_is_not_as_it_has_to_be_is_garbled(data: bytes, why: str) -> None:
    connection = greeted()
    begun(connection)
    with pytest.raises(frames.Garbled, match=why):
        connection.receive(data)


def test_settings_come_first() -> None:
    with pytest.raises(frames.Garbled, match="settings"):
        connections.Connection().receive(frames.frame(frames.PING, 0, 0, b"12345678"))


frame_bytes = st.builds(
    frames.frame,
    st.integers(0, 12),
    st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x2D]),
    st.sampled_from([0, 1, 3, 5, 7]),
    st.binary(max_size=40) | st.just(OK),
)


@given(some=st.lists(frame_bytes | st.binary(max_size=30), max_size=12))
def test_whatever_comes_it_is_read_or_garbled_and_all_end_once(some: list[bytes]) -> None:
    connection = greeted({3: 3})
    streams = [begun(connection, complete=number % 2 == 0) for number in range(4)]
    try:
        for data in some:
            connection.receive(data)
    except frames.Garbled:
        pass
    connection.lost("gone")
    assert [len(stream.end) for stream in streams] == [1] * 4
    assert not connection.streams
