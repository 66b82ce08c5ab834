"""The audit policy: which requests are logged, and how much of them. Pure.

Source: audit.k8s.io/v1 (apiserver/pkg/apis/audit and pkg/audit/policy, v1.36). The first rule that
matches a request decides; what no rule matches is not logged.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import Any

import msgspec

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.serializer import codecs

API_VERSION = "audit.k8s.io/v1"


class Level(IntEnum):
    """How much of a request is logged; each level includes the ones before."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    @property
    def label(self) -> str:
        """The word that policies and events use."""
        return _LABELS[self]


_LABELS = {
    Level.NONE: "None",
    Level.METADATA: "Metadata",
    Level.REQUEST: "Request",
    Level.REQUEST_RESPONSE: "RequestResponse",
}
_LEVELS = {label: level for level, label in _LABELS.items()}


class Stage(StrEnum):
    """When in the life of a request an event is logged."""

    REQUEST_RECEIVED = "RequestReceived"
    RESPONSE_STARTED = "ResponseStarted"
    RESPONSE_COMPLETE = "ResponseComplete"
    PANIC = "Panic"


class PolicyError(Exception):
    """The text is no policy; it says why."""


class _Kept(msgspec.Struct, frozen=True, rename="camel"):
    """What is taken from a file; unknown fields are ignored."""


class GroupResources(_Kept, frozen=True):
    """Resources of an API group ("" is the core's, "*" is any)."""

    group: str = ""
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()


class Rule(_Kept, frozen=True):
    """Which requests (all that is given must match), and what is logged of them."""

    level: str = ""
    users: tuple[str, ...] = ()
    user_groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[GroupResources, ...] = ()
    namespaces: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")
    omit_stages: tuple[str, ...] = ()
    omit_managed_fields: bool | None = None


class _File(_Kept, frozen=True):
    api_version: str = ""
    kind: str = ""
    rules: tuple[Rule, ...] | None = None
    omit_stages: tuple[str, ...] = ()
    omit_managed_fields: bool = False


