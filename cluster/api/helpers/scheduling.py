"""Which pods may be on which nodes: taints, node affinity, resource requests, host ports.

Used by the DaemonSet controller, the scheduler and the agents' admission, so that all three agree.
Sources: spec daemonset-controller 4.1 and 4.3, scheduler 3. Invariants: pure; what depends on the
pod alone is compiled once (`required_node_match`), so that asking it of a thousand nodes is cheap;
a node selector term that cannot be parsed matches nothing.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from kubeherd.cluster.api import quantity
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Container, Node, Pod, PodSpec, Taint, Toleration


class TaintEffect(StrEnum):
    """What a taint does to pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


NO_SCHEDULE_OR_EXECUTE = frozenset({TaintEffect.NO_SCHEDULE, TaintEffect.NO_EXECUTE})
NO_EXECUTE = frozenset({TaintEffect.NO_EXECUTE})

NodeMatch = Callable[[Mapping[str, str], str], bool]
"""A compiled node condition: (node labels, node name) -> whether the node fulfils it."""

_NODE_NAME_FIELD = "metadata.name"
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_INT64 = range(-(2**63), 2**63)


# --- taints and tolerations ---


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether this toleration tolerates this taint (spec daemonset-controller 4.3)."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return toleration.operator in ("", "Equal") and toleration.value == taint.value


def tolerated(tolerations: Iterable[Toleration], taint: Taint) -> bool:
    """Whether one of the tolerations tolerates the taint."""
    return any(tolerates(toleration, taint) for toleration in tolerations)


def first_untolerated(
    taints: Iterable[Taint],
    tolerations: Sequence[Toleration],
    effects: frozenset[TaintEffect] = NO_SCHEDULE_OR_EXECUTE,
) -> Taint | None:
    """The first taint with one of these effects that nothing tolerates, or None."""
    for taint in taints:
        if taint.effect in effects and not tolerated(tolerations, taint):
            return taint
    return None


# --- node selector and node affinity ---


def required_node_match(
    node_selector: Mapping[str, str], affinity: JsonObject | None
) -> NodeMatch | None:
    """Compile ``spec.nodeSelector`` AND the required node affinity; None if every node matches.

    `affinity` is the JSON tree of ``spec.affinity`` (spec daemonset-controller 4.1).
    """
    pairs = tuple(node_selector.items())
    terms = _required_terms(affinity)
    if terms is None:
        if not pairs:
            return None
        return lambda labels, _name: all(labels.get(key) == value for key, value in pairs)
    matches = tuple(match for term in terms if (match := compile_term(term)) is not None)

    def match_node(labels: Mapping[str, str], name: str) -> bool:
        return all(labels.get(key) == value for key, value in pairs) and any(
            match(labels, name) for match in matches
        )

    return match_node


def matches_node(spec: PodSpec, node: Node) -> bool:
    """Whether a node fulfils a pod's nodeSelector and required node affinity."""
    match = required_node_match(spec.node_selector, spec.affinity)
    return match is None or match(node.metadata.labels, node.metadata.name)


def named_nodes(affinity: JsonObject | None) -> frozenset[str] | None:
    """The only nodes that the required affinity can match, from its ``metadata.name`` fields.

    None when some term leaves the name open; empty when the names contradict each other in every
    term (spec scheduler 3, NodeAffinity pre-filter).
    """
    terms = _required_terms(affinity)
    if not terms:
        return None
    union: set[str] = set()
    for term in terms:
        names = _names_of_term(term)
        if names is None:
            return None
        union |= names
    return frozenset(union)


def target_node_name(pod: Pod) -> str:
    """The node of a DaemonSet pod: where it is bound, else where its affinity points, else "".

    Spec daemonset-controller 5.1: the first ``metadata.name In`` entry counts, and only if it has
    exactly one value.
    """
    if pod.spec.node_name:
        return pod.spec.node_name
    for term in _required_terms(pod.spec.affinity) or ():
        for field in term.get("matchFields") or ():
            if field.get("key") == _NODE_NAME_FIELD and field.get("operator") == "In":
                values = list(field.get("values") or ())
                return str(values[0]) if len(values) == 1 else ""
    return ""


