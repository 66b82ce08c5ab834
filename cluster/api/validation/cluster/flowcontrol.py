"""Rules of FlowSchema and PriorityLevelConfiguration (pkg/apis/flowcontrol/validation)."""

import math

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import each, one_of, range_text
from kubeherd.cluster.api.validation.rules import Rules

_MAX_PRECEDENCE = 10_000
_MAX_QUEUES = 10_000_000
_MAX_HASH_BITS = 60
_EXEMPT = "exempt"
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
_VERBS = (
    "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch",
)  # fmt: skip
_NAMESPACE_TEXT = "each member of this list must be '*' or a DNS-1123 label; "
_SHARES_TEXT = "must be a non-negative integer"


def create_flow_schema(tree: JsonObject) -> list[Cause]:
    """A FlowSchema: which requests it takes, and to which priority level."""
    spec, name = tree.get("spec") or {}, (tree.get("metadata") or {}).get("name", "")
    precedence, path = spec.get("matchingPrecedence", 0), "spec.matchingPrecedence"
    causes: list[Cause] = []
    if precedence <= 0:
        causes.append(invalid(path, precedence, "must be a positive value"))
    if precedence > _MAX_PRECEDENCE:
        detail = f"must not be greater than {_MAX_PRECEDENCE}"
        causes.append(invalid(path, precedence, detail))
    if precedence == 1 and name != _EXEMPT:
        detail = "only the schema named 'exempt' may have matchingPrecedence 1"
        causes.append(invalid(path, precedence, detail))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
        shown = {"Type": method.get("type", "")}
        supported = ("ByNamespace", "ByUser")
        causes.append(not_supported("spec.distinguisherMethod.type", shown, supported))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name", "")
    path = "spec.priorityLevelConfiguration.name"
    if level:
        causes += invalid_each(path, level, names.dns_subdomain(level))
    else:
        causes.append(required(path, "must reference a priority level"))
    for at, rule in each(spec.get("rules"), "spec.rules"):
        causes += _rule(rule, at)
    return causes


