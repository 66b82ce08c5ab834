"""Pruning, defaults, validation and ownership by schema; texts as of Kubernetes 1.36."""

from typing import Any

import pytest

from kubeherd.cluster.api.customresources import (
    defaulting,
    embedded,
    formats,
    jsonpath,
    listtypes,
    ownership,
    patterns,
    pruning,
    validation,
)

OPEN = {"x-kubernetes-preserve-unknown-fields": True}


def thing(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


TEXT, COUNT = {"type": "string"}, {"type": "integer"}


def causes(value: Any, schema: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    return [(c.field, c.message) for c in validation.validate(value, schema, **more)]


def test_pruning_drops_what_no_schema_names() -> None:
    schema = thing(
        spec=thing(a=TEXT, free={"type": "object", **OPEN}),
        maps={"type": "object", "additionalProperties": thing(a=TEXT)},
        many={"type": "array", "items": thing(a=TEXT)},
    )
    tree = {
        "apiVersion": "v1", "kind": "K", "metadata": {"anything": 1},
        "spec": {"a": "x", "b": 1, "free": {"c": {"d": 1}}},
        "maps": {"k": {"a": "x", "z": 1}},
        "many": [{"a": "x"}, {"z": 1}],
        "other": {},
    }  # fmt: skip
    assert pruning.prune(tree, schema) == ["many[1].z", "maps.k.z", "other", "spec.b"]
    assert tree["spec"] == {"a": "x", "free": {"c": {"d": 1}}}
    assert tree["many"] == [{"a": "x"}, {}]
    assert tree["metadata"] == {"anything": 1}


def test_declared_fields_inside_of_kept_ones_are_pruned() -> None:
    tree = {"spec": {"known": {"x": 1}, "unknown": {"x": 1}}}
    schema = thing(spec={**thing(known=thing(a=TEXT)), **OPEN})
    assert pruning.prune(tree, schema) == ["spec.known.x"]
    assert tree == {"spec": {"known": {}, "unknown": {"x": 1}}}


def test_defaults_fill_nested_objects_lists_and_maps() -> None:
    inner = thing(n={"type": "integer", "default": 3})
    schema = thing(
        spec={**inner, "default": {}},
        many={"type": "array", "items": inner},
        maps={"type": "object", "additionalProperties": inner},
    )
    tree: dict[str, Any] = {"many": [{}, {"n": 1}], "maps": {"k": {}}}
    defaulting.default(tree, schema)
    assert tree == {"spec": {"n": 3}, "many": [{"n": 3}, {"n": 1}], "maps": {"k": {"n": 3}}}


def test_nulls_go_or_take_the_default_unless_they_may_be() -> None:
    schema = thing(
        gone=TEXT,
        filled={"type": "string", "default": "x"},
        kept={"type": "string", "nullable": True, "default": "y"},
    )
    tree = {"gone": None, "filled": None, "kept": None, "unknown": None}
    defaulting.default(tree, schema)
    assert tree == {"filled": "x", "kept": None, "unknown": None}


@pytest.mark.parametrize(
    ("value", "schema", "message"),
    [
        (1, TEXT, 'Invalid value: "integer": f in body must be of type string: "integer"'),
        (None, TEXT, 'Invalid value: "null": f in body must be of type string: "null"'),
        (1.5, COUNT, 'Invalid value: "number": f in body must be of type integer: "number"'),
        (
            True,
            {"x-kubernetes-int-or-string": True},
            'Invalid value: "boolean": f in body must be of type integer,string: "boolean"',
        ),
        ("ab", {**TEXT, "maxLength": 1}, "Too long: may not be more than 1 bytes"),
        (
            "a",
            {**TEXT, "minLength": 2},
            'Invalid value: "a": f in body should be at least 2 chars long',
        ),
        ("b", {**TEXT, "pattern": "^a+$"}, "Invalid value: \"b\": f in body should match '^a+$'"),
        (
            "a\n",
            {**TEXT, "pattern": "^a+$"},
            "Invalid value: \"a\\n\": f in body should match '^a+$'",
        ),
        (
            5,
            {**COUNT, "maximum": 5, "exclusiveMaximum": True},
            "Invalid value: 5: f in body should be less than 5",
        ),
        (
            0.5,
            {"type": "number", "minimum": 1.5},
            "Invalid value: 0.5: f in body should be greater than or equal to 1.5",
        ),
        (5, {**COUNT, "multipleOf": 2}, "Invalid value: 5: f in body should be a multiple of 2"),
        (
            [1],
            {"type": "array", "items": COUNT, "minItems": 2},
            "Invalid value: 1: f in body should have at least 2 items",
        ),
        (
            [1, 2],
            {"type": "array", "items": COUNT, "maxItems": 1},
            "Too many: 2: must have at most 1 item",
        ),
        (
            {"a": 1},
            {"type": "object", "maxProperties": 0},
            "Too many: 1: must have at most 0 items",
        ),
        (
            "x",
            {**TEXT, "format": "date"},
            'Invalid value: "x": f in body must be of type date: "x"',
        ),
        (3, {**COUNT, "enum": [1, 2]}, 'Unsupported value: 3: supported values: "1", "2"'),
    ],
)
def test_one_cause(value: Any, schema: dict[str, Any], message: str) -> None:
    assert causes({"f": value}, thing(f=schema)) == [("f", message)]


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (5.0, COUNT),
        (5, {"type": "number"}),
        (None, {**TEXT, "nullable": True}),
        ("5", {"x-kubernetes-int-or-string": True}),
        ("2026-01-02T03:04:05Z", {**TEXT, "format": "date-time"}),
        ("x", {**TEXT, "format": "unheard-of"}),
        ({"a": 1}, {"type": "object", **OPEN}),
    ],
)
def test_no_cause(value: Any, schema: dict[str, Any]) -> None:
    assert causes({"f": value}, thing(f=schema)) == []