def _required_terms(affinity: JsonObject | None) -> list[JsonObject] | None:
    required = ((affinity or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    return None if required is None else list(required.get("nodeSelectorTerms") or ())


def _names_of_term(term: JsonObject) -> set[str] | None:
    names: set[str] | None = None
    for field in term.get("matchFields") or ():
        if field.get("key") == _NODE_NAME_FIELD and field.get("operator") == "In":
            values = set(field.get("values") or ())
            names = values if names is None else names & values
    return names


def compile_term(term: JsonObject) -> NodeMatch | None:
    """The condition of one NodeSelectorTerm; None if it matches nothing (empty or unparsable)."""
    expressions = term.get("matchExpressions") or ()
    fields = term.get("matchFields") or ()
    if not expressions and not fields:
        return None
    conditions: list[NodeMatch] = []
    for compile_one, requirements in (
        (_compile_field, fields),
        (_compile_expression, expressions),
    ):
        for requirement in requirements:
            condition = compile_one(requirement)
            if condition is None:
                return None
            conditions.append(condition)
    if len(conditions) == 1:
        return conditions[0]
    fixed = tuple(conditions)
    return lambda labels, name: all(condition(labels, name) for condition in fixed)


def _compile_field(requirement: JsonObject) -> NodeMatch | None:
    values = list(requirement.get("values") or ())
    if requirement.get("key") != _NODE_NAME_FIELD or len(values) != 1:
        return None
    wanted = values[0]
    match requirement.get("operator"):
        case "In":
            return lambda _labels, name: name == wanted
        case "NotIn":
            return lambda _labels, name: name != wanted
    return None


def _compile_expression(requirement: JsonObject) -> NodeMatch | None:
    key = requirement.get("key") or ""
    values = requirement.get("values") or ()
    operator = requirement.get("operator")
    if not key or not all(_valid_label_value(value) for value in values):
        return None
    if operator in ("Gt", "Lt"):
        return _compile_comparison(key, values, greater=operator == "Gt")
    if (operator in ("In", "NotIn")) != bool(values):
        return None
    allowed = frozenset(values)
    match operator:
        case "In":
            return lambda labels, _name: labels.get(key) in allowed
        case "NotIn":
            return lambda labels, _name: labels.get(key) not in allowed
        case "Exists":
            return lambda labels, _name: key in labels
        case "DoesNotExist":
            return lambda labels, _name: key not in labels
    return None


def _compile_comparison(key: str, values: Sequence[str], *, greater: bool) -> NodeMatch | None:
    bound = _int64(values[0]) if len(values) == 1 else None
    if bound is None:
        return None

    def compare(labels: Mapping[str, str], _name: str) -> bool:
        value = _int64(labels.get(key, ""))
        return value is not None and (value > bound if greater else value < bound)

    return compare


def _valid_label_value(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 63 and bool(_LABEL_VALUE.fullmatch(value))


def _int64(text: str) -> int | None:
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if number in _INT64 else None


# --- resource requests ---


def is_sidecar(init_container: Container) -> bool:
    """Whether an init container is restartable: it keeps running beside the regular ones."""
    return init_container.restart_policy == "Always"


def pod_requests(spec: PodSpec) -> dict[str, int]:
    """What a pod requests: ``cpu`` in millicores, everything else in whole units (bytes, pieces).

    Per resource max(sum of regular containers and sidecars, largest init stage), replaced by
    pod-level requests where they are set, plus overhead (spec scheduler 3).
    """
    total: dict[str, int] = {}
    for container in spec.containers:
        _add(total, _amounts(container.resources.requests))
    sidecars: dict[str, int] = {}
    largest_stage: dict[str, int] = {}
    for container in spec.init_containers:
        request = _amounts(container.resources.requests)
        if is_sidecar(container):
            _add(total, request)
            _add(sidecars, request)
            stage = sidecars
        else:
            stage = dict(sidecars)
            _add(stage, request)
        _raise_to(largest_stage, stage)
    _raise_to(total, largest_stage)
    if spec.resources is not None:
        total |= {
            name: amount
            for name, amount in _amounts(spec.resources.requests).items()
            if name in ("cpu", "memory") or name.startswith("hugepages-")
        }
    _add(total, _amounts(spec.overhead))
    return total


def allocatable_amounts(quantities: Mapping[str, str | int | float]) -> dict[str, int]:
    """A resource list in the units of `pod_requests`; `pods` is a plain count."""
    return _amounts(quantities)


def _amounts(quantities: Mapping[str, str | int | float]) -> dict[str, int]:
    return {name: _amount(name == "cpu", str(text)) for name, text in quantities.items()}


@lru_cache(maxsize=4096)
def _amount(is_cpu: bool, text: str) -> int:
    parsed = quantity.parse(text)
    return int(parsed.milli_value() if is_cpu else parsed.value())


def _add(into: dict[str, int], amounts: Mapping[str, int]) -> None:
    for name, amount in amounts.items():
        into[name] = into.get(name, 0) + amount


def _raise_to(into: dict[str, int], amounts: Mapping[str, int]) -> None:
    for name, amount in amounts.items():
        if amount > into.get(name, 0):
            into[name] = amount
        else:
            into.setdefault(name, 0)


# --- host ports ---


class HostPort(NamedTuple):
    """A port of the node that a pod occupies; an empty hostIP is 0.0.0.0."""

    ip: str
    protocol: str
    port: int


_ANY_IP = "0.0.0.0"  # noqa: S104 - the meaning of an empty hostIP, nothing is bound here


def host_ports(spec: PodSpec) -> list[HostPort]:
    """The host ports of regular containers and sidecars; hostPort 0 is none (spec scheduler 3)."""
    containers = [*spec.containers, *(c for c in spec.init_containers if is_sidecar(c))]
    return [
        HostPort(port.host_ip or _ANY_IP, port.protocol or "TCP", port.host_port)
        for container in containers
        for port in container.ports
        if port.host_port > 0
    ]


def ports_conflict(wanted: Iterable[HostPort], used: Iterable[HostPort]) -> bool:
    """Whether a wanted port collides with a used one; 0.0.0.0 collides with every address."""
    taken: dict[tuple[str, int], set[str]] = {}
    for port in used:
        taken.setdefault((port.protocol, port.port), set()).add(port.ip)
    for port in wanted:
        ips = taken.get((port.protocol, port.port))
        if ips and (port.ip == _ANY_IP or _ANY_IP in ips or port.ip in ips):
            return True
    return False
