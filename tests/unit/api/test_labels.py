"""Label selectors in text and object form (spec api-machinery, 13)."""

import pytest

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.objects import LabelSelector, LabelSelectorRequirement


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        ("a=b", {"a": "b"}, {"a": "c"}),
        ("a==b", {"a": "b"}, {}),
        ("a!=b", {}, {"a": "b"}),
        ("a in (b,c)", {"a": "c"}, {"a": "d"}),
        ("a notin (b,c)", {"a": "d"}, {"a": "b"}),
        ("a notin (b)", {}, {"a": "b"}),
        ("a", {"a": ""}, {}),
        ("!a", {}, {"a": ""}),
        ("a>5", {"a": "6"}, {"a": "5"}),
        ("a<5", {"a": "-4"}, {"a": "x"}),
        ("a=", {"a": ""}, {"a": "b"}),
        (" a = b , c ", {"a": "b", "c": "1"}, {"a": "b"}),
        ("a=b,a!=c", {"a": "b"}, {"a": "c"}),
        ("a=b,a=c", None, {"a": "b"}),
        ("x.io/a in ()", {"x.io/a": ""}, {"x.io/a": "b"}),
        ("in in (in,notin)", {"in": "notin"}, {"in": "x"}),
    ],
)
def test_a_selector_as_text_selects(
    text: str, matching: dict[str, str] | None, other: dict[str, str]
) -> None:
    selector = labels.parse(text)
    assert not selector.empty
    if matching is not None:
        assert selector.matches(matching)
    assert not selector.matches(other)


@pytest.mark.parametrize("text", ["", "  "])
def test_empty_text_selects_everything(text: str) -> None:
    assert labels.parse(text).empty
    assert labels.parse(text).matches({})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("a,", "found '', expected: identifier after ','"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
    ],
)
def test_malformed_text_is_a_bad_request(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        labels.parse(text)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("-a=b", '<nil>: Invalid value: "-a": name part must consist of'),
        ("a=-b", 'values[0][a]: Invalid value: "-b": a valid label must be'),
        ("a/b/c", "<nil>: Invalid value"),
        ("a>x", "values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be"),
        ("a=" + "x" * 64, "must be no more than 63 bytes"),
        ("/a", "prefix part must be non-empty"),
        ("A.io/a", "prefix part a lowercase RFC 1123 subdomain"),
    ],
)
def test_bad_keys_and_values_are_bad_requests(text: str, part: str) -> None:
    with pytest.raises(BadRequest) as caught:
        labels.parse(text)
    assert part in caught.value.message


def test_a_selector_as_object_selects() -> None:
    tree = {
        "matchLabels": {"app": "x"},
        "matchExpressions": [
            {"key": "tier", "operator": "NotIn", "values": ["old"]},
            {"key": "zone", "operator": "Exists"},
            {"key": "gone", "operator": "DoesNotExist"},
        ],
    }
    struct = LabelSelector(
        match_labels={"app": "x"},
        match_expressions=[
            LabelSelectorRequirement(key="tier", operator="NotIn", values=["old"]),
            LabelSelectorRequirement(key="zone", operator="Exists"),
            LabelSelectorRequirement(key="gone", operator="DoesNotExist"),
        ],
    )
    for selector in (labels.from_selector(tree), labels.from_selector(struct)):
        assert selector.matches({"app": "x", "zone": "1"})
        assert not selector.matches({"app": "x", "zone": "1", "tier": "old"})
        assert not selector.matches({"app": "x", "zone": "1", "gone": ""})
        assert not selector.matches({"app": "x"})


def test_nil_selects_nothing_and_empty_everything() -> None:
    assert not labels.from_selector(None).matches({})
    assert not labels.from_selector(None).empty
    assert labels.from_selector({}).matches({"a": "b"})


@pytest.mark.parametrize(
    ("operator", "values", "part"),
    [
        ("Near", ["a"], '"Near" is not a valid label selector operator'),
        ("In", [], "values set can't be empty"),
        ("Exists", ["a"], "values set must be empty"),
    ],
)
def test_bad_objects_are_bad_requests(operator: str, values: list[str], part: str) -> None:
    tree = {"matchExpressions": [{"key": "a", "operator": operator, "values": values}]}
    with pytest.raises(BadRequest) as caught:
        labels.from_selector(tree)
    assert part in caught.value.message