def test_junctors_say_what_kind_of_choice_failed_and_the_best_of_the_causes() -> None:
    schema = {
        **thing(a=COUNT, b=COUNT),
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        "anyOf": [{"required": ["c"]}],
        "not": {"required": ["a"]},
    }
    assert causes({"s": {"a": 1, "b": 1}}, thing(s=schema)) == [
        ("<nil>", 'Invalid value: "": "s" must validate at least one schema (anyOf)'),
        ("s.c", "Required value"),
        (
            "<nil>",
            'Invalid value: "": "s" must validate one and only one schema (oneOf). Found 2 valid '
            "alternatives",
        ),
        ("<nil>", 'Invalid value: "": "s" must not validate the schema (not)'),
    ]


def test_ratcheting_looks_at_list_maps_by_key_and_at_other_lists_as_a_whole() -> None:
    item = thing(k=TEXT, n={**COUNT, "maximum": 1})
    keyed = {
        "type": "array", "items": item,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
    }  # fmt: skip
    old = {"keyed": [{"k": "a", "n": 5}], "plain": [{"k": "a", "n": 5}]}
    new = {"keyed": [{"k": "b", "n": 1}, {"k": "a", "n": 5}], "plain": [{"k": "a", "n": 5}]}
    schema = thing(keyed=keyed, plain={"type": "array", "items": item})
    assert causes(new, schema, old=old) == []
    new["plain"] = [*old["plain"], {"k": "b", "n": 1}]
    assert [field for field, _ in causes(new, schema, old=old)] == ["plain[0].n"]


def test_repeated_elements_of_sets_and_maps() -> None:
    keyed = {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
        "items": thing(k=TEXT),
    }  # fmt: skip
    schema = thing(s={"type": "array", "x-kubernetes-list-type": "set", "items": TEXT}, keyed=keyed)
    tree = {"s": ["a", "b", "a", "a"], "keyed": [{"k": "x"}, {"k": "x", "n": 1}]}
    assert [(c.field, c.message) for c in listtypes.check(tree, schema)] == [
        ("s[2]", 'Duplicate value: "a"'),
        ("keyed[1]", 'Duplicate value: {"k":"x"}'),
    ]


