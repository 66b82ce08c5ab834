"""x-kubernetes-validations through the API; texts as of Kubernetes 1.36."""

from typing import Any

import pytest
from apicluster import MERGE
from crdcluster import DEFINITIONS, WIDGETS, custom_cluster, definition, version, widget


def ruled(*rules: dict[str, Any], at: str = "spec") -> dict[str, Any]:
    """A definition with these rules on ``spec``, or on a field of it."""
    one = version()
    schema = one["schema"]["openAPIV3Schema"]["properties"]["spec"]
    if at != "spec":
        schema = schema["properties"][at]
    schema["x-kubernetes-validations"] = list(rules)
    return definition(one)


async def causes(*rules: dict[str, Any], at: str = "spec") -> list[tuple[str, str]]:
    """Field and message of what is wrong with a definition."""
    async with custom_cluster() as cluster:
        tree = ruled(*rules, at=at)
        tree["metadata"]["name"] = "others.example.com"
        tree["spec"]["names"] = {"plural": "others", "kind": "Other"}
        answer = (await cluster.post(DEFINITIONS, tree)).tree
        return [(c["field"], c["message"]) for c in answer["details"]["causes"]]


async def test_a_rule_refuses_with_its_message_or_itself() -> None:
    rules = [
        {"rule": "self.size < 5", "message": "too large"},
        {"rule": "self.size != 7"},
        {"rule": "self.colour == 'red'", "messageExpression": "'not ' + self.colour"},
    ]
    async with custom_cluster(ruled(*rules)) as cluster:
        assert (await cluster.post(WIDGETS, widget(size=4))).status == 201
        answer = await cluster.post(WIDGETS, widget("x", size=7, colour="blue"))
        assert answer.status == 422
        assert [(c["field"], c["message"]) for c in answer.tree["details"]["causes"]] == [
            ("spec", "Invalid value: too large"),
            ("spec", "Invalid value: failed rule: self.size != 7"),
            ("spec", "Invalid value: not blue"),
        ]


async def test_reason_and_field_path_of_a_rule() -> None:
    rule = {
        "rule": "self.size < 5",
        "message": "no",
        "reason": "FieldValueForbidden",
        "fieldPath": ".size",
    }
    async with custom_cluster(ruled(rule)) as cluster:
        answer = await cluster.post(WIDGETS, widget(size=7))
        assert answer.tree["details"]["causes"] == [
            {"reason": "FieldValueForbidden", "message": "Forbidden: no", "field": "spec.size"}
        ]


async def test_transition_rules_see_the_old_value_and_scalars_are_shown() -> None:
    rule = {"rule": "self >= oldSelf", "message": "may only grow"}
    async with custom_cluster(ruled(rule, at="size")) as cluster:
        assert (await cluster.post(WIDGETS, widget(size=4))).status == 201
        answer = await cluster.patch(f"{WIDGETS}/w", {"spec": {"size": 3}}, MERGE)
        assert answer.tree["details"]["causes"][0]["message"] == "Invalid value: 3: may only grow"
        assert (await cluster.patch(f"{WIDGETS}/w", {"spec": {"size": 5}}, MERGE)).status == 200


async def test_optional_old_self_is_there_at_creation_too() -> None:
    rule = {
        "rule": "oldSelf.hasValue() || self == 1",
        "optionalOldSelf": True,
        "message": "begins at 1",
    }
    async with custom_cluster(ruled(rule, at="size")) as cluster:
        assert (await cluster.post(WIDGETS, widget("x", size=2))).status == 422
        assert (await cluster.post(WIDGETS, widget(size=1))).status == 201
        assert (await cluster.patch(f"{WIDGETS}/w", {"spec": {"size": 2}}, MERGE)).status == 200


async def test_rules_are_not_asked_about_objects_of_the_wrong_type() -> None:
    async with custom_cluster(ruled({"rule": "self.size < 5"})) as cluster:
        answer = await cluster.post(WIDGETS, widget(size="x"))
        assert answer.tree["details"]["causes"][-1] == {
            "reason": "FieldValueInvalid",
            "message": "Invalid value: null: some validation rules were not checked because the "
            "object was invalid; correct the existing errors to complete validation",
            "field": "<nil>",
        }


