"""What a cluster must look like after it has been hurt and had time to heal. Pure."""

from dataclasses import dataclass

from kubeherd.cluster.api.objects import DaemonSet, Pod

HASH_LABEL = "controller-revision-hash"


@dataclass(frozen=True)
class Seen:
    """What the checker looks at: the state of a cluster that has had time to heal."""

    nodes: frozenset[str]
    pods: tuple[Pod, ...]
    newest_hash: str
    daemonset: DaemonSet


def problems(seen: Seen) -> list[str]:
    """What violates: exactly one ready pod of the newest revision on every node, none elsewhere."""
    by_node: dict[str, list[Pod]] = {}
    for pod in seen.pods:
        by_node.setdefault(pod.spec.node_name, []).append(pod)
    found = [f"{node}: no pod" for node in sorted(seen.nodes - by_node.keys())]
    for node in sorted(by_node.keys() - seen.nodes):
        names = ", ".join(pod.metadata.name for pod in by_node[node])
        found.append(f"{node or 'no node'}: {names}, but there is no such node")
    for node, pods in sorted(by_node.items()):
        if len(pods) > 1:
            found.append(f"{node}: {len(pods)} pods")
        for pod in pods:
            found += [f"{node}: {pod.metadata.name} {what}" for what in _wrong_with(pod, seen)]
    return found + _wrong_status(seen)


def _wrong_with(pod: Pod, seen: Seen) -> list[str]:
    wrong = []
    if pod.metadata.deletion_timestamp is not None:
        wrong.append("is being deleted")
    if not pod.ready:
        wrong.append("is not ready")
    if pod.metadata.labels.get(HASH_LABEL) != seen.newest_hash:
        wrong.append("is of an old revision")
    return wrong


def _wrong_status(seen: Seen) -> list[str]:
    status, generation = seen.daemonset.status, seen.daemonset.metadata.generation
    if status.observed_generation != generation:
        return [f"status is of generation {status.observed_generation}, not {generation}"]
    wanted = len(seen.nodes)
    counts = {
        "desiredNumberScheduled": status.desired_number_scheduled,
        "currentNumberScheduled": status.current_number_scheduled,
        "updatedNumberScheduled": status.updated_number_scheduled,
        "numberReady": status.number_ready,
        "numberAvailable": status.number_available,
    }
    return [f"status.{name} is {n}, not {wanted}" for name, n in counts.items() if n != wanted]
