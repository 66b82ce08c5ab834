"""Kubernetes protobuf bodies: what clients send, what Kubernetes' generated code would write, and
what can go wrong."""

import json
from typing import Any

import pytest
from protowire import Field, body, message, opened

from kubeherd.cluster.api.errors import BadRequest, NotAcceptable
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.api.serializer.protobuf import bodies, wire

CONFIG_MAP = b'k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12!\n\x17\n\x01x\x12\x00\x1a\x06team-a"\x00*\x002\x008\x00B\x00\x12\x06\n\x01a\x12\x01b\x1a\x00"\x00'  # noqa: E501
"""What ``kubectl create configmap x -n team-a --from-literal=a=b`` sends."""
CONFIG_MAP_TREE = {
    "kind": "ConfigMap",
    "apiVersion": "v1",
    "metadata": {"name": "x", "namespace": "team-a"},
    "data": {"a": "b"},
}
META = message((1, b"n"), (2, b""), (3, b""), (4, b""), (5, b""), (6, b""), (7, 0), (8, b""))
"""ObjectMeta of an object that has nothing but the name n."""


def test_a_body_of_kubectl_is_read_and_written() -> None:
    assert codecs.decode_body(codecs.PROTOBUF, CONFIG_MAP).tree == CONFIG_MAP_TREE
    assert bodies.encode(CONFIG_MAP_TREE) == CONFIG_MAP


def written(api_version: str, kind: str, **fields: Any) -> bytes:
    """The message of an object named n."""
    tree = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "n"}, **fields}
    found = opened(bodies.encode(tree))
    assert found[:2] == (api_version, kind)
    return found[2]


def test_scalars_and_structs_are_written_though_zero_but_pointers_only_when_set() -> None:
    assert written("v1", "Namespace") == message((1, META), (2, b""), (3, message((1, b""))))
    assert written("v1", "ServiceAccount", automountServiceAccountToken=False) == message(
        (1, META), (4, 0)
    )


def test_fields_are_in_the_order_of_their_numbers_not_of_the_struct() -> None:
    assert written("v1", "Secret", immutable=True, type="t", data={"k": "AP8="}) == message(
        (1, META), (2, message((1, b"k"), (2, b"\x00\xff"))), (3, b"t"), (5, 1)
    )


def test_maps_are_in_the_order_of_their_keys() -> None:
    entries = [(2, message((1, key), (2, b""))) for key in (b"B", b"a", "é".encode())]
    assert written("v1", "ConfigMap", data={"é": "", "a": "", "B": ""}) == message(
        (1, META), *entries
    )


NO_LESS_THAN_0 = message((1, 0), (2, 0), (3, b""))
FIVE_PERCENT = message((1, 1), (2, 0), (3, b"5%"))


def test_types_with_a_form_of_their_own() -> None:
    at = message((1, 1_700_000_000), (2, 0))
    lease = {"acquireTime": "2023-11-14T22:13:20.000250Z", "leaseTransitions": -1}
    assert written("coordination.k8s.io/v1", "Lease", spec=lease) == message(
        (1, META), (2, message((3, message((1, 1_700_000_000), (2, 250_000))), (5, -1)))
    )
    budget = {"minAvailable": 0, "maxUnavailable": "5%"}
    status = {"disruptedPods": {"p": "2023-11-14T22:13:20Z"}}
    counts: list[Field] = [
        (1, 0),
        (2, message((1, b"p"), (2, at))),
        *((number, 0) for number in (3, 4, 5, 6)),
    ]
    assert written("policy/v1", "PodDisruptionBudget", spec=budget, status=status) == message(
        (1, META),
        (2, message((1, NO_LESS_THAN_0), (3, FIVE_PERCENT))),
        (3, message(*counts)),
    )  # fmt: skip
    quota = message((1, b"cpu"), (2, message((1, b"500m"))))
    assert written("v1", "ResourceQuota", spec={"hard": {"cpu": "500m"}}) == message(
        (1, META), (2, message((1, quota))), (3, b"")
    )
    assert written("apps/v1", "ControllerRevision", data={"spec": {}}, revision=3) == message(
        (1, META), (2, message((1, b'{"spec":{}}'))), (3, 3)
    )


