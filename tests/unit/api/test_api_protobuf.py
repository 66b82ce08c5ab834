"""Kubernetes protobuf bodies: what kubectl sends, and what can go wrong."""

import pytest

from kubeherd.cluster.api.errors import BadRequest, UnsupportedMediaType
from kubeherd.cluster.api.serializer import codecs, protobuf

CONFIG_MAP = b'k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12!\n\x17\n\x01x\x12\x00\x1a\x06team-a"\x00*\x002\x008\x00B\x00\x12\x06\n\x01a\x12\x01b\x1a\x00"\x00'  # noqa: E501
"""What ``kubectl create configmap x -n team-a --from-literal=a=b`` sends."""


def message(*fields: tuple[int, bytes | int]) -> bytes:
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def varint(number: int) -> bytes:
    number &= 2**64 - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    type_meta = message((1, api_version.encode()), (2, kind.encode()))
    return protobuf.MAGIC + message((1, type_meta), (2, raw), (3, b""), (4, b""))


def test_a_body_of_kubectl() -> None:
    assert codecs.decode_body(codecs.PROTOBUF, CONFIG_MAP).tree == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x", "namespace": "team-a"},
        "data": {"a": "b"},
    }


def test_bytes_quantities_numbers_times_and_lists() -> None:
    secret = message(
        (1, message((1, b"s"), (8, message((1, 1_700_000_000), (2, 0))), (14, b"f"), (14, b"g"))),
        (2, message((1, b"k"), (2, b"\x00\xff"))), (3, b"Opaque"), (5, 0),
    )  # fmt: skip
    assert protobuf.decode(body("v1", "Secret", secret)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "s",
            "creationTimestamp": "2023-11-14T22:13:20Z",
            "finalizers": ["f", "g"],
        },
        "data": {"k": "AP8="},
        "type": "Opaque",
        "immutable": False,
    }
    hard = message((1, b"cpu"), (2, message((1, b"500m"))))
    quota = message((1, message((1, b"q"))), (2, message((1, hard))))
    assert protobuf.decode(body("v1", "ResourceQuota", quota))["spec"] == {"hard": {"cpu": "500m"}}


def test_int_or_string_keeps_zero() -> None:
    spec = message((1, message((1, 0), (2, 0), (3, b""))), (3, message((1, 1), (2, 0), (3, b"5%"))))
    tree = protobuf.decode(body("policy/v1", "PodDisruptionBudget", message((2, spec))))
    assert tree["spec"] == {"minAvailable": 0, "maxUnavailable": "5%"}


def test_negative_numbers_and_unknown_fields() -> None:
    raw = message((1, message((1, b"p"))), (2, -5), (99, b"later"), (98, 7))
    tree = protobuf.decode(body("scheduling.k8s.io/v1", "PriorityClass", raw))
    assert tree["value"] == -5


def test_zero_values_stand_for_absent() -> None:
    raw = message((1, message((1, b"p"), (7, 0), (3, b""))), (2, 0), (3, 0), (4, b""))
    tree = protobuf.decode(body("scheduling.k8s.io/v1", "PriorityClass", raw))
    assert tree["metadata"] == {"name": "p"}
    assert "globalDefault" not in tree
    assert tree["value"] == 0


def test_other_kinds_are_pointed_to_json() -> None:
    with pytest.raises(UnsupportedMediaType, match="send application/json instead"):
        protobuf.decode(body("v1", "Pod", b""))


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\xff", message((1, 5)), message((2, b"\x0a")),
        message((2, message((1, b"\xff\xff")))),
        b"\x0b", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ],
)  # fmt: skip
def test_malformed_messages_are_bad_requests_or_empty(raw: bytes) -> None:
    if raw == b"":
        assert protobuf.decode(body("v1", "Namespace", raw)) == {
            "apiVersion": "v1", "kind": "Namespace",
        }  # fmt: skip
        return
    with pytest.raises(BadRequest, match="unable to decode the protobuf body"):
        protobuf.decode(body("v1", "Namespace", raw))


def test_the_magic_is_needed() -> None:
    with pytest.raises(BadRequest, match="expected prefix"):
        protobuf.decode(b"{}")