class Asked(msgspec.Struct, frozen=True):
    """What a policy is asked of: a request for a resource, or (with a `path`) for a document."""

    user: str
    groups: Sequence[str]
    verb: str
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What is logged of one request."""

    level: Level
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False


class Policy:
    """A loaded policy."""

    def __init__(self, file: _File) -> None:
        self._rules = [(rule, _verdict(rule, file)) for rule in file.rules or ()]

    def decide(self, asked: Asked) -> Verdict:
        """The verdict of the first rule that matches."""
        for rule, verdict in self._rules:
            if _matches(rule, asked):
                return verdict
        return _NOTHING


_NOTHING = Verdict(Level.NONE)


def load(text: bytes) -> Policy:
    """The policy in a file, YAML or JSON; PolicyError if it is none."""
    try:
        tree = codecs.decode_body("application/yaml", text).tree
        file = msgspec.convert(tree, _File)
    except ApiError as error:
        raise PolicyError(f"failed decoding: {error.message}") from None
    except msgspec.ValidationError as error:
        raise PolicyError(f"failed decoding: {error}") from None
    if (file.api_version, file.kind) != (API_VERSION, "Policy"):
        given = f"{file.api_version}, Kind={file.kind}"
        raise PolicyError(f"unknown group version field {given} in policy")
    if problems := [*_stages(file.omit_stages, "omitStages"), *_rules(file.rules or ())]:
        raise PolicyError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    if not file.rules:
        raise PolicyError("loaded illegal policy with 0 rules")
    return Policy(file)


# --- matching ---


def _verdict(rule: Rule, file: _File) -> Verdict:
    omit = rule.omit_managed_fields
    return Verdict(
        _LEVELS[rule.level],
        frozenset(file.omit_stages) | frozenset(rule.omit_stages),
        file.omit_managed_fields if omit is None else omit,
    )


def _matches(rule: Rule, asked: Asked) -> bool:
    if rule.users and asked.user not in rule.users:
        return False
    if rule.user_groups and not any(group in rule.user_groups for group in asked.groups):
        return False
    if rule.verbs and asked.verb not in rule.verbs:
        return False
    if rule.namespaces or rule.resources:
        return not asked.path and _matches_resource(rule, asked)
    if rule.non_resource_urls:
        return bool(asked.path) and any(_covers(u, asked.path) for u in rule.non_resource_urls)
    return True


def _matches_resource(rule: Rule, asked: Asked) -> bool:
    if rule.namespaces and asked.namespace not in rule.namespaces:
        return False
    return not rule.resources or any(_names(one, asked) for one in rule.resources)


def _names(one: GroupResources, asked: Asked) -> bool:
    if one.group not in (asked.group, "*"):
        return False
    if not one.resources:
        return True
    if one.resource_names and asked.name not in one.resource_names:
        return False
    whole = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    accepted = {"*", whole, f"{asked.resource}/*"}
    if asked.subresource:
        accepted.add(f"*/{asked.subresource}")
    return not accepted.isdisjoint(one.resources)


def _covers(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern.rstrip("*"))
    return pattern == path


# --- checking ---


def _rules(rules: Sequence[Rule]) -> list[str]:
    problems: list[str] = []
    for at, rule in enumerate(rules):
        where = f"rules[{at}]"
        if not rule.level:
            problems.append(f"{where}.level: Required value")
        elif rule.level not in _LEVELS:
            supported = ", ".join(quoted(level) for level in _LEVELS)
            problems.append(
                f"{where}.level: Unsupported value: {quoted(rule.level)}: "
                f"supported values: {supported}"
            )
        for number, url in enumerate(rule.non_resource_urls):
            problems += _url(url, f"{where}.nonResourceURLs[{number}]")
        for one in rule.resources:
            problems += _group(one, f"{where}.resources")
        problems += _stages(rule.omit_stages, f"{where}.omitStages")
        if rule.non_resource_urls and (rule.resources or rule.namespaces):
            problems.append(
                f"{where}.nonResourceURLs: Invalid value: {_go(rule.non_resource_urls)}: rules "
                "cannot apply to both regular resources and non-resource URLs"
            )
    return problems


def _url(url: str, where: str) -> list[str]:
    problems: list[str] = []
    if url != "*" and not url.startswith("/"):
        problems.append("non-resource URL rules must begin with a '/' character")
    if "*" in url[:-1]:
        problems.append("non-resource URL wildcards '*' must be the final character of the rule")
    return [f"{where}: Invalid value: {quoted(url)}: {problem}" for problem in problems]


def _group(one: GroupResources, where: str) -> list[str]:
    problems: list[str] = []
    if one.group not in ("", "*") and (wrong := names.dns_subdomain(one.group)):
        problems.append(f"{where}.group: Invalid value: {quoted(one.group)}: {','.join(wrong)}")
    if one.resource_names and not one.resources:
        problems.append(
            f"{where}.resourceNames: Invalid value: {_go(one.resource_names)}: using resourceNames "
            "requires at least one resource"
        )
    return problems


def _stages(stages: Sequence[str], where: str) -> list[str]:
    allowed = ",".join(stage.value for stage in Stage)
    return [
        f"{where}[{at}]: Invalid value: {quoted(stage)}: allowed stages are {allowed}"
        for at, stage in enumerate(stages)
        if stage not in set(Stage)
    ]


def _go(texts: Sequence[str]) -> str:
    return f"[{','.join(quoted(text) for text in texts)}]"


# --- objects in events ---


def without_managed_fields(tree: Mapping[str, Any]) -> dict[str, Any]:
    """An object, a list or a table without managedFields in any of its objects."""
    out = dict(tree)
    if isinstance(meta := out.get("metadata"), dict) and "managedFields" in meta:
        out["metadata"] = {key: value for key, value in meta.items() if key != "managedFields"}
    if isinstance(items := out.get("items"), list):
        out["items"] = [without_managed_fields(item) for item in items]
    if isinstance(rows := out.get("rows"), list):
        out["rows"] = [
            {**row, "object": without_managed_fields(row["object"])} if row.get("object") else row
            for row in rows
        ]
    return out