def test_a_list_that_is_a_message_of_its_own() -> None:
    user = {"username": "u", "extra": {"k": ["a", "b"]}}
    extra = message((1, b"k"), (2, message((1, b"a"), (1, b"b"))))
    tree = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}}
    found = bodies.encode({**tree, "status": {"userInfo": user}})
    assert opened(found)[2].endswith(
        message((2, message((1, message((1, b"u"), (2, b""), (4, extra))))))
    )
    assert bodies.decode(found) == {**tree, "status": {"userInfo": user}}


def test_embedded_structs_have_a_message_but_no_name_in_json() -> None:
    volume = {"name": "v", "emptyDir": {}}
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {}, "status": {}}
    tree = {**pod, "spec": {"volumes": [volume]}}
    data = bodies.encode(tree)
    assert message((1, message((1, b"v"), (2, message((2, message((1, b"")))))))) in data
    assert bodies.decode(data) == tree


def test_schemas_of_custom_resources() -> None:
    schema = {
        "type": "object",
        "default": {"a": None},
        "maximum": 1.5,
        "minimum": 2,
        "enum": [None, 1, "x"],
        "items": [{"type": "string"}, {}],
        "additionalProperties": False,
        "additionalItems": {"type": "string"},
        "dependencies": {"a": ["b"], "c": {"type": "null"}},
        "x-kubernetes-preserve-unknown-fields": False,
        "x-kubernetes-validations": [{"rule": "self.a"}, {"rule": ""}],
    }
    names = {"plural": "", "kind": "K"}
    version = {
        "name": "v1",
        "served": True,
        "storage": False,
        "schema": {"openAPIV3Schema": schema},
    }
    tree = {
        "kind": "CustomResourceDefinition",
        "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {"name": "n"},
        "spec": {"group": "g", "names": names, "scope": "", "versions": [version]},
        "status": {"acceptedNames": names},
    }
    assert bodies.decode(bodies.encode(tree)) == tree


def test_what_go_writes_in_json_though_nobody_sent_it() -> None:
    raw = message((1, message((1, b"p"), (7, 0), (3, b""))), (3, 0), (4, b""))
    assert bodies.decode(body("scheduling.k8s.io/v1", "PriorityClass", raw)) == {
        "kind": "PriorityClass",
        "apiVersion": "scheduling.k8s.io/v1",
        "metadata": {"name": "p"},
        "value": 0,
    }


def test_unknown_fields_are_skipped_and_parts_merged() -> None:
    group = b"\x9b\x06" + message((1, 7)) + b"\x9c\x06"  # field 99 as a group
    fixed = b"\x99\x06" + bytes(8) + b"\x9d\x06" + bytes(4)
    raw = message((1, message((1, b"a"), (3, b"ns"))), (98, b"later"), (97, 7)) + group + fixed
    raw += message((1, message((1, b"b"))))
    tree = bodies.decode(body("v1", "ConfigMap", raw))
    assert tree["metadata"] == {"name": "b", "namespace": "ns"}


def test_numbers_are_cut_to_their_size_and_may_be_packed() -> None:
    raw = message((1, META), (2, 2**32 + 5))
    tree = bodies.decode(body("scheduling.k8s.io/v1", "PriorityClass", raw))
    assert tree["value"] == 5
    context = message((4, b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), (4, 7))
    tree = bodies.decode(body("v1", "Pod", message((2, message((14, context))))))
    assert tree["spec"]["securityContext"] == {"supplementalGroups": [1, -1, 7]}


def test_text_that_is_no_utf_8_is_read_as_go_writes_it() -> None:
    tree = bodies.decode(body("v1", "ConfigMap", message((2, message((1, b"k"), (2, b"a\xff"))))))
    assert tree["data"] == {"k": "a�"}