def _rule(rule: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if not rule.get("subjects"):
        causes.append(required(f"{path}.subjects", "subjects must contain at least one value"))
    for at, subject in each(rule.get("subjects"), f"{path}.subjects"):
        causes += _subject(subject, at)
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        detail = "at least one of resourceRules and nonResourceRules has to be non-empty"
        causes.append(required(path, detail))
    for at, item in each(rule.get("resourceRules"), f"{path}.resourceRules"):
        causes += _resource_rule(item, at)
    for at, item in each(rule.get("nonResourceRules"), f"{path}.nonResourceRules"):
        causes += _non_resource_rule(item, at)
    return causes


def _subject(subject: JsonObject, path: str) -> list[Cause]:
    kind = subject.get("kind", "")
    field = _SUBJECTS.get(kind)
    if field is None:
        return [not_supported(f"{path}.kind", kind, _SUBJECTS)]
    body, at = subject.get(field), f"{path}.{field}"
    causes: list[Cause] = []
    if body is None:
        causes.append(required(at, f"{field} is required when subject kind is '{kind}'"))
    else:
        causes += _named(body, at, account=kind == "ServiceAccount")
    return causes + [
        forbidden(f"{path}.{other}", f"{other} is forbidden when subject kind is not '{name}'")
        for name, other in _SUBJECTS.items()
        if other != field and subject.get(other) is not None
    ]


def _named(body: JsonObject, path: str, *, account: bool) -> list[Cause]:
    name, namespace = body.get("name", ""), body.get("namespace", "")
    causes = [] if name else [required(f"{path}.name")]
    if not account:
        return causes
    if name and name != "*":
        causes += invalid_each(f"{path}.name", name, names.dns_subdomain(name))
    if namespace:
        return causes + invalid_each(f"{path}.namespace", namespace, names.dns_label(namespace))
    detail = "must specify namespace for service account"
    return [*causes, required(f"{path}.namespace", detail)]


def _values(rule: JsonObject, name: str, what: str, missing: str, path: str) -> list[Cause]:
    """A list that is not empty, and in which ``*`` stands alone."""
    values = rule.get(name) or []
    if not values:
        return [required(f"{path}.{name}", missing)]
    if "*" in values and len(values) > 1:
        detail = f"if '*' is present, must not specify other {what}"
        return [invalid(f"{path}.{name}", values, detail)]
    return []


def _verbs(rule: JsonObject, path: str) -> list[Cause]:
    verbs = rule.get("verbs") or []
    causes = _values(rule, "verbs", "verbs", "verbs must contain at least one value", path)
    if "*" not in verbs and not set(verbs) <= set(_VERBS):
        causes.append(not_supported(f"{path}.verbs", verbs, _VERBS))
    return causes


def _resource_rule(rule: JsonObject, path: str) -> list[Cause]:
    causes = _verbs(rule, path)
    must = "resource rules must supply at least one"
    causes += _values(rule, "apiGroups", "api groups", f"{must} api group", path)
    causes += _values(rule, "resources", "resources", f"{must} resource", path)
    namespaces = rule.get("namespaces") or []
    if namespaces or not rule.get("clusterScope"):
        missing = "resource rules that are not cluster scoped must supply at least one namespace"
        causes += _values(rule, "namespaces", "namespaces", missing, path)
    for index, namespace in enumerate(namespaces if "*" not in namespaces else ()):
        at = f"{path}.namespaces[{index}]"
        problems = [_NAMESPACE_TEXT + text for text in names.dns_label(namespace)]
        causes += invalid_each(at, namespace, problems)
    return causes


def _non_resource_rule(rule: JsonObject, path: str) -> list[Cause]:
    urls = rule.get("nonResourceURLs") or []
    missing = "nonResourceURLs must contain at least one value"
    causes = _verbs(rule, path)
    causes += _values(rule, "nonResourceURLs", "non-resource URLs", missing, path)
    for index, url in enumerate(urls if "*" not in urls else ()):
        problem = _url_problem(url)
        if problem:
            causes.append(invalid(f"{path}.nonResourceURLs[{index}]", url, problem))
    return causes


def _url_problem(url: str) -> str:
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    stars = url.count("*")
    if stars > 1 or (stars == 1 and not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""


def create_priority_level(tree: JsonObject) -> list[Cause]:
    """A PriorityLevelConfiguration: exempt, or limited and what then happens."""
    spec, name = tree.get("spec") or {}, (tree.get("metadata") or {}).get("name", "")
    kind, exempt, limited = spec.get("type", ""), spec.get("exempt"), spec.get("limited")
    causes: list[Cause] = []
    if (name == _EXEMPT) != (kind == "Exempt"):
        detail = "must be 'Exempt' if and only if `name` is 'exempt'"
        causes.append(invalid("spec.type", kind, detail))
    if kind == "Exempt":
        if limited is not None:
            detail = "must be nil if the type is not Limited"
            causes.append(forbidden("spec.limited", detail))
        return causes + (_shares(exempt, "spec.exempt") if exempt is not None else [])
    if kind != "Limited":
        return [*causes, not_supported("spec.type", kind, ("Exempt", "Limited"))]
    if exempt is not None:
        causes.append(forbidden("spec.exempt", "must be nil if the type is Limited"))
    if limited is None:
        detail = "must not be empty when type is Limited"
        return [*causes, required("spec.limited", detail)]
    return causes + _limited(limited, "spec.limited")


def _shares(level: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    shares, lent = level.get("nominalConcurrencyShares") or 0, level.get("lendablePercent", 0)
    if shares < 0:
        causes.append(invalid(f"{path}.nominalConcurrencyShares", shares, _SHARES_TEXT))
    if not 0 <= lent <= 100:
        causes.append(invalid(f"{path}.lendablePercent", lent, range_text(0, 100)))
    return causes


def _limited(level: JsonObject, path: str) -> list[Cause]:
    causes = _shares(level, path)
    borrowed = level.get("borrowingLimitPercent", 0)
    if borrowed < 0:
        detail = "if specified, must be a non-negative integer"
        causes.append(invalid(f"{path}.borrowingLimitPercent", borrowed, detail))
    response = level.get("limitResponse") or {}
    kind, queuing, at = response.get("type", ""), response.get("queuing"), f"{path}.limitResponse"
    causes += one_of(kind, ("Queue", "Reject"), f"{at}.type")
    if kind == "Reject" and queuing is not None:
        detail = "must be nil if limited.limitResponse.type is not Limited"
        causes.append(forbidden(f"{at}.queuing", detail))
    if kind == "Queue" and queuing is None:
        detail = "must not be empty if limited.limitResponse.type is Limited"
        causes.append(required(f"{at}.queuing", detail))
    if kind == "Queue" and queuing is not None:
        causes += _queuing(queuing, f"{at}.queuing")
    return causes


def _queuing(queuing: JsonObject, path: str) -> list[Cause]:
    length, queues, hand = (
        queuing.get(name, 0) for name in ("queueLengthLimit", "queues", "handSize")
    )
    causes: list[Cause] = []
    if length <= 0:
        causes.append(invalid(f"{path}.queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        causes.append(invalid(f"{path}.queues", queues, "must be positive"))
    elif queues > _MAX_QUEUES:
        detail = f"must not be greater than {_MAX_QUEUES}"
        causes.append(invalid(f"{path}.queues", queues, detail))
    if hand <= 0:
        causes.append(invalid(f"{path}.handSize", hand, "must be positive"))
    elif hand > queues:
        detail = f"should not be greater than queues ({queues})"
        causes.append(invalid(f"{path}.handSize", hand, detail))
    elif math.ceil(math.log2(queues) * hand) > _MAX_HASH_BITS:
        detail = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be "
            f"greater than {_MAX_HASH_BITS}"
        )
        causes.append(invalid(f"{path}.handSize", hand, detail))
    return causes


def update_conditions(new: JsonObject, old: JsonObject) -> list[Cause]:
    """The status of either kind: each condition has a type, and each type one condition."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for at, condition in each((new.get("status") or {}).get("conditions"), "status.conditions"):
        kind = condition.get("type", "")
        if kind in seen:
            causes.append(duplicate(f"{at}.type", kind))
        seen.add(kind)
        if not kind:
            causes.append(required(f"{at}.type"))
    return causes


RULES = {
    "flowschemas.flowcontrol.apiserver.k8s.io": Rules(
        create_flow_schema, None, {"status": update_conditions}
    ),
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": Rules(
        create_priority_level, None, {"status": update_conditions}
    ),
}
