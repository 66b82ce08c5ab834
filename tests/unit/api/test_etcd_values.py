"""Values in etcd become JSON: whoever wrote them, in whichever form and version."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from kubeherd.cluster.api.etcd import keys, values
from kubeherd.cluster.api.serializer.protobuf import bodies

POD: dict[str, Any] = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "a", "namespace": "default", "uid": "u"},
    "spec": {"containers": [{"name": "c", "image": "i", "resources": {}}]},
    "status": {},
}
RECORDED: Any = json.loads((Path(__file__).parents[2] / "data" / "etcd-values.json").read_bytes())
"""What kube-apiserver v1.36.2 with its default options kept in etcd 3.4.23, and what it showed."""


def compact(tree: Any) -> bytes:
    return json.dumps(tree, separators=(",", ":")).encode()


def test_json_without_a_revision_stays_as_it_is() -> None:
    assert values.to_json("pods", compact(POD)) == compact(POD)


def test_the_newline_of_gos_encoder_goes() -> None:
    assert values.to_json("pods", compact(POD) + b"\n") == compact(POD)


def test_a_revision_that_was_stored_goes() -> None:
    stored = {**POD, "metadata": {**POD["metadata"], "resourceVersion": "7"}}
    assert json.loads(values.to_json("pods", compact(stored))) == POD


def test_the_revision_of_another_object_stays() -> None:
    event = {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "name": "a", "resourceVersion": "7"},
    }
    assert values.to_json("events", compact(event)) == compact(event)


def test_protobuf_of_a_real_api_server() -> None:
    tree = json.loads(values.to_json("pods", bodies.encode(POD)))
    assert tree["spec"]["containers"][0]["image"] == "i"
    assert tree["apiVersion"] == "v1"
    assert "resourceVersion" not in tree["metadata"]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded["key"])
def test_what_a_real_api_server_keeps_is_what_it_shows(recorded: Any) -> None:
    key = keys.decode(recorded["key"].encode())
    assert key is not None
    value = base64.b64decode(recorded["value"])
    assert json.loads(values.to_json(key.resource_key, value)) == recorded["shown"]


@pytest.mark.parametrize("protobuf", [False, True])
def test_a_version_that_differs_by_name_only_becomes_ours(protobuf: bool) -> None:
    policy = {
        "kind": "MutatingAdmissionPolicy",
        "apiVersion": "admissionregistration.k8s.io/v1",
        "metadata": {"name": "p"},
        "spec": {"reinvocationPolicy": "Never"},
    }
    version = "admissionregistration.k8s.io/v1beta1"
    if protobuf:
        body = bodies.opened(bodies.encode(policy))
        value = bodies.wrapped(version, body.kind, body.raw)
    else:
        value = compact({**policy, "apiVersion": version})
    resource_key = "mutatingadmissionpolicies.admissionregistration.k8s.io"
    tree = json.loads(values.to_json(resource_key, value))
    assert tree["apiVersion"] == policy["apiVersion"]
    assert tree["spec"]["reinvocationPolicy"] == "Never"


def test_a_custom_resource_is_kept_in_its_version() -> None:
    panda = {"apiVersion": "awesome.bears.com/v3", "kind": "Panda", "metadata": {"name": "p"}}
    assert values.to_json("pandas.awesome.bears.com", compact(panda)) == compact(panda)


SCHEMA = {"openAPIV3Schema": {"type": "object"}}
OLD_DEFINITION: Any = {
    "kind": "CustomResourceDefinition",
    "apiVersion": "apiextensions.k8s.io/v1beta1",
    "metadata": {"name": "foos.cr.bar.com", "uid": "u", "creationTimestamp": None},
    "spec": {
        "group": "cr.bar.com",
        "version": "v1",
        "names": {"plural": "foos", "kind": "Foo"},
        "scope": "Namespaced",
        "validation": SCHEMA,
        "subresources": {"status": {}},
        "versions": [
            {"name": "v1", "served": True, "storage": True},
            {"name": "v2", "served": True, "storage": False},
        ],
        "additionalPrinterColumns": [{"name": "x", "type": "string", "JSONPath": ".spec.x"}],
        "conversion": {
            "strategy": "Webhook",
            "webhookClientConfig": {"url": "https://127.0.0.1:1"},
            "conversionReviewVersions": ["v1"],
        },
        "preserveUnknownFields": False,
    },
    "status": {"storedVersions": ["v1"]},
}
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


def test_a_definition_in_its_short_form_becomes_v1() -> None:
    tree = json.loads(values.to_json(DEFINITIONS, compact(OLD_DEFINITION)))
    common = {
        "schema": SCHEMA,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": "x", "type": "string", "jsonPath": ".spec.x"}],
    }
    assert tree["apiVersion"] == "apiextensions.k8s.io/v1"
    assert tree["spec"] == {
        "group": "cr.bar.com",
        "names": {"plural": "foos", "kind": "Foo"},
        "scope": "Namespaced",
        "versions": [
            {"name": "v1", "served": True, "storage": True, **common},
            {"name": "v2", "served": True, "storage": False, **common},
        ],
        "conversion": {
            "strategy": "Webhook",
            "webhook": {
                "clientConfig": {"url": "https://127.0.0.1:1"},
                "conversionReviewVersions": ["v1"],
            },
        },
    }
    assert tree["status"] == OLD_DEFINITION["status"]


def test_a_definition_of_the_first_days_has_one_version_and_keeps_unknown_fields() -> None:
    spec = {"group": "g.io", "version": "v1", "names": {"plural": "foos"}, "scope": "Cluster"}
    tree = json.loads(values.to_json(DEFINITIONS, compact({**OLD_DEFINITION, "spec": spec})))
    assert tree["spec"] == {
        "group": "g.io",
        "names": {"plural": "foos"},
        "scope": "Cluster",
        "versions": [{"name": "v1", "served": True, "storage": True}],
        "conversion": {"strategy": "None"},
        "preserveUnknownFields": True,
    }


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "EOF|unexpected end"),
        (b"[]", "no object"),
        (b'{"kind":"Pod","metadata":{"resourceVersion":"1"', "unexpected"),
        (b"k8s:enc:aescbc:v1:key1:xyz", "encrypted"),
        (bodies.MAGIC, "empty body"),
        (bodies.MAGIC + b"\xff\xff", "EOF"),
        (bodies.wrapped("v1", "Unicorn", b""), "no kind"),
    ],
)
def test_what_cannot_be_read_says_why(value: bytes, why: str) -> None:
    with pytest.raises(values.Unreadable, match=why):
        values.to_json("pods", value)
