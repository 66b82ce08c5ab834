"""ValidatingAdmissionPolicy on a server in process.

Texts and rules: Kubernetes v1.36, apiserver/pkg/admission/plugin/policy, with its tests and
test/integration/apiserver/cel.
"""

import json
from typing import Any

import pytest
from apicluster import BOB, Cluster, config_map, daemon_set, pod
from policycluster import GROUP, bind, rules, unbind, validating

from kubeherd.cluster.apiserver.edge.messages import User
from kubeherd.cluster.apiserver.maintenance import Maintenance
from kubeherd.cluster.apiserver.write.context import RequestContext

NS = "/api/v1/namespaces/default"
CMS = f"{NS}/configmaps"


async def test_a_refusal(cluster: Cluster) -> None:
    await bind(cluster, validating("p", "object.data.a == 'x'"))
    refused = await cluster.post(CMS, config_map("c", a="y"))
    text = (
        "ValidatingAdmissionPolicy 'p' with binding 'p-b' denied request: failed expression: "
        "object.data.a == 'x'"
    )
    assert refused.tree == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": f'configmaps "c" is forbidden: {text}', "reason": "Invalid", "code": 422,
        "details": {"name": "c", "kind": "configmaps", "causes": [{"message": text}]},
    }  # fmt: skip
    assert (await cluster.post(CMS, config_map("c", a="x"))).status == 201
    assert (await cluster.patch(f"{CMS}/c", {"data": {"a": "y"}})).status == 422
    assert (await cluster.delete(f"{CMS}/c")).status == 200
    assert (await cluster.post(f"{NS}/secrets", {"metadata": {"name": "s"}})).status == 201


async def test_a_policy_without_a_binding_says_nothing(cluster: Cluster) -> None:
    await cluster.post(f"{GROUP}/validatingadmissionpolicies", validating("p", "false"))
    assert (await cluster.post(CMS, config_map("c"))).status == 201


async def test_a_binding_without_a_policy_says_nothing(cluster: Cluster) -> None:
    await bind(cluster, validating("p", "false"))
    await cluster.delete(f"{GROUP}/validatingadmissionpolicies/p")
    assert (await cluster.post(CMS, config_map("c"))).status == 201


async def test_a_reason_has_its_code(cluster: Cluster) -> None:
    for reason, code in (("Forbidden", 403), ("Invalid", 422), ("RequestEntityTooLarge", 413)):
        await bind(cluster, validating("p", {"expression": "false", "reason": reason}))
        refused = await cluster.post(CMS, config_map("c"))
        assert (refused.status, refused.tree["reason"]) == (code, reason)
        await unbind(cluster, "p")


MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"message": " no "}, "no"),
    ({"messageExpression": "'n is ' + object.data.n", "message": "m"}, "n is 1"),
    ({"messageExpression": "string(object.data.missing)", "message": "m"}, "m"),
    ({"messageExpression": "string(object.data.missing)"}, "failed expression: false"),
    ({"messageExpression": "'  '", "message": "m"}, "m"),
    ({"messageExpression": "'a\\nb'", "message": "m"}, "m"),
    ({"messageExpression": f"'{'x' * 5121}'", "message": "m"}, "m"),
]


async def test_what_a_refusal_says(cluster: Cluster) -> None:
    for validation, said in MESSAGES:
        await bind(cluster, validating("p", {"expression": " false ", **validation}))
        refused = await cluster.post(CMS, config_map("c", n="1"))
        assert refused.message.partition("denied request: ")[2] == said
        await unbind(cluster, "p")


async def test_the_first_validation_that_does_not_hold_is_told(cluster: Cluster) -> None:
    await bind(cluster, validating("p", "true", "1 > 2", "2 > 3"))
    assert "failed expression: 1 > 2" in (await cluster.post(CMS, config_map("c"))).message


async def test_an_expression_that_fails(cluster: Cluster) -> None:
    await bind(cluster, validating("p", "object.data.a == 'x'"))
    refused = await cluster.post(CMS, config_map("c"))
    assert refused.message == (
        "configmaps \"c\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p-b' denied "
        "request: expression 'object.data.a == 'x'' resulted in error: no such key: data"
    )
    assert (refused.status, refused.tree["reason"]) == (422, "Invalid")


async def test_who_may_fail_does_not_refuse_by_failing(cluster: Cluster) -> None:
    await bind(cluster, validating("p", "object.data.a == 'x'", failurePolicy="Ignore"))
    assert (await cluster.post(CMS, config_map("c"))).status == 201
    assert (await cluster.post(CMS, config_map("d", a="y"))).status == 422


