"""Rules of affinity and topology spread (spec api-machinery, section 18)."""

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import (
    POSITIVE,
    each,
    label_selector,
    selector_requirement,
)
from kubeherd.cluster.api.validation.pods.labelkeys import label_keys

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_WHEN_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_INCLUSION = ("Honor", "Ignore")


def affinity(tree: JsonObject | None, path: str) -> list[Cause]:
    """``spec.affinity`` of a pod."""
    if not tree:
        return []
    causes: list[Cause] = []
    if tree.get("nodeAffinity") is not None:
        causes += _node_affinity(tree["nodeAffinity"], f"{path}.nodeAffinity")
    for name in ("podAffinity", "podAntiAffinity"):
        if tree.get(name) is not None:
            causes += _pod_affinity(tree[name], f"{path}.{name}")
    return causes


def _node_affinity(tree: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if tree.get(_REQUIRED) is not None:
        causes += node_selector(tree[_REQUIRED], f"{path}.{_REQUIRED}")
    for at, term in each(tree.get(_PREFERRED), f"{path}.{_PREFERRED}"):
        causes += _weight(term, at)
        causes += _node_selector_term(
            term.get("preference") or {}, f"{at}.preference", values=False
        )
    return causes


def _weight(term: JsonObject, path: str) -> list[Cause]:
    weight = term.get("weight", 0)
    if 1 <= weight <= 100:
        return []
    return [invalid(f"{path}.weight", weight, "must be in the range 1-100")]


def node_selector(tree: JsonObject, path: str) -> list[Cause]:
    """A NodeSelector: at least one term."""
    at = f"{path}.nodeSelectorTerms"
    terms = tree.get("nodeSelectorTerms")
    if not terms:
        return [required(at, "must have at least one node selector term")]
    return [
        cause
        for term_path, term in each(terms, at)
        for cause in _node_selector_term(term, term_path)
    ]


def _node_selector_term(term: JsonObject, path: str, *, values: bool = True) -> list[Cause]:
    """`values`: whether they must be such as labels have; a mere preference may never be met."""
    causes: list[Cause] = []
    for at, requirement in each(term.get("matchExpressions"), f"{path}.matchExpressions"):
        causes += selector_requirement(requirement, at, compares=True, label_values=values)
    for at, requirement in each(term.get("matchFields"), f"{path}.matchFields"):
        causes += _node_field(requirement, at)
    return causes


def _node_field(requirement: JsonObject, path: str) -> list[Cause]:
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    key = requirement.get("key", "")
    causes: list[Cause] = []
    if operator not in ("In", "NotIn"):
        causes.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        causes.append(required(f"{path}.values", detail))
    if key != "metadata.name":
        return [*causes, invalid(f"{path}.key", key, "not a valid field selector key")]
    for index, value in enumerate(values):
        causes += invalid_each(f"{path}.values[{index}]", value, names.dns_subdomain(value))
    return causes


def _pod_affinity(tree: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for at, term in each(tree.get(_REQUIRED), f"{path}.{_REQUIRED}"):
        causes += _pod_affinity_term(term, at)
    for at, weighted in each(tree.get(_PREFERRED), f"{path}.{_PREFERRED}"):
        causes += _weight(weighted, at)
        causes += _pod_affinity_term(weighted.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm")
    return causes


def _pod_affinity_term(term: JsonObject, path: str) -> list[Cause]:
    causes = label_selector(term.get("labelSelector"), f"{path}.labelSelector")
    causes += label_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for namespace in term.get("namespaces") or ():
        problems = names.dns_label(namespace)
        causes += invalid_each(f"{path}.namespace", namespace, problems)
    causes += label_keys(term, path)
    key, at = term.get("topologyKey", ""), f"{path}.topologyKey"
    if not key:
        causes.append(required(at, "can not be empty"))
    return causes + invalid_each(at, key, names.qualified_name(key))


def topology_spread(items: list[JsonObject] | None, path: str) -> list[Cause]:
    """``spec.topologySpreadConstraints`` of a pod."""
    causes: list[Cause] = []
    seen: set[tuple[str, str]] = set()
    for at, constraint in each(items, path):
        skew = constraint.get("maxSkew", 0)
        if skew <= 0:
            causes.append(invalid(f"{at}.maxSkew", skew, POSITIVE))
        key = constraint.get("topologyKey", "")
        if not key:
            causes.append(required(f"{at}.topologyKey", "can not be empty"))
        when = constraint.get("whenUnsatisfiable", "")
        if when not in _WHEN_UNSATISFIABLE:
            causes.append(not_supported(f"{at}.whenUnsatisfiable", when, _WHEN_UNSATISFIABLE))
        if (key, when) in seen:
            pair = f"{{{key}, {when}}}"
            causes.append(duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", pair))
        seen.add((key, when))
        causes += _min_domains(constraint, when, at)
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if constraint.get(name) is not None and constraint[name] not in _INCLUSION:
                causes.append(not_supported(f"{at}.{name}", constraint[name], _INCLUSION))
        causes += label_keys(constraint, at)
        causes += label_selector(constraint.get("labelSelector"), f"{at}.labelSelector")
    return causes


def _min_domains(constraint: JsonObject, when: str, path: str) -> list[Cause]:
    domains = constraint.get("minDomains")
    if domains is None:
        return []
    causes: list[Cause] = []
    if domains <= 0:
        causes.append(invalid(f"{path}.minDomains", domains, POSITIVE))
    if when != "DoNotSchedule":
        detail = (
            "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not "
            f"whenUnsatisfiable={when}"
        )
        causes.append(invalid(f"{path}.minDomains", domains, detail))
    return causes
