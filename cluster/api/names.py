"""Names, labels and the texts with which Kubernetes refuses them (spec api-machinery, section 5).

Every check returns the problems as a list of texts, empty if the value is good; the caller makes
them causes of a field. `generate` is pure: it takes the random choice as a function.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache, wraps

from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.memo import remembered

GENERATED_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_MAX_GENERATED = 63
_MAX_LOOKED_AT = 16 * 1024

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_SEARCH_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SEARCH = rf"{_SEARCH_LABEL}(\.{_SEARCH_LABEL})*"
_NAME_PART = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_NAME_PART})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_PORT_NAME = "[-a-z0-9]+"
_ENV_NAME = r"[ -<>-~]+"
_PERCENT = "[0-9]+%"

MAX_SUBDOMAIN = 253
MAX_LABEL = 63

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character"
)
_SEARCH_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' "
    "or '.', and must start and end with an alphanumeric character"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character"
)
_LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character"
)
_NAME_PART_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character"
)
_CONFIG_KEY_TEXT = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_ENV_NAME_TEXT = (
    "a valid environment variable name must consist only of printable ASCII characters other "
    "than '='"
)
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character"
)
_PERCENT_TEXT = "a valid percent string must be a numeric string followed by an ending '%'"


def too_long(limit: int, unit: str = "characters") -> str:
    """``must be no more than 63 characters``."""
    return f"must be no more than {limit} {unit}"


def _regex_error(text: str, pattern: str, *examples: str) -> str:
    if not examples:
        return f"{text} (regex used for validation is '{pattern}')"
    shown = ",  or ".join(f"'{example}'" for example in examples)
    return f"{text} (e.g. {shown}, regex used for validation is '{pattern}')"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _matches(pattern: str, value: str) -> bool:
    return _compiled(pattern).fullmatch(value) is not None


def _is_subdomain(value: str) -> bool:
    """Only the beginning of a value that is refused for its length anyway is looked at: the pattern
    takes a second for a megabyte."""
    return _matches(_SUBDOMAIN, value[:_MAX_LOOKED_AT])


def is_subdomain(value: str) -> bool:
    """Whether `dns_subdomain` has nothing against a name, of which there may be many."""
    return len(value) <= MAX_SUBDOMAIN and _is_subdomain(value)


def is_label(value: str) -> bool:
    """The same for `dns_label`."""
    return len(value) <= MAX_LABEL and _matches(_LABEL, value)


_NameRule = Callable[[str], Sequence[str]]


def _remembered(rule: _NameRule) -> _NameRule:
    """Remember the verdicts on names of sane length: the same few come all the time."""

    @remembered(entries=1024, longest=128)
    @wraps(rule)
    def verdict(value: str) -> Sequence[str]:
        return tuple(rule(value))

    return verdict


@_remembered
def dns_subdomain(value: str) -> list[str]:
    """RFC 1123 subdomain: at most 253 characters, dots allowed."""
    problems = []
    if len(value) > MAX_SUBDOMAIN:
        problems.append(too_long(MAX_SUBDOMAIN))
    if not _is_subdomain(value):
        problems.append(_regex_error(_SUBDOMAIN_TEXT, _SUBDOMAIN, "example.com"))
    return problems


@_remembered
def dns_search(value: str) -> list[str]:
    """A search path of a resolver: a subdomain whose labels may begin with an underscore."""
    problems = [too_long(MAX_SUBDOMAIN)] if len(value) > MAX_SUBDOMAIN else []
    if not _matches(_SEARCH, value[:_MAX_LOOKED_AT]):
        problems.append(_regex_error(_SEARCH_TEXT, _SEARCH, "example.com"))
    return problems


@_remembered
def dns_label(value: str) -> list[str]:
    """RFC 1123 label: at most 63 characters, no dots."""
    problems = []
    if len(value) > MAX_LABEL:
        problems.append(too_long(MAX_LABEL))
    if not _matches(_LABEL, value):
        if _is_subdomain(value):
            problems.append("must not contain dots")
        else:
            problems.append(_regex_error(_LABEL_TEXT, _LABEL, "my-name", "123-abc"))
    return problems


@_remembered
def dns1035_label(value: str) -> list[str]:
    """RFC 1035 label: as an RFC 1123 label, but it begins with a letter."""
    problems = [too_long(MAX_LABEL)] if len(value) > MAX_LABEL else []
    if not _matches(_LABEL_1035, value):
        problems.append(_regex_error(_LABEL_1035_TEXT, _LABEL_1035, "my-name", "abc-123"))
    return problems


@_remembered
def qualified_name(value: str) -> list[str]:
    """``[prefix/]name``: keys of labels, annotations and taints, names of resources."""
    parts = value.split("/")
    problems = []
    if len(parts) > 2:
        return [
            "a valid label key "
            + _regex_error(_NAME_PART_TEXT, _NAME_PART, "MyName", "my.name", "123-abc")
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        ]
    if len(parts) == 2:
        if not parts[0]:
            problems.append("prefix part must be non-empty")
        else:
            problems += [f"prefix part {text}" for text in dns_subdomain(parts[0])]
    name = parts[-1]
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > MAX_LABEL:
        problems.append("name part " + too_long(MAX_LABEL, "bytes"))
    if not _matches(_NAME_PART, name):
        problems.append(
            "name part " + _regex_error(_NAME_PART_TEXT, _NAME_PART, "MyName", "my.name", "123-abc")
        )
    return problems


@_remembered
def label_value(value: str) -> list[str]:
    """The value of a label: at most 63 bytes, may be empty."""
    problems = []
    if len(value) > MAX_LABEL:
        problems.append(too_long(MAX_LABEL, "bytes"))
    if not _matches(_LABEL_VALUE, value):
        examples = ("MyValue", "my_value", "12345")
        problems.append(_regex_error(_LABEL_VALUE_TEXT, _LABEL_VALUE, *examples))
    return problems


@_remembered
def config_map_key(value: str) -> list[str]:
    """A key in the data of a ConfigMap or a Secret."""
    problems = []
    if len(value) > MAX_SUBDOMAIN:
        problems.append(too_long(MAX_SUBDOMAIN))
    if not _matches(_CONFIG_KEY, value):
        examples = ("key.name", "KEY_NAME", "key-name")
        problems.append(_regex_error(_CONFIG_KEY_TEXT, _CONFIG_KEY, *examples))
    if value == ".":
        problems.append("must not be '.'")
    elif value == "..":
        problems.append("must not be '..'")
    elif value.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def port_name(value: str) -> list[str]:
    """The name of a container port (IANA service name)."""
    problems = []
    if len(value) > 15:
        problems.append(too_long(15))
    if not _matches(_PORT_NAME, value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value and (value[0] == "-" or value[-1] == "-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def env_name(value: str) -> list[str]:
    """The name of an environment variable."""
    if _matches(_ENV_NAME, value):
        return []
    return [_ENV_NAME_TEXT]


def percent(value: str) -> list[str]:
    """A percentage such as ``25%``."""
    if _matches(_PERCENT, value):
        return []
    return [_regex_error(_PERCENT_TEXT, _PERCENT, "1%", "93%")]


def path_segment(value: str) -> list[str]:
    """What holds for every name because it is part of a URL."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    if "/" not in value and "%" not in value:
        return []
    return [f"may not contain '{char}'" for char in "/%" if char in value]


