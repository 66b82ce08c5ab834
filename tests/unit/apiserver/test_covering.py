"""Which rules cover which (component-helpers/auth/rbac/validation/policy_comparator_test.go)."""

import pytest

from kubeherd.cluster.apiserver.access.authz.covering import MOST_PARTS, TooMany, described, missing
from kubeherd.cluster.apiserver.access.authz.rbac import Rule


def on(verbs: str, groups: str, resources: str, names: str = "") -> Rule:
    """A rule on resources; the core group is written as ``core``."""
    core = tuple("" if group == "core" else group for group in groups.split())
    return Rule(tuple(verbs.split()), core, tuple(resources.split()), tuple(names.split()), ())


def at(verbs: str, urls: str) -> Rule:
    return Rule(tuple(verbs.split()), (), (), (), tuple(urls.split()))


@pytest.mark.parametrize(
    ("held", "wanted", "covers"),
    [
        (on("get", "core", "pods"), on("get", "core", "pods"), True),
        (on("get", "core", "pods"), on("list", "core", "pods"), False),
        (on("get", "core", "pods"), on("*", "core", "pods"), False),
        (on("*", "core", "pods"), on("list get", "core", "pods"), True),
        (on("get", "core", "pods"), on("get", "apps", "pods"), False),
        (on("get", "*", "pods"), on("get", "apps core", "pods"), True),
        (on("get", "apps", "pods"), on("get", "*", "pods"), False),
        (on("get", "core", "pods"), on("get", "core", "*"), False),
        (on("get", "core", "*"), on("get", "core", "pods pods/log"), True),
        (on("get", "core", "pods"), on("get", "core", "pods/log"), False),
        (on("get", "core", "pods/*"), on("get", "core", "pods/log"), False),
        (on("get", "core", "*/scale"), on("get", "core", "pods/scale"), True),
        (on("get", "core", "*/scale"), on("get", "core", "pods/log"), False),
        (on("get", "core", "*/scale"), on("get", "core", "scale"), False),
        (on("get", "core", "pods/scale"), on("get", "core", "*/scale"), False),
        (on("get", "core", "*/*"), on("get", "core", "pods/log"), False),
        (on("get", "core", "pods", "a"), on("get", "core", "pods"), False),
        (on("get", "core", "pods"), on("get", "core", "pods", "a b"), True),
        (on("get", "core", "pods", "a b"), on("get", "core", "pods", "b a"), True),
        (on("get", "core", "pods", "a"), on("get", "core", "pods", "a b"), False),
        (on("get", "core", "pods", "*"), on("get", "core", "pods", "a"), False),
        (at("get", "/a"), at("get", "/a"), True),
        (at("get", "/a"), at("get", "/a/b"), False),
        (at("get", "/a/*"), at("get", "/a/b /a/"), True),
        (at("get", "/a/*"), at("get", "/a"), False),
        (at("get", "/a*"), at("get", "/ab"), True),
        (at("get", "/a**"), at("get", "/ab"), True),
        (at("get", "/a"), at("get", "/a*"), False),
        (at("get", "*"), at("get", "/a /b/*"), True),
        (at("get", "/*"), at("get", "*"), False),
        (at("*", "/a"), at("get post", "/a"), True),
        (at("get", "/a"), at("post", "/a"), False),
        (at("*", "*"), on("get", "core", "pods"), False),
        (on("*", "*", "*"), at("get", "/a"), False),
        (on("get", "core", "pods"), Rule((), (), (), (), ()), True),
    ],
)
def test_one_rule_and_another(held: Rule, wanted: Rule, covers: bool) -> None:
    assert (not missing([held], [wanted])) is covers


def test_the_parts_of_a_rule_may_be_covered_by_several() -> None:
    held = [on("get", "core", "pods"), on("list", "core", "pods secrets"), on("get", "apps", "*")]
    wanted = on("get list", "core apps", "pods secrets")
    assert missing(held, [wanted]) == [
        on("get", "core", "secrets"),
        on("list", "apps", "pods"),
        on("list", "apps", "secrets"),
    ]
    # Names are covered one by one, too, but never add up to all names.
    named = [on("get", "core", "pods", "a"), on("get", "core", "pods", "b")]
    assert not missing(named, [on("get", "core", "pods", "a b")])
    assert missing(named, [on("get", "core", "pods")])


def test_nothing_covers_anything_for_who_holds_nothing() -> None:
    assert missing([], [on("get", "core", "pods")]) == [on("get", "core", "pods")]
    assert missing([], []) == []


def test_texts() -> None:
    parts = missing([], [on("get list", "core", "pods secrets"), on("get", "core", 'a"b', "n")])
    assert described(parts) == [
        '{APIGroups:[""], Resources:["a\\"b"], ResourceNames:["n"], Verbs:["get"]}',
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}',
    ]


def test_work_is_bounded() -> None:
    many = tuple(f"x{i}" for i in range(MOST_PARTS // 100 + 1))
    wide = Rule(many, tuple(many[:10]), tuple(many[:10]), (), ())
    with pytest.raises(TooMany):
        missing([], [wide])
    assert not missing([on("*", "*", "*")], [wide])  # as a whole, it is one comparison
    with pytest.raises(TooMany):
        missing([], [Rule(("get",), (), (), (), tuple(f"/{i}" for i in range(600_000)))])
