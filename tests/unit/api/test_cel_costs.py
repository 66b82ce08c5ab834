"""What rules can cost at most: the figures are Kubernetes' (apiextensions-apiserver 1.36)."""

from typing import Any

import pytest

from kubeherd.cluster.api.cel.schemas import compilation

STRING: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}
EITHER: dict[str, Any] = {"x-kubernetes-int-or-string": True}
OBJECT: dict[str, Any] = {
    "type": "object",
    "required": ["required"],
    "properties": {"required": STRING, "optional": STRING},
}


def text(format_: str = "", **more: Any) -> dict[str, Any]:
    return {**STRING, **({"format": format_} if format_ else {}), **more}


def list_of(element: dict[str, Any], most: int | None = None) -> dict[str, Any]:
    found = {"type": "array", "items": element}
    return found if most is None else {**found, "maxItems": most}


def map_of(value: dict[str, Any], most: int | None = None) -> dict[str, Any]:
    found = {"type": "object", "additionalProperties": value}
    return found if most is None else {**found, "maxProperties": most}


def most(schema: dict[str, Any], rule: str) -> int:
    """The most that a rule of this schema can cost."""
    ruled = {**schema, "x-kubernetes-validations": [{"rule": rule}]}
    expression = compilation.compiled(ruled).rules[0].expression
    assert not expression.problem
    return expression.most


@pytest.mark.parametrize(
    ("schema", "cost"),
    [
        (list_of(NUMBER), 4718591),
        (list_of(NUMBER, 10), 32),
        (list_of(STRING), 3145727),
        (list_of({"type": "boolean"}), 1887437),
        (list_of(list_of(NUMBER)), 3145727),
        (list_of(OBJECT), 555128),
        (list_of(EITHER), 4718591),
        (list_of(text("duration")), 2359295),
        (list_of(text("date")), 725936),
        (list_of(text("date-time")), 428963),
        (map_of(NUMBER), 1348169),
        (map_of(NUMBER, 10), 32),
        (map_of(STRING), 1179647),
        (map_of({"type": "boolean"}), 943718),
        (map_of(EITHER), 1348169),
        (map_of(OBJECT), 428963),
        (map_of(map_of(NUMBER)), 1179647),
        (map_of(text("duration")), 1048577),
        (map_of(text("date")), 524288),
        (map_of(text("date-time")), 349526),
    ],
)
def test_a_loop_costs_as_much_as_a_request_has_room_for(schema: dict[str, Any], cost: int) -> None:
    assert most(schema, "self.all(x, true)") == cost


@pytest.mark.parametrize(
    ("schema", "rule", "cost"),
    [
        (STRING, "self.contains('test')", 314574),
        (text(maxLength=10), "self.contains('test')", 5),
        (text(enum=["A", "B", "C", "LongValue"]), "self.contains('A')", 2),
        (STRING, "self.startsWith('test')", 2),
        (STRING, "size(self + 'hello') > size('hello')", 314578),
        (text(maxLength=4), "size(self + 'hello') > size('hello')", 7),
        (STRING, 'self.matches("x")', 314574),
        (STRING, '"".matches("(((((((((())))))))))[0-9]")', 7),
        (STRING, "self.matches('')", 1),
        (STRING, "self.find('[0-9]+') == ''", 629147),
        (text("byte"), "self == b'x'", 2),
        (list_of(NUMBER), "self[1] == 0.0", 2),
        (list_of(STRING), "self[1] == self[1]", 314577),
        (list_of(NUMBER, 10), "self.all(x, self.all(y, true))", 352),
        (list_of(NUMBER, 10), "self.all(x, self.all(y, self.all(z, true)))", 3552),
        (list_of(NUMBER), "self.all(x, x == 0.0)", 6291454),
        (list_of(EITHER), "self[0] == 5", 3),
        (list_of(OBJECT), "self[0] == null", 2),
        (list_of(list_of(NUMBER)), "self[0][0] == -1.0", 3),
        (list_of(map_of(NUMBER)), "self.all(x, x.y == 25.2)", 6291452),
        (list_of(map_of(OBJECT)), 'self.all(x, x["y"].required == "z")', 7340027),
        (list_of(text("duration")), "self[0].getHours() == 2", 4),
        (map_of(STRING), "self.all(x, x.contains(self[x]))", 2752507),
        (map_of(text(maxLength=10), 10), "self.all(x, x.contains(self[x]))", 72),
        (map_of({"type": "integer"}), "oldSelf.size() == self.size()", 5),
        (map_of(text("date-time")), 'self["a"] == self["b"]', 8),
    ],
)
def test_what_a_rule_can_cost(schema: dict[str, Any], rule: str, cost: int) -> None:
    assert most(schema, rule) == cost


def test_loops_in_loops_have_no_bound_without_limits() -> None:
    assert most(list_of(NUMBER), "self.all(x, self.all(y, true))") > 10_000_000