async def test_warnings(cluster: Cluster) -> None:
    policy = validating("p", {"expression": "false", "message": "think again"})
    await bind(cluster, policy, validationActions=["Warn", "Audit"])
    created = await cluster.post(CMS, config_map("c"))
    assert created.status == 201
    assert created.headers["Warning"] == (
        "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p-b': "
        'think again"'
    )


async def test_deletes_warn(cluster: Cluster) -> None:
    about = [rules("configmaps", "", "DELETE")]
    policy = validating("p", {"expression": "false", "message": "alas"}, rules=about)
    await bind(cluster, policy, validationActions=["Warn"])
    await cluster.post(CMS, config_map("c"))
    deleted = await cluster.delete(f"{CMS}/c")
    assert (deleted.status, deleted.headers["Warning"].count("alas")) == (200, 1)


async def test_nobody_stops_the_housekeeping(cluster: Cluster) -> None:
    everything = {
        "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"],
    }  # fmt: skip
    path = "/api/v1/namespaces/kube-node-lease"
    ending = (await cluster.delete(path)).tree
    await cluster.put(f"{path}/finalize", {**ending, "spec": {"finalizers": []}})
    assert (await cluster.get(path)).status == 404
    await bind(cluster, validating("p", "false", rules=[everything]))
    await Maintenance(cluster.api.services.registry, cluster.clock).one_pass()
    assert (await cluster.get(path)).status == 200


async def test_what_the_audit_log_is_told(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[RequestContext] = []
    policies = cluster.api.services.registry.policies
    real = policies.validate

    def validate(request, ctx):
        contexts.append(ctx)
        return real(request, ctx)

    monkeypatch.setattr(policies, "validate", validate)
    annotations = [
        {"key": "name", "valueExpression": "' name ' + object.metadata.name"},
        {"key": "none", "valueExpression": "null"},
        {"key": "blank", "valueExpression": "' '"},
        {"key": "param", "valueExpression": "string(params.data.v)"},
    ]
    policy = validating(
        "p.example.com", {"expression": "false", "message": "no"}, auditAnnotations=annotations,
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        match={"objectSelector": {"matchLabels": {"seen": "yes"}}},
    )  # fmt: skip
    for name in ("one", "two"):
        await cluster.post(CMS, config_map(name, v=name))
        reference = {"name": name, "namespace": "default", "parameterNotFoundAction": "Deny"}
        await bind(cluster, policy, name=name, validationActions=["Audit"], paramRef=reference)
    await cluster.post(CMS, {"metadata": {"name": "c", "labels": {"seen": "yes"}}})
    said = contexts[-1].annotations
    failures = json.loads(said.pop("validation.policy.admission.k8s.io/validation_failure"))
    assert failures == [{
        "message": "no", "policy": "p.example.com", "binding": "one", "expressionIndex": 0,
        "validationActions": ["Audit"],
    }]  # fmt: skip
    assert said == {"p.example.com/name": "name c", "p.example.com/param": "one, two"}


async def test_an_annotation_that_fails_refuses(cluster: Cluster) -> None:
    annotation = {"key": "a", "valueExpression": "string(object.data.missing)"}
    await bind(
        cluster, validating("p", "true", auditAnnotations=[annotation]), validationActions=["Audit"]
    )
    refused = await cluster.post(CMS, config_map("c", a="b"))
    assert (
        "'string(object.data.missing)' resulted in error: no such key: missing" in refused.message
    )


async def test_variables_build_upon_each_other(cluster: Cluster) -> None:
    variables = [
        {"name": "n", "expression": "int(object.data.n)"},
        {"name": "odd", "expression": "variables.n % 2 == 1"},
        {"name": "broken", "expression": "object.data.missing"},
        {"name": "worse", "expression": "variables.broken + 'x'"},
    ]
    await bind(cluster, validating("p", "variables.odd", variables=variables))
    assert (await cluster.post(CMS, config_map("a", n="3"))).status == 201
    assert (await cluster.post(CMS, config_map("b", n="4"))).status == 422
    lazy = validating("q", "object.data.n == '1' || variables.worse == ''", variables=variables)
    await bind(cluster, lazy)
    assert (await cluster.post(CMS, config_map("c", n="1"))).status == 201
    refused = await cluster.post(CMS, config_map("d", n="5"))
    assert refused.message.endswith(
        'resulted in error: composited variable "worse" fails to evaluate: composited variable '
        '"broken" fails to evaluate: no such key: missing'
    )


SEEN = [
    "request.name == 'c' && request.namespace == 'default'",
    "request.operation == 'CREATE' && !request.dryRun",
    "request.kind.group == '' && request.kind.version + request.kind.kind == 'v1ConfigMap'",
    "request.requestResource.resource == 'configmaps'",
    "request.userInfo.username == 'kubernetes-admin'",
    "'system:masters' in request.userInfo.groups",
    "request.options.kind == 'CreateOptions'",
    "oldObject == null && object.kind == 'ConfigMap' && object.apiVersion == 'v1'",
    "namespaceObject.metadata.name == 'default' && namespaceObject.status.phase == 'Active'",
    "namespaceObject.metadata.labels['kubernetes.io/metadata.name'] == 'default'",
    "!has(namespaceObject.metadata.deletionTimestamp)",
    "authorizer.group('').resource('configmaps').namespace('x').check('create').allowed()",
    "authorizer.requestResource.check('create').allowed()",
    "authorizer.path('/healthz').check('get').allowed()",
    "!authorizer.serviceAccount('default', 'default').group('').resource('pods')"
    ".check('list').allowed()",
    "authorizer.group('').resource('pods').check('list').error() == ''",
    "!authorizer.group('').resource('pods').check('list').errored()",
]


async def test_what_expressions_see(cluster: Cluster) -> None:
    await bind(cluster, validating("p", *SEEN))
    created = await cluster.post(CMS, config_map("c"))
    assert created.status == 201, created.message


async def test_the_authorizer_answers_for_the_requester(cluster: Cluster) -> None:
    for kind, name in (("role", {"rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
    ]}), ("rolebinding", {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}],
    })):  # fmt: skip
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/default/{kind}s"
        assert (await cluster.post(path, {"metadata": {"name": "r"}, **name})).status == 201
    checks = "authorizer.group('').resource('{}').namespace('default').check('create').allowed()"
    await bind(cluster, validating("p", checks.format("secrets")))
    assert (await cluster.post(CMS, config_map("a"), user=BOB)).status == 422
    assert (await cluster.post(CMS, config_map("b"))).status == 201


