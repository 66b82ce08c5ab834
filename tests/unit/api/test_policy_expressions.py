"""Expressions of admission policies and of match conditions: which are refused, and in what words.

Source: Kubernetes v1.36, pkg/apis/admissionregistration/validation (validation_test.go) and
apiserver/pkg/admission/plugin/cel.
"""

from typing import Any

import pytest

from kubeherd.cluster.api import kinds, validation
from kubeherd.cluster.api.errors import Cause

GROUP = "admissionregistration.k8s.io"
VALIDATING = kinds.resource(GROUP, "v1", "validatingadmissionpolicies")
MUTATING = kinds.resource(GROUP, "v1", "mutatingadmissionpolicies")
HOOKS = kinds.resource(GROUP, "v1", "validatingwebhookconfigurations")


def policy(**spec: Any) -> dict[str, Any]:
    rule = {
        "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"],
        "scope": "*",
    }  # fmt: skip
    constraints = {
        "resourceRules": [rule], "matchPolicy": "Equivalent", "namespaceSelector": {},
        "objectSelector": {},
    }  # fmt: skip
    return {
        "apiVersion": f"{GROUP}/v1", "metadata": {"name": "p", "generation": 1, "uid": "u",
        "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"failurePolicy": "Fail", "matchConstraints": constraints, **spec},
    }  # fmt: skip


def problems(causes: list[Cause]) -> list[tuple[str, str]]:
    return [(cause.field.removeprefix("spec."), cause.message) for cause in causes]


def validating(**spec: Any) -> list[tuple[str, str]]:
    """What is wrong with a ValidatingAdmissionPolicy."""
    spec = {"validations": [{"expression": "true"}], **spec}
    return problems(validation.create(VALIDATING, policy(**spec)))


def mutating(kind: str, expression: str, **spec: Any) -> list[tuple[str, str]]:
    """What is wrong with a MutatingAdmissionPolicy."""
    field = "jsonPatch" if kind == "JSONPatch" else "applyConfiguration"
    mutation = {"patchType": kind, field: {"expression": expression}}
    tree = policy(mutations=[mutation], reinvocationPolicy="Never", **spec)
    return problems(validation.create(MUTATING, tree))


def check(expression: str, **spec: Any) -> str:
    """Why a validation's expression is refused, "" if it is not."""
    found = validating(validations=[{"expression": expression}], **spec)
    assert all(field == "validations[0].expression" for field, _ in found)
    return found[0][1] if found else ""


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("object.x in [1, 2, ", "compilation failed: ERROR: <input>:1:20: Syntax error: missing "
         "']' at '<EOF>'\n | object.x in [1, 2, \n | ...................^"),
        ("1 < 'a'", "compilation failed: ERROR: <input>:1:3: found no matching overload for '_<_' "
         "applied to '(int, string)'\n | 1 < 'a'\n | ..^"),
        ("params.a == 1", "compilation failed: ERROR: <input>:1:1: undeclared reference to "
         "'params' (in container '')\n | params.a == 1\n | ^"),
        ("variables.n == 2", "compilation failed: ERROR: <input>:1:10: undefined field 'n'\n | "
         "variables.n == 2\n | .........^"),
        ("request.object == null", "compilation failed: ERROR: <input>:1:8: undefined field "
         "'object'\n | request.object == null\n | .......^"),
        ("namespaceObject.metadata.managedFields == []", "compilation failed: ERROR: <input>:1:25: "
         "undefined field 'managedFields'\n | namespaceObject.metadata.managedFields == []\n | "
         "........................^"),
        ("authorizer.nope('')", "compilation failed: ERROR: <input>:1:16: undeclared reference to "
         "'nope' (in container '')\n | authorizer.nope('')\n | ...............^"),
        ("Object{} == null", "compilation failed: ERROR: <input>:1:7: undeclared reference to "
         "'Object' (in container '')\n | Object{} == null\n | ......^"),
        ("object.spec.paused", "must evaluate to bool but got dyn"),
        ("'a' + 'b'", "must evaluate to bool but got string"),
    ],
)  # fmt: skip
def test_validations_that_are_refused(expression: str, why: str) -> None:
    spec: dict[str, Any] = {"variables": [{"name": "v", "expression": "1"}]}
    if expression.startswith("variables"):
        spec["variables"][0]["name"] = "m"
    found = check(expression, **spec)
    assert found == f'Invalid value: "{expression}": {why}'


