"""Errors of etcd: whether a write may have been made, and what a person is told."""

import pytest

from kubeherd.cluster.store.engine import StoreError
from kubeherd.cluster.store.etcd.failures import Meaning, judge
from kubeherd.cluster.store.etcd.target import EtcdTarget, address


@pytest.mark.parametrize(
    ("code", "details", "meaning"),
    [
        ("UNAVAILABLE", "etcdserver: no leader", Meaning.ELSEWHERE),
        ("UNAVAILABLE", "etcdserver: rpc not supported for learner", Meaning.ELSEWHERE),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", Meaning.ELSEWHERE),
        ("NOT_CARRIED_OUT", "it goes away", Meaning.ELSEWHERE),
        ("UNAVAILABLE", "etcdserver: request timed out", Meaning.UNKNOWN),
        ("UNAVAILABLE", "etcdserver: leader changed", Meaning.UNKNOWN),
        ("UNAVAILABLE", "etcdserver: server stopped", Meaning.UNKNOWN),
        ("UNAVAILABLE", "the connection broke", Meaning.UNKNOWN),
        ("DEADLINE_EXCEEDED", "context deadline exceeded", Meaning.UNKNOWN),
        ("CANCELLED", "", Meaning.UNKNOWN),
        ("INTERNAL", "stream terminated by RST_STREAM", Meaning.UNKNOWN),
        ("UNKNOWN", "raft proposal dropped", Meaning.UNKNOWN),
        ("UNAUTHENTICATED", "etcdserver: invalid auth token", Meaning.UNAUTHENTICATED),
        ("INVALID_ARGUMENT", "etcdserver: revision of auth store is old", Meaning.UNAUTHENTICATED),
        ("NOT_FOUND", "etcdserver: requested lease not found", Meaning.NO_LEASE),
        ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", Meaning.NO_SPACE),
        (
            "OUT_OF_RANGE",
            "etcdserver: mvcc: required revision has been compacted",
            Meaning.COMPACTED,
        ),
        ("PERMISSION_DENIED", "etcdserver: permission denied", Meaning.REFUSED),
        ("INVALID_ARGUMENT", "etcdserver: request is too large", Meaning.REFUSED),
        ("INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request", Meaning.REFUSED),
    ],
)
def test_an_error_has_its_meaning(code: str, details: str, meaning: Meaning) -> None:
    failure = judge(code, details)
    assert failure.meaning is meaning
    assert failure.why
    assert "\n" not in failure.why


@pytest.mark.parametrize(
    ("details", "why"),
    [
        ("etcdserver: no leader", "most members are down or cut off"),
        ("Connection refused", "is etcd running?"),
        ("etcdserver: mvcc: database space exceeded", "defragment"),
        ("handshake failed: [SSL: CERTIFICATE_VERIFY_FAILED] self signed", "another CA"),
        ("handshake failed: [SSL: WRONG_VERSION_NUMBER]", "look at the scheme"),
        ("etcdserver: something\nnew", "something new"),
    ],
)
def test_a_person_is_told_what_to_do(details: str, why: str) -> None:
    assert why in judge("UNAVAILABLE", details).why


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://127.0.0.1:2379", ("127.0.0.1", 2379)),
        ("http://etcd.example.org:2379/", ("etcd.example.org", 2379)),
        ("https://[::1]:2379", ("::1", 2379)),
    ],
)
def test_an_endpoint_has_an_address(endpoint: str, expected: tuple[str, int]) -> None:
    assert address(endpoint) == expected


@pytest.mark.parametrize(
    "endpoint",
    ["", "127.0.0.1:2379", "https://127.0.0.1", "ftp://a:1", "http://a:x", "http://a:1/v3"],
)
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(StoreError, match="must look like"):
        EtcdTarget((endpoint,)).check()


def test_credentials_come_in_pairs() -> None:
    with pytest.raises(StoreError, match="no endpoint"):
        EtcdTarget(()).check()
    with pytest.raises(StoreError, match="password"):
        EtcdTarget(("http://a:1",), user="root").check()
    assert "secret" not in repr(EtcdTarget(("http://a:1",), user="root", password="secret"))