async def test_bad_questions_to_the_authorizer(cluster: Cluster) -> None:
    for name, expression, why in (
        ("a", "authorizer.path('').check('get').allowed()", "path must not be empty"),
        ("b", "authorizer.group('').resource(' ').check('get').allowed()",
         "resource must not be empty"),
        ("c", "authorizer.serviceAccount('a', '-').path('/x').check('get').allowed()",
         "Invalid service account name"),
        ("d", "authorizer.serviceAccount('A', 'a').path('/x').check('get').allowed()",
         "Invalid service account namespace"),
    ):  # fmt: skip
        await bind(cluster, validating(name, expression))
        refused = await cluster.post(CMS, config_map("x"))
        assert refused.message.endswith(f"resulted in error: {why}"), refused.message
        await unbind(cluster, name)


async def test_namespaces_have_no_namespace_object(cluster: Cluster) -> None:
    await bind(cluster, validating("p", "namespaceObject == null", rules=[rules("namespaces")]))
    assert (await cluster.post("/api/v1/namespaces", {"metadata": {"name": "n"}})).status == 201


async def test_deletes_are_asked_about(cluster: Cluster) -> None:
    policy = validating(
        "p", "oldObject.metadata.name != 'kept' && object == null", rules=[
            rules("configmaps", "", "DELETE"),
        ],
    )  # fmt: skip
    await bind(cluster, policy)
    for name in ("kept", "lost"):
        await cluster.post(CMS, config_map(name))
    assert (await cluster.delete(f"{CMS}/kept")).status == 422
    assert (await cluster.delete(f"{CMS}/lost")).status == 200
    assert (await cluster.delete(CMS)).status == 422
    assert (await cluster.get(f"{CMS}/kept")).status == 200


async def test_statuses_are_asked_about(cluster: Cluster) -> None:
    policy = validating(
        "p", "object.status.numberReady == 0", rules=[rules("daemonsets/status", "apps")]
    )
    await bind(cluster, policy)
    path = "/apis/apps/v1/namespaces/default/daemonsets"
    await cluster.post(path, daemon_set("d"))
    refused = await cluster.patch(f"{path}/d/status", {"status": {"numberReady": 1}})
    assert refused.status == 422, refused.tree


