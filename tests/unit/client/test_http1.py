"""Requests as bytes, answers out of bytes: however cut, and whatever is wrong with them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeherd.cluster.client.http.http1 import AnswerReader, Damaged, Unfit, request

OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = [
    (OK + b"Content-Length: 5\r\n\r\nhello", b"hello", True),
    (OK + b"Content-Length: 0\r\n\r\n", b"", True),
    (OK + b"content-LENGTH:5 \r\nConnection: Close\r\n\r\nhello", b"hello", False),
    (b"HTTP/1.0 200\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi", b"hi", True),
    (b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", b"", True),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", b"", True),
    (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n"
        + OK
        + b"Content-Length: 2\r\n\r\nhi",
        b"hi",
        True,
    ),
    (
        OK + b"Transfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\n00a \r\n, you all.\r\n0\r\n\r\n",
        b"hello, you all.",
        True,
    ),
    (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\nTrailer: x\r\n\r\n", b"A", True),
]


@given(
    st.sampled_from(ANSWERS), st.lists(st.integers(0, 200)).map(sorted).map(lambda cut: [0, *cut])
)
def test_an_answer_is_the_same_however_it_comes(
    answer: tuple[bytes, bytes, bool], cuts: list[int]
) -> None:
    data, body, reusable = answer
    reader = AnswerReader()
    pieces = [data[begin:end] for begin, end in pairwise([*cuts, len(data)])]
    assert b"".join(map(reader.feed, pieces)) == body
    assert reader.complete
    assert reader.reusable is reusable
    reader.end()
    with pytest.raises(Damaged, match="more than the answer"):
        reader.feed(b"H")


def test_headers_are_told_by_names_in_lower_case() -> None:
    reader = AnswerReader()
    reader.feed(OK + b"A-B: c: d \r\nSet: 1\r\nset:2\r\nEmpty:\r\nContent-Length: 0\r\n\r\n")
    assert reader.head is not None
    assert reader.head.status == 200
    told = {"a-b": "c: d", "set": "1, 2", "empty": "", "content-length": "0"}
    assert reader.head.headers == told


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    reader = AnswerReader()
    assert reader.feed(OK + b"\r\nhel") + reader.feed(b"lo") == b"hello"
    assert not reader.complete
    reader.end()
    assert reader.complete
    assert not reader.reusable


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        OK + b"Content-Length: +5\r\n\r\nhello",
        OK + b"Content-Length: 4\r\n\r\nhello",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 5000,
        OK + b" folded: x\r\nContent-Length: 0\r\n\r\n",
        OK + b"Content-Length : 0\r\n\r\n",
        OK + b"none\r\nContent-Length: 0\r\n\r\n",
        OK + b"a: b\nContent-Length: 0\r\n\r\n",
        OK + b"x" * 70_000,
    ],
)
def test_what_is_no_answer_or_may_end_elsewhere_is_refused(data: bytes) -> None:
    with pytest.raises(Damaged):
        AnswerReader().feed(data)


@pytest.mark.parametrize("data", [b"", OK, OK + b"Content-Length: 5\r\n\r\nhell"])
def test_an_answer_that_breaks_off_is_refused(data: bytes) -> None:
    reader = AnswerReader()
    reader.feed(data)
    with pytest.raises(Damaged, match="in the middle"):
        reader.end()


def test_a_request_says_how_long_its_body_is() -> None:
    assert request("GET", "/a?b", {"Host": "h"}, None) == b"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n"
    assert request("DELETE", "/a", {}, None) == b"DELETE /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    assert request("GET", "/", {}, b"xy") == b"GET / HTTP/1.1\r\nContent-Length: 2\r\n\r\nxy"


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb"])
def test_no_header_becomes_two(value: str) -> None:
    with pytest.raises(Unfit):
        request("GET", "/", {"Authorization": value}, None)