async def test_a_field_that_is_absent_is_an_error_of_the_rule() -> None:
    async with custom_cluster(ruled({"rule": "self.parts.size() > 0"})) as cluster:
        answer = await cluster.post(WIDGETS, widget())
        assert answer.tree["details"]["causes"][0]["message"] == (
            'Invalid value: "object": no such key: parts evaluating rule: self.parts.size() > 0'
        )


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (
            "self.sise > 1",
            "compilation failed: ERROR: <input>:1:5: undefined field 'sise'\n | self.sise > 1\n"
            " | ....^",
        ),
        (
            "self.parts.all(p, p.cont > 1)",
            "compilation failed: ERROR: <input>:1:20: undefined field 'cont'\n"
            " | self.parts.all(p, p.cont > 1)\n | ...................^",
        ),
        (
            "isRed(self.colour)",
            "compilation failed: ERROR: <input>:1:6: undeclared reference to 'isRed' "
            "(in container '')\n | isRed(self.colour)\n | .....^",
        ),
    ],
)
async def test_a_rule_that_cannot_be_evaluated_is_refused(rule: str, found: str) -> None:
    field, message = (await causes({"rule": rule}))[0]
    path = "spec.validation.openAPIV3Schema.properties[spec]"
    assert field == f"{path}.x-kubernetes-validations[0].rule"
    assert message.endswith(found)


async def test_old_self_needs_a_field_that_can_be_followed() -> None:
    async with custom_cluster() as cluster:
        tree = definition(plural="others", kind="Other")
        tree["metadata"]["name"] = "others.example.com"
        schema = tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        schema["properties"]["plain"] = {
            "type": "array",
            "items": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]},
        }
        answer = await cluster.post(DEFINITIONS, tree)
        assert "oldSelf cannot be used on the uncorrelatable portion of the schema" in (
            answer.message
        )


async def test_a_rule_cannot_hold_up_the_server() -> None:
    rule = "self.parts.all(a, self.parts.all(b, a.count + b.count > 0))"
    tree = ruled({"rule": rule, "message": "no"})
    spec = tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["parts"]["maxItems"] = 900
    async with custom_cluster(tree) as cluster:
        parts = [{"name": str(n), "count": 1} for n in range(900)]
        answer = await cluster.post(WIDGETS, widget(parts=parts))
        assert [c["message"] for c in answer.tree["details"]["causes"]] == [
            "Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no "
            "further validation rules will be run due to call cost exceeds limit for rule: no"
        ]


async def test_a_rule_that_could_cost_too_much_is_refused() -> None:
    rule = "self.parts.all(a, self.parts.all(b, self.parts.all(c, a == b || b == c || true)))"
    path = "spec.validation.openAPIV3Schema"
    at = f"{path}.properties[spec].x-kubernetes-validations[0].rule"
    hint = (
        " exceeds budget by factor of more than 100x (try simplifying the rule, or adding "
        "maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
    assert await causes({"rule": rule}) == [
        (at, f"Forbidden: estimated rule cost{hint}"),
        (
            at,
            "Forbidden: contributed to estimated rule cost total exceeding cost limit for entire "
            "OpenAPIv3 schema",
        ),
        (
            path,
            "Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 "
            f"schema{hint}",
        ),
    ]


@pytest.mark.parametrize("rule", ["(" * 300 + "true" + ")" * 300, "self." + "a." * 20_000 + "b"])
async def test_a_rule_that_is_nested_too_deep_is_refused(rule: str) -> None:
    _, message = (await causes({"rule": rule}))[0]
    assert message.endswith(
        "compilation failed: ERROR: <input>:-1:0: expression recursion limit exceeded: 250"
    )


async def test_expressions_of_the_wrong_type_are_refused() -> None:
    rules = [
        {"rule": "self.size"},
        {"rule": "true", "messageExpression": "self.size"},
        {"rule": "true", "messageExpression": "self.sise"},
        {"rule": "self.colour.find(')') == ''"},
    ]
    assert [message.rpartition(": ")[2] for _, message in await causes(*rules)] == [
        "cel expression must evaluate to a bool",
        "messageExpression must evaluate to a string",
        "undefined field 'sise'\n | self.sise\n | ....^",
        "`)`",
    ]


async def test_quantities_and_patterns() -> None:
    rules = [
        {"rule": "quantity(self.colour).isGreaterThan(quantity('1Ki'))", "message": "small"},
        {"rule": "self.colour.find('[0-9]+') == '2'", "message": "digits"},
    ]
    tree = ruled(*rules)
    fields = tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    fields["properties"]["colour"] = {"type": "string"}
    async with custom_cluster(tree) as cluster:
        assert (await cluster.post(WIDGETS, widget("a", colour="2Ki"))).status == 201
        answer = await cluster.post(WIDGETS, widget("b", colour="3"))
        assert [c["message"] for c in answer.tree["details"]["causes"]] == [
            "Invalid value: small",
            "Invalid value: digits",
        ]