def test_embedded_objects_have_metadata_of_kubernetes() -> None:
    schema = thing(t={"type": "object", "x-kubernetes-embedded-resource": True, **OPEN})
    tree: dict[str, Any] = {"t": {"kind": "9", "metadata": {"name": "a/b", "strange": 1}}}
    assert embedded.coerce(tree, schema) == ["t.metadata.strange"]
    assert [(c.field, c.message.split(":")[0]) for c in embedded.check(tree, schema)] == [
        ("t.apiVersion", "Required value"),
        ("t.kind", "Invalid value"),
        ("t.metadata.name", "Invalid value"),
    ]
    with pytest.raises(embedded.Malformed, match=r"t\.kind: Invalid value: 1: must be a string"):
        embedded.coerce({"t": {"kind": 1}}, schema)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("ipv4", "1.2.3.4", "1.2.3"),
        ("ipv6", "::1", "1.2.3.4"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
        ("uri", "https://a.b/c", "no uri"),
        ("email", "a@b.c", "a"),
        ("hostname", "a.b-c", "-a"),
        ("duration", "1h30m", "soon"),
        ("byte", "YQ==", "Y"),
        ("mac", "00:11:22:33:44:55", "00:11"),
        ("date-time", "2014-12-15T19:30:20.000Z", "2014-12-15T25:30:20Z"),
        ("isbn13", "978-0321751041", "978-0321751042"),
        ("k8s-short-name", "a-b", "A"),
    ],
)
def test_formats(name: str, good: str, bad: str) -> None:
    assert formats.fits(name, good)
    assert not formats.fits(name, bad)


def test_patterns_of_go() -> None:
    assert patterns.matches("^[[:alpha:]]+$", "abc")
    assert not patterns.matches("^[[:alpha:]]+$", "ab1")
    assert patterns.matches(r"a\z", "ba")
    assert patterns.matches("^[$]$", "$")
    assert patterns.matches(r"^\pL+$", "é")


def test_no_pattern_takes_for_ever() -> None:
    assert not patterns.matches("^(a+)+$", "a" * 60 + "b")
    assert not patterns.matches("^a*a*a*a*a*a*a*c$", "a" * 2000)
    assert patterns.matches("(" * 5000 + ")" * 5000, "")
    for pattern in ("a{1001}", "(a{1000}){1000}"):
        with pytest.raises(patterns.NoPattern, match="invalid repeat count"):
            patterns.check(pattern)
    with pytest.raises(patterns.NoPattern, match=r"error parsing regexp: missing closing \): `\(`"):
        patterns.check("(")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b", [1]),
        (".a['b']", [1]),
        (".l[0].n", ["x"]),
        (".l[-1].n", ["y"]),
        (".l[*].n", ["x", "y"]),
        ('.l[?(@.n=="y")].v', [2]),
        (".l[?(@.v>1)].n", ["y"]),
        (r".a.c\.d", [3]),
        (".nothing.there", []),
    ],
)
def test_json_paths(path: str, found: list[Any]) -> None:
    tree = {"a": {"b": 1, "c.d": 3}, "l": [{"n": "x", "v": 1}, {"n": "y", "v": 2}]}
    assert jsonpath.find(path, tree) == found


def test_what_is_no_json_path() -> None:
    with pytest.raises(ValueError, match="unrecognized"):
        jsonpath.find(".a[", {})


def test_fields_without_a_schema_are_owned_by_what_they_hold() -> None:
    node = ownership.root(thing(spec={"type": "object", **OPEN}))
    owned = node.owned({"spec": {"m": {"k": 1}, "l": [1]}})
    assert owned == {"f:spec": {"f:l": {}, "f:m": {".": {}, "f:k": {}}}}
    changed, removed = node.diff({"spec": {"m": {"k": 1}}}, {"spec": {"m": {"k": 2}, "n": 1}})
    assert (changed, removed) == ({"f:spec": {"f:m": {"f:k": {}}, "f:n": {}}}, None)