def ip_address(value: str) -> list[str]:
    """An address in the one form in which it is written (ValidateIPAddressName)."""
    from kubeherd.cluster.api.validation.networking import addresses  # noqa: PLC0415 - few need it

    return addresses.canonical_problems(value)


_RULES: dict[str, _NameRule] = {
    "ipaddresses.networking.k8s.io": ip_address,
    "events": path_segment,
    "namespaces": dns_label,
    "services": dns_label,
    "rolebindings.rbac.authorization.k8s.io": path_segment,
    "roles.rbac.authorization.k8s.io": path_segment,
    "clusterroles.rbac.authorization.k8s.io": path_segment,
    "clusterrolebindings.rbac.authorization.k8s.io": path_segment,
    "certificatesigningrequests.certificates.k8s.io": path_segment,
    "apiservices.apiregistration.k8s.io": path_segment,
    "validatingadmissionpolicies.admissionregistration.k8s.io": dns_subdomain,
}


def problems_of(resource: Resource, name: str, *, prefix: bool = False) -> Sequence[str]:
    """What is wrong with an object's name; `prefix`: it is a generateName.

    A generateName may end in ``-``, which a random suffix will follow.
    """
    rule = _RULES.get(resource.group_resource, dns_subdomain)
    if prefix and len(name) > 1 and name.endswith("-"):
        name = name[:-2] + "a"
    return rule(name)


def generate(base: str, choice: Callable[[str], str]) -> str:
    """`base` (cut to 58 characters) and five characters that `choice` picks from an alphabet."""
    suffix = "".join(choice(GENERATED_ALPHABET) for _ in range(_SUFFIX_LENGTH))
    return base[: _MAX_GENERATED - _SUFFIX_LENGTH] + suffix