@pytest.mark.parametrize(
    "expression",
    [
        "object.spec.paused == true",
        "oldObject == null || object != oldObject",
        "request.userInfo.groups.exists(g, g == 'x') && request.options.kind != ''",
        "namespaceObject.metadata.labels['a'] == 'b' && request.namespace == 'x'",
        "authorizer.group('apps').resource('deployments').subresource('status').namespace('test')"
        ".name('backend').check('create').allowed()",
        "authorizer.requestResource.check('update').reason() == ''",
        "authorizer.serviceAccount('a', 'b').path('/x').check('get').errored()",
        "authorizer.group('').resource('pods').fieldSelector('a=b').labelSelector('c')"
        ".check('list').allowed()",
        "quantity(object.spec.a).isLessThan(quantity('1'))",
        "object.?spec.orValue('') == ''",
        "variables.v == 'a' && variables.v.startsWith('b')",
    ],
)
def test_validations_that_are_taken(expression: str) -> None:
    assert check(expression, variables=[{"name": "v", "expression": "'a'"}]) == ""


def test_messages_and_annotations_have_their_types() -> None:
    def message(expression: str) -> list[tuple[str, str]]:
        return validating(validations=[{"expression": "true", "messageExpression": expression}])

    assert message("'a' + object.metadata.name") == []
    where = "validations[0].messageExpression"
    assert message("0 == 0") == [
        (where, 'Invalid value: "0 == 0": must evaluate to string but got bool')
    ]
    [(_, why)] = message("authorizer.path('/').check('get').reason()")
    assert "undeclared reference to 'authorizer' (in container '')" in why

    def annotation(expression: str) -> list[tuple[str, str]]:
        return validating(auditAnnotations=[{"key": "k", "valueExpression": expression}])

    assert annotation("null") == annotation("'a'") == []
    assert annotation(" true ") == [(
        "auditAnnotations[0].valueExpression",
        'Invalid value: " true ": must evaluate to one of [string null_type] but got bool',
    )]  # fmt: skip


def test_variables_see_those_before_them() -> None:
    def variables(*expressions: str) -> list[tuple[str, str]]:
        named = [{"name": f"v{at}", "expression": one} for at, one in enumerate(expressions)]
        return validating(variables=named)

    assert variables("1", "variables.v0 + 1", "authorizer.path('/').check('get')") == []
    [(where, why)] = variables("variables.v1 + 1", "1")
    assert (where, "undefined field 'v1'" in why) == ("variables[0].expression", True)
    [(where, why)] = variables("114 + '514'")
    assert "<input>:1:5: found no matching overload for '_+_' applied to '(int, string)'" in why


def test_parameters_are_there_where_the_kind_is_named() -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    assert check("params.data.a == ''", paramKind=kind) == ""
    conditions = [{"name": "c", "expression": "params.data.a == ''"}]
    assert validating(matchConditions=conditions, paramKind=kind) == []
    [(where, why)] = validating(matchConditions=conditions)
    assert (where, "undeclared reference to 'params'" in why) == (
        "matchConditions[0].expression", True,
    )  # fmt: skip


def test_conditions_have_no_variables() -> None:
    conditions = [{"name": "c", "expression": "variables.a"}, {"name": "d", "expression": "6"}]
    found = validating(matchConditions=conditions, variables=[{"name": "a", "expression": "true"}])
    assert "undeclared reference to 'variables' (in container '')" in found[0][1]
    assert found[1:] == [
        ("matchConditions[1].expression", 'Invalid value: "6": must evaluate to bool but got int')
    ]


def test_mutations_have_their_types() -> None:
    for kind, expression, why in (
        ("ApplyConfiguration", "1 < 2", "must evaluate to Object but got bool"),
        ("ApplyConfiguration", "Object.spec{}", "must evaluate to Object but got Object.spec"),
        ("JSONPatch", "JSONPatch{}", "must evaluate to list(JSONPatch) but got JSONPatch"),
        ("JSONPatch", "[Object{}]", "must evaluate to list(JSONPatch) but got list(Object)"),
        ("JSONPatch", "[JSONPatch{what: 1}]", "undefined field 'what'"),
        ("JSONPatch", "[JSONPatch{op: 1}]", "expected type of field 'op' is 'string' but"),
    ):
        [(_, found)] = mutating(kind, expression)
        assert why in found, found
    assert mutating("ApplyConfiguration", "has(object.a) ? Object{} : Object{a: 1}") == []
    assert mutating("JSONPatch", "[JSONPatch{op: 'add'}] + []") == []
    field = "mutations[0].jsonPatch.expression"
    assert mutating("JSONPatch", "  ") == [(field, "Required value")]
    variables = [{"name": "y", "expression": "Object{}"}]
    assert (
        "undeclared reference to 'Object'" in mutating("JSONPatch", "[]", variables=variables)[0][1]
    )


def test_old_conditions_may_stay_as_long_as_they_mean_the_same() -> None:
    wrong = [{"name": "c", "expression": "nope"}]
    old = policy(validations=[{"expression": "true"}], matchConditions=wrong)
    new = policy(validations=[{"expression": "1 == 1"}], matchConditions=wrong)
    assert validation.update(VALIDATING, new, old) == []
    new["spec"]["paramKind"] = {"apiVersion": "v1", "kind": "ConfigMap"}
    assert len(validation.update(VALIDATING, new, old)) == 1
