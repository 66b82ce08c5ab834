"""Field selectors: grammar, keys per kind, values of objects (spec api-machinery, 13)."""

import pytest

from kubeherd.cluster.api import fields, kinds
from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.fields import FieldRequirement


def test_the_grammar_of_field_selectors() -> None:
    selector = fields.parse(r"a=b,c!=d,,e==f\,g\=h\\i")
    assert selector.requirements == (
        FieldRequirement("a", "b"),
        FieldRequirement("c", "d", negated=True),
        FieldRequirement("e", "f,g=h\\i"),
    )
    assert fields.parse("").empty


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "invalid selector: 'abc'; can't understand 'abc'"),
        (r"a=b\c", "invalid field selector: invalid escape sequence: \\c"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_malformed_text_is_a_bad_request(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        fields.parse(text)
    assert caught.value.message == message


def test_absent_fields_compare_as_empty() -> None:
    assert fields.parse("a!=b").matches({})
    assert fields.parse("a=").matches({})
    assert not fields.parse("a=b").matches({})


@pytest.mark.parametrize(
    ("resource", "text", "message"),
    [
        (kinds.PODS, "spec.foo=x", "field label not supported: spec.foo"),
        (kinds.NODES, "status.phase=x", "field label not supported: status.phase"),
        (kinds.EVENTS_V1, "involvedObject.kind=Pod", "field label not supported"),
        (
            kinds.DAEMONSETS,
            "spec.foo=x",
            '"spec.foo" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        (kinds.CONFIGMAPS, "data=x", '"data" is not a known field selector'),
    ],
)
def test_unsupported_fields_are_bad_requests(
    resource: kinds.Resource, text: str, message: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        fields.parse(text, resource)
    assert caught.value.message.startswith(message)


def test_the_selectable_fields_of_a_pod() -> None:
    pod = {
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"nodeName": "n1", "restartPolicy": "Always", "hostNetwork": True},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    }
    assert fields.selectable(kinds.PODS, pod) == {
        "metadata.name": "p",
        "metadata.namespace": "n",
        "spec.nodeName": "n1",
        "spec.restartPolicy": "Always",
        "spec.hostNetwork": "true",
        "status.phase": "Running",
        "status.podIP": "10.0.0.1",
    }
    selector = fields.parse("spec.host=n1,status.phase!=Failed", kinds.PODS)
    assert selector.matches(fields.selectable(kinds.PODS, pod))
    assert selector.exact("spec.nodeName") == "n1"
    assert selector.exact("status.phase") is None


def test_flags_have_a_value_when_absent() -> None:
    assert fields.selectable(kinds.NODES, {})["spec.unschedulable"] == "false"
    assert fields.selectable(kinds.PODS, {})["spec.hostNetwork"] == "false"


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        (kinds.EVENTS, "involvedObject.kind=Pod,source=kubelet,type=Normal,reason=Pulled"),
        (kinds.EVENTS_V1, "regarding.kind=Pod,type=Normal"),
    ],
)
def test_both_event_apis_select_the_same_values(resource: kinds.Resource, text: str) -> None:
    core = {
        "involvedObject": {"kind": "Pod"},
        "source": {"component": "kubelet"},
        "type": "Normal",
        "reason": "Pulled",
    }
    newer = {
        "regarding": {"kind": "Pod"},
        "reportingController": "kubelet",
        "type": "Normal",
        "reason": "Pulled",
    }
    for tree in (core, newer):
        assert fields.parse(text, resource).matches(fields.selectable(resource, tree))
