"""Names and label values, with Kubernetes' texts."""

import random

import pytest

from kubeherd.cluster.api import kinds, names

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    "or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize(
    ("check", "value", "problems"),
    [
        (names.dns_subdomain, "a.b-c.1", []),
        (names.dns_subdomain, "A", [SUBDOMAIN]),
        (names.dns_subdomain, "", [SUBDOMAIN]),
        (names.dns_subdomain, "a\n", [SUBDOMAIN]),
        (names.dns_subdomain, "a" * 254, ["must be no more than 253 characters"]),
        (names.dns_label, "a-1", []),
        (names.dns_label, "a.b", ["must not contain dots"]),
        (names.dns_label, "-a", [LABEL]),
        (names.dns_label, "a" * 64, ["must be no more than 63 characters"]),
        (names.label_value, "", []),
        (names.label_value, "My_value.1", []),
        (names.label_value, "a b", [LABEL_VALUE]),
        (names.label_value, "a" * 64, ["must be no more than 63 bytes"]),
        (names.qualified_name, "example.com/My_name", []),
        (names.qualified_name, "-a", [NAME_PART]),
        (names.qualified_name, "a" * 64, ["name part must be no more than 63 bytes"]),
        (names.qualified_name, "/a", ["prefix part must be non-empty"]),
        (names.qualified_name, "A/a", [f"prefix part {SUBDOMAIN}"]),
        (names.qualified_name, "a/", ["name part must be non-empty", NAME_PART]),
        (names.path_segment, "a/b%c", ["may not contain '/'", "may not contain '%'"]),
        (names.path_segment, "..", ["may not be '..'"]),
        (names.config_map_key, "a.B_c-1", []),
        (names.config_map_key, "..a", ["must not start with '..'"]),
        (names.port_name, "http-8", []),
        (names.port_name, "80", ["must contain at least one letter (a-z)"]),
        (names.port_name, "a--b", ["must not contain consecutive hyphens"]),
        (names.percent, "25%", []),
    ],
)
def test_a_check_tells_all_problems_of_a_name(
    check: object, value: str, problems: list[str]
) -> None:
    assert callable(check)
    assert list(check(value)) == problems


def test_a_number_without_percent_sign_is_no_percentage() -> None:
    assert names.percent("25") == [
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  "
        "or '93%', regex used for validation is '[0-9]+%')"
    ]


def test_namespaces_are_labels_other_names_subdomains() -> None:
    assert list(names.problems_of(kinds.NAMESPACES, "a.b")) == ["must not contain dots"]
    assert not names.problems_of(kinds.PODS, "a.b")


def test_a_generate_name_may_end_in_a_hyphen() -> None:
    assert not names.problems_of(kinds.PODS, "web-", prefix=True)
    assert list(names.problems_of(kinds.PODS, "Web-", prefix=True)) == [SUBDOMAIN]
    assert list(names.problems_of(kinds.PODS, "web-")) == [SUBDOMAIN]


def test_generated_names_fit_and_follow_the_seed() -> None:
    name = names.generate("web-", random.Random(7).choice)
    assert name == names.generate("web-", random.Random(7).choice)
    assert len(name) == 9
    assert set(name[4:]) <= set("bcdfghjklmnpqrstvwxz2456789")
    long = names.generate("a" * 80, random.Random(1).choice)
    assert len(long) == 63
    assert long.startswith("a" * 58)