def test_a_body_without_kind_is_what_the_path_says() -> None:
    tree = bodies.decode(body("", "", message((1, message((1, b"x"))))), "v1", "ConfigMap")
    assert tree == {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}}


def test_every_group_version_has_delete_options() -> None:
    tree = bodies.decode(body("apps/v1", "DeleteOptions", message((1, 0), (4, b"Orphan"))))
    assert tree["gracePeriodSeconds"] == 0
    assert tree["propagationPolicy"] == "Orphan"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xff", "unexpected EOF"),
        (b"\xff" * 10, "proto: integer overflow"),
        (message((1, 5)), "proto: wrong wireType = 0 for field ObjectMeta"),
        (message((1, message((7, b"")))), "proto: wrong wireType = 2 for field Generation"),
        (message((2, b"\x0a")), "unexpected EOF"),
        (message((1, b"\x0a\x05ab")), "unexpected EOF"),
        (b"\x0c", "proto: Namespace: wiretype end group for non-group"),
        (b"\x00", "proto: Namespace: illegal tag 0 (wire type 0)"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "proto: negative length found during unmarshaling"),
        (b"\xff\x06", "proto: illegal wireType 7"),
        (message((1, message((8, message((1, 2**62)))))), "time out of range"),
        (message((1, message((17, message((7, message((1, b"{")))))))), "json: "),
    ],
)
def test_malformed_messages_are_told_in_the_words_of_go(raw: bytes, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        bodies.decode(body("v1", "Namespace", raw), "v1", "Namespace")
    prefix = 'Namespace in version "v1" cannot be handled as a Namespace: '
    assert caught.value.message.startswith(prefix + text)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"", "empty data (<empty>)"),
        (b"k8s\x00", "empty body (6b387300)"),
        (b"k8s\x00\xff", "unexpected EOF (6b387300ff)"),
        (
            json.dumps({"apiVersion": "apps/v1", "kind": "Deployment"}).encode(),
            "provided data does not appear to be a protobuf message, expected prefix "
            '[107 56 115 0] ({"apiVersion": "apps/v1", "kin ...)',
        ),
    ],
)
def test_what_is_no_envelope_is_not_recognized(sent: bytes, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        bodies.decode(sent, "apps/v1", "Deployment")
    assert caught.value.message == (
        f"the object provided is unrecognized (must be of type Deployment): {text}"
    )


def test_a_kind_that_is_not_served() -> None:
    with pytest.raises(BadRequest) as caught:
        bodies.decode(body("example.com/v1", "Widget", b""), "v1", "Pod")
    assert caught.value.message == (
        'Widget in version "v1" cannot be handled as a Pod: no kind "Widget" is registered for '
        'version "example.com/v1" in scheme "pkg/api/legacyscheme/scheme.go:30"'
    )


@pytest.mark.parametrize(
    "tree",
    [
        {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": []},
        {"kind": "ConfigMap", "apiVersion": "v1", "data": [1]},
        {"kind": "Namespace", "apiVersion": "v1", "metadata": 5},
    ],
)
def test_what_has_no_message_is_not_acceptable(tree: dict[str, Any]) -> None:
    with pytest.raises(NotAcceptable, match="cannot be encoded to a protobuf message"):
        bodies.encode(tree)


def test_an_event_of_a_stream_has_its_length_in_front() -> None:
    framed = bodies.frame("ADDED", CONFIG_MAP)
    event = message((1, b"ADDED"), (2, message((1, CONFIG_MAP))))
    assert framed == len(event).to_bytes(4, "big") + event


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**31, 2**63 - 1, -1, -(2**63)])
def test_numbers_on_the_wire(number: int) -> None:
    data = wire.varint(number)
    value, end = wire.read_varint(data + b"\x00", 0)
    assert (wire.signed(value, 64), end) == (number, len(data))