MATCHES: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}, True),
    ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}, False),
    ({"objectSelector": {"matchLabels": {"a": "b"}}}, False),
    ({"excludeResourceRules": [rules()]}, False),
    ({"excludeResourceRules": [rules(resourceNames=["c"])]}, False),
    ({"excludeResourceRules": [rules(resourceNames=["d"])]}, True),
    ({"resourceRules": [rules(resourceNames=["d"])]}, False),
    ({"resourceRules": [rules(resourceNames=["d", "c"])]}, True),
    ({"resourceRules": [rules(scope="Cluster")]}, False),
    ({"resourceRules": [rules(scope="Namespaced")]}, True),
    ({"resourceRules": [rules("*")]}, True),
    ({"resourceRules": [rules("secrets")]}, False),
    ({"resourceRules": [rules("configmaps", "", "UPDATE")]}, False),
]


async def test_what_a_policy_or_a_binding_matches(cluster: Cluster) -> None:
    trial = {"query": {"dryRun": "All"}}
    for match, wanted in MATCHES:
        await bind(cluster, validating("p", "false"), matchResources=match)
        refused = await cluster.post(CMS, config_map("c"), **trial)
        assert (refused.status == 422) == wanted, match
        await unbind(cluster, "p")
        await bind(cluster, validating("q", "false", match=match))
        refused = await cluster.post(CMS, config_map("c"), **trial)
        assert (refused.status == 422) == wanted, match
        await unbind(cluster, "q")


async def test_other_versions_of_a_kind_match(cluster: Cluster) -> None:
    event = {
        "metadata": {"name": "e", "namespace": "default"}, "reason": "R", "type": "Normal",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
    }  # fmt: skip
    rule = {
        "apiGroups": ["events.k8s.io"], "apiVersions": ["v1"], "resources": ["events"],
        "operations": ["CREATE"],
    }  # fmt: skip
    seen = "object.regarding.name == 'q' && request.kind.group == 'events.k8s.io'"
    await bind(cluster, validating("p", seen, rules=[rule]))
    refused = await cluster.post(f"{NS}/events", event)
    assert refused.message.endswith(seen), refused.message
    exact = validating("x", "false", rules=[rule], match={"matchPolicy": "Exact"})
    await unbind(cluster, "p")
    await bind(cluster, exact)
    assert (await cluster.post(f"{NS}/events", event)).status == 201


async def test_match_conditions(cluster: Cluster) -> None:
    conditions = [
        {"name": "not-bob", "expression": "request.userInfo.username != 'bob'"},
        {"name": "data", "expression": "object.data.a == 'x'"},
    ]
    await bind(cluster, validating("p", "false", matchConditions=conditions))
    assert (await cluster.post(CMS, config_map("a", a="y"))).status == 201
    assert (await cluster.post(CMS, config_map("b", a="x"))).status == 422
    refused = await cluster.post(CMS, config_map("c"))
    assert refused.message.endswith(
        "denied request: expression 'object.data.a == 'x'' resulted in error: no such key: data"
    )
    conditions.append({"name": "never", "expression": "false"})
    await unbind(cluster, "p")
    await bind(cluster, validating("q", "false", matchConditions=conditions))
    assert (await cluster.post(CMS, config_map("d"))).status == 201


async def test_policies_do_not_apply_to_policies(cluster: Cluster) -> None:
    everything = {
        "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"],
    }  # fmt: skip
    await bind(cluster, validating("p", "false", rules=[everything]))
    assert (await cluster.post(CMS, config_map("c"))).status == 422
    review = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert (await cluster.post(path, review)).status == 201
    await bind(cluster, validating("q", "false"))
    for name in ("p", "q"):
        assert (await cluster.delete(f"{GROUP}/validatingadmissionpolicies/{name}")).status == 200
    assert (await cluster.post(CMS, config_map("c"))).status == 201


async def test_a_policy_that_costs_too_much_refuses(cluster: Cluster) -> None:
    # a tenth of one length times a tenth of the other: 640,000 of the budget's ten million
    search = "!object.spec.containers[0].args[0].contains(object.spec.containers[0].args[1])"
    await bind(cluster, validating("p", *[search] * 16, rules=[rules("pods")]))

    def searched(length: int) -> list[dict[str, Any]]:
        return [{"name": "c", "image": "i", "args": ["a" * length, "b" * length]}]

    refused = await cluster.post(f"{NS}/pods", pod("p", containers=searched(8000)))
    assert refused.message.endswith(
        "denied request: validation failed due to running out of cost budget, no further "
        "validation rules will be run"
    )
    cheap = await cluster.post(f"{NS}/pods", pod("q", containers=searched(7900)))
    assert cheap.status == 201


async def test_users_are_told_apart(cluster: Cluster) -> None:
    await bind(cluster, validating("p", "!request.userInfo.username.startsWith('eve')"))
    eve = User("eve", ("system:masters",))
    assert (await cluster.post(CMS, config_map("a"), user=eve)).status == 422
