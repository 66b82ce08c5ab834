"""What access reviews demand, in the words of a real kube-apiserver v1.36.2."""

from typing import Any

import pytest
from apicluster import Cluster

REVIEWS = "/apis/authorization.k8s.io/v1"
SELF = f"{REVIEWS}/selfsubjectaccessreviews"
SUBJECT = f"{REVIEWS}/subjectaccessreviews"
LOCAL = f"{REVIEWS}/namespaces/default/localsubjectaccessreviews"
GET = {"verb": "get", "resource": "pods"}
PATH = {"path": "/", "verb": "get"}


def _selects(**selectors: Any) -> Any:
    return {"user": "u", "resourceAttributes": {"verb": "list", **selectors}}


@pytest.mark.parametrize(
    ("path", "spec", "causes"),
    [
        (SELF, {}, ["spec.resourceAttributes: Invalid value: null: exactly one of "
                    "nonResourceAttributes or resourceAttributes must be specified"]),
        (SELF, {"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"path": "/"}},
         ['spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":""}: cannot be specified '
          "in combination with resourceAttributes"]),
        (SUBJECT, {"resourceAttributes": GET},
         ['spec.user: Invalid value: "": at least one of user or group must be specified']),
        (SELF, _selects(labelSelector={"rawSelector": "a=b", "requirements": [
            {"key": "a", "operator": "Exists"}]}),
         ['spec.resourceAttributes.labelSelector.rawSelector: Invalid value: "a=b": may not '
          "specified at the same time as requirements"]),
        (SUBJECT, _selects(fieldSelector={}),
         ["spec.resourceAttributes.fieldSelector.requirements: Required value: when "
          "spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is "
          "required"]),
        (SUBJECT, _selects(fieldSelector={"requirements": [{"operator": "In"}]}),
         ["spec.resourceAttributes.fieldSelector.requirements[0].key: Required value: must be "
          "specified",
          "spec.resourceAttributes.fieldSelector.requirements[0].values: Required value: must be "
          "specified when `operator` is 'In' or 'NotIn'"]),
        (SUBJECT, _selects(labelSelector={"requirements": [
            {"key": "a", "operator": "Exists", "values": ["b"]}]}),
         ["spec.resourceAttributes.labelSelector.requirements[0].values: Forbidden: may not be "
          "specified when `operator` is 'Exists' or 'DoesNotExist'"]),
        (LOCAL, {"user": "u", "resourceAttributes": {**GET, "namespace": "x"}},
         ['spec.resourceAttributes.namespace: Invalid value: "x": must match metadata.namespace']),
        (LOCAL, {"user": "u", "nonResourceAttributes": PATH},
         ['spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":"get"}: disallowed on '
          "this kind of request"]),
    ],
)  # fmt: skip
async def test_questions_that_cannot_be_answered(
    cluster: Cluster, path: str, spec: Any, causes: list[str]
) -> None:
    answer = await cluster.post(path, {"spec": spec})
    shown = causes[0] if len(causes) == 1 else f"[{', '.join(causes)}]"
    assert (answer.status, answer.message) == (
        422, f'.authorization.k8s.io "" is invalid: {shown}',
    )  # fmt: skip
    assert answer.tree["details"].keys() == {"group", "causes"}


async def test_operators_of_newer_clients_are_no_error(cluster: Cluster) -> None:
    requirement = {"key": "a", "operator": "Newer", "values": ["x"]}
    selectors = {"requirements": [requirement]}
    spec = _selects(labelSelector=selectors, fieldSelector=selectors)
    assert (await cluster.post(SUBJECT, {"spec": spec})).status == 201


async def test_metadata_must_be_empty(cluster: Cluster) -> None:
    spec = {"user": "u", "resourceAttributes": GET}
    body: dict[str, Any] = {"metadata": {"name": "x"}, "spec": spec}
    answer = await cluster.post(SUBJECT, body)
    assert answer.status == 422
    assert 'metadata: Invalid value: {"name":"x"' in answer.message
    assert answer.message.endswith(": must be empty")
    body["spec"]["resourceAttributes"] = {**GET, "namespace": "default"}
    local = await cluster.post(LOCAL, {**body, "metadata": {"labels": {"a": "b"}}})
    assert local.message.endswith(": must be empty except for namespace")
    assert (await cluster.post(LOCAL, {**body, "metadata": {}})).status == 201
    wrong = await cluster.post(LOCAL, {**body, "metadata": {"namespace": "x"}})
    assert wrong.status == 400


async def test_answers_show_who_wrote_the_question(cluster: Cluster) -> None:
    spec = {"user": "u", "resourceAttributes": GET}
    tree = (await cluster.post(f"{SUBJECT}?fieldManager=me", {"spec": spec})).tree
    (entry,) = tree["metadata"]["managedFields"]
    assert entry["manager"] == "me"
    assert entry["fieldsV1"] == {"f:spec": {
        "f:resourceAttributes": {".": {}, "f:resource": {}, "f:verb": {}}, "f:user": {},
    }}  # fmt: skip
    assert tree["status"] == {"allowed": False}


async def test_self_reviews_do_not_repeat_the_question(cluster: Cluster) -> None:
    body = {"spec": {"namespace": "default"}}
    rules = (await cluster.post(f"{REVIEWS}/selfsubjectrulesreviews", body)).tree
    assert (rules["metadata"], rules["spec"]) == ({}, {})
    assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in (
        rules["status"]["resourceRules"]
    )
    who = await cluster.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert who.tree["metadata"].keys() == {"creationTimestamp"}
    assert "spec" not in who.tree


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (SELF, {"spec": {"nonResourceAttributes": PATH}}),
        ("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}),
        ("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}}),
    ],
)
async def test_no_table_shows_what_is_only_answered(cluster: Cluster, path: str, body: Any) -> None:
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    answer = await cluster.post(path, body, accept=table)
    assert (answer.status, answer.tree["reason"]) == (406, "NotAcceptable")
    assert answer.message.startswith("only the following media types are accepted: ")
    assert (await cluster.post(path, body, accept=f"{table},application/json")).status != 406
