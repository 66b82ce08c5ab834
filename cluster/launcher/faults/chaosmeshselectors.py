"""Whom a selector and a mode of Chaos Mesh mean. Pure but for the chance that is handed in.

Field names and meanings: api/v1alpha1/selector.go and pkg/selector of
github.com/chaos-mesh/chaos-mesh, master of August 2026. A selector that says nothing of pods means
nodes themselves; any other means pods, of the object's own namespace if it names none.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.launcher.faults.choosing import choose as choose_some
from kubeherd.cluster.launcher.faults.choosing import share
from kubeherd.cluster.runtime.rng import Rng

S = TypeVar("S", bound=msgspec.Struct)


class Mode(enum.StrEnum):
    """How many of those that are selected are hurt."""

    ONE = "one"
    ALL = "all"
    FIXED = "fixed"
    FIXED_PERCENT = "fixed-percent"
    RANDOM_MAX_PERCENT = "random-max-percent"


class Selector(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """A PodSelectorSpec."""

    namespaces: tuple[str, ...] = ()
    field_selectors: Mapping[str, str] = {}
    label_selectors: Mapping[str, str] = {}
    expression_selectors: tuple[dict[str, Any], ...] = ()
    annotation_selectors: Mapping[str, str] = {}
    nodes: tuple[str, ...] = ()
    pods: Mapping[str, tuple[str, ...]] = {}
    node_selectors: Mapping[str, str] = {}
    pod_phase_selectors: tuple[str, ...] = ()

    @property
    def of_pods(self) -> bool:
        """Whether it says anything of pods."""
        return bool(
            self.namespaces
            or self.field_selectors
            or self.label_selectors
            or self.expression_selectors
            or self.annotation_selectors
            or self.pods
            or self.pod_phase_selectors
        )


class PodKey(msgspec.Struct, frozen=True, order=True):
    """The name of a pod."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class PodSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What can be selected of a pod; those that have no node yet are not looked at."""

    key: PodKey
    node: str
    phase: str = "Running"
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    containers: tuple[str, ...] = ("main",)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The nodes of a cluster with their labels, and its pods."""

    nodes: Mapping[str, Mapping[str, str]]
    pods: Sequence[PodSeen] = ()


class Chosen(msgspec.Struct, frozen=True):
    """The pods that were chosen, or, if `of_nodes`, the nodes."""

    of_nodes: tuple[str, ...] = ()
    of_pods: tuple[PodSeen, ...] = ()

    def pods(self, seen: Seen) -> list[PodSeen]:
        """The pods themselves; those on the nodes, if these were chosen."""
        return [*self.of_pods, *(pod for pod in seen.pods if pod.node in self.of_nodes)]

    def nodes(self, seen: Seen) -> list[str]:
        """The nodes themselves; those on which the pods are, if these were chosen."""
        return [
            name
            for name in seen.nodes
            if name in self.of_nodes or name in {pod.node for pod in self.of_pods}
        ]


def choose(
    selector: Selector, mode: Mode, value: str, namespace: str, seen: Seen, rng: Rng
) -> Chosen:
    """The pods or nodes that are meant; ValueError if there are none, or the value is none."""
    nodes = [name for name in seen.nodes if _fits_node(selector, name, seen.nodes[name])]
    if not selector.of_pods:
        chosen = choose_some(nodes, _count(mode, value, len(nodes), rng), rng)
        return Chosen(of_nodes=tuple(chosen))
    pods = sorted(_pods(selector, namespace, nodes, seen), key=lambda pod: pod.key)
    return Chosen(of_pods=tuple(choose_some(pods, _count(mode, value, len(pods), rng), rng)))


def _fits_node(selector: Selector, name: str, of: Mapping[str, str]) -> bool:
    return name in (selector.nodes or (name,)) and _has(of, selector.node_selectors)


def _pods(
    selector: Selector, namespace: str, nodes: Sequence[str], seen: Seen
) -> Iterator[PodSeen]:
    try:
        expressions = labels.from_selector(
            {
                "matchLabels": dict(selector.label_selectors),
                "matchExpressions": list(selector.expression_selectors),
            }
        )
    except BadRequest as error:
        raise ValueError(str(error)) from None
    fields = _fields(selector.field_selectors)
    namespaces = selector.namespaces or (() if selector.pods else (namespace,))
    for pod in seen.pods:
        key = pod.key
        if (
            pod.node in nodes
            and (not namespaces or key.namespace in namespaces)
            and (not selector.pods or key.name in selector.pods.get(key.namespace, ()))
            and pod.phase in (selector.pod_phase_selectors or (pod.phase,))
            and expressions.matches(pod.labels)
            and _has(pod.annotations, selector.annotation_selectors)
            and _has(_values(pod), fields)
        ):
            yield pod


def _values(pod: PodSeen) -> dict[str, str]:
    return {
        "metadata.name": pod.key.name,
        "metadata.namespace": pod.key.namespace,
        "spec.nodeName": pod.node,
        "status.phase": pod.phase,
    }


def _fields(wanted: Mapping[str, str]) -> Mapping[str, str]:
    known = ("metadata.name", "metadata.namespace", "spec.nodeName", "status.phase")
    for name in wanted:
        if name not in known:
            raise ValueError(f'selector.fieldSelectors "{name}" has no counterpart')
    return wanted


def _has(of: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(of.get(key) == value for key, value in wanted.items())


def _count(mode: Mode, value: str, of: int, rng: Rng) -> int:
    """How many of so many; percentages are rounded up."""
    if of == 0:
        raise ValueError("the selector selects nothing")
    if mode is Mode.ALL:
        return of
    if mode is Mode.ONE:
        return 1
    number = int(value) if value.isascii() and value.isdigit() else 0
    limit = of if mode is Mode.FIXED else 100
    if number == 0 or (mode is not Mode.FIXED and number > limit):
        raise ValueError(f'value "{value}" is none for the mode {mode}')
    if mode is Mode.FIXED:
        return min(number, of)
    percent = number if mode is Mode.FIXED_PERCENT else rng.randint(0, number)
    return share(of, percent)
