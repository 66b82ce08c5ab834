"""The named conditions of `Cluster` and `AsyncCluster`. Not public."""

from collections.abc import Callable, Collection

from kubeherd.conditions import JsonObject, is_ready, is_rolled_out, rollout_summary
from kubeherd.operations import Objects, Wanted, every, one, resource_of

TIMEOUT_S = 30.0


def ready(nodes: Collection[str]) -> Wanted:
    """These nodes are Ready."""
    wanted = set(nodes)
    return _nodes(lambda objects: wanted <= _ready(objects), f"{_names(nodes)} Ready")


def not_ready(nodes: Collection[str]) -> Wanted:
    """These nodes are there and not Ready."""
    wanted = set(nodes)

    def holds(objects: Objects) -> bool:
        there = {node["metadata"]["name"] for node in objects}
        return wanted <= there - _ready(objects)

    return _nodes(holds, f"{_names(nodes)} NotReady")


def rolled_out(name: str, namespace: str) -> Wanted:
    """A DaemonSet is rolled out."""
    what = f"DaemonSet {namespace}/{name} rolled out"
    resource = resource_of("daemonsets.apps")
    return one(resource, name, namespace, is_rolled_out, what, rollout_summary)


def _nodes(holds: Callable[[Objects], bool], what: str) -> Wanted:
    return every(resource_of("nodes"), "", holds, what, describe=_describe)


def _ready(objects: Objects) -> set[str]:
    return {node["metadata"]["name"] for node in objects if is_ready(node)}


def _describe(objects: Objects) -> str:
    return "; ".join(_state(node) for node in objects) or "there are no nodes"


def _state(node: JsonObject) -> str:
    return f"{node['metadata']['name']} is {'Ready' if is_ready(node) else 'NotReady'}"


def _names(nodes: Collection[str]) -> str:
    return ", ".join(nodes) or "no nodes"
