"""How much CPU and memory fake containers and nodes use: what annotations say, or a plausible
amount. Pure.

`kubeherd.io/cpu-usage` and `kubeherd.io/memory-usage` of a pod (with a container's name before them
for that container only) and of a Node. What cannot be parsed, or is negative, counts as absent.
"""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

import msgspec

from kubeherd.cluster.api import quantity
from kubeherd.cluster.api.helpers.scripts import PREFIX, scripted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.quantity import Quantity

CPU, MEMORY = "cpu", "memory"
_IDLE = {CPU: quantity.parse("3m"), MEMORY: quantity.parse("20Mi")}
"""What a container without requests uses."""
_OF_REQUEST = {CPU: Fraction(1, 2), MEMORY: Fraction(3, 4)}
_SYSTEM = {CPU: quantity.parse("100m"), MEMORY: quantity.parse("512Mi")}
"""What a node uses for itself."""


class Usage(msgspec.Struct, frozen=True):
    """Amounts of one container or node."""

    cpu: Quantity
    memory: Quantity

    def tree(self) -> JsonObject:
        """As the API shows them."""
        return {CPU: self.cpu.canonical(), MEMORY: self.memory.canonical()}


def of_pod(pod: JsonObject) -> dict[str, Usage]:
    """What each running container of a pod uses."""
    annotations = pod["metadata"].get("annotations") or {}
    return {
        container["name"]: Usage(
            _container(container, CPU, annotations), _container(container, MEMORY, annotations)
        )
        for container in _running(pod)
    }


def of_node(node: JsonObject, containers: Iterable[Usage]) -> Usage:
    """What a node uses, given its running containers."""
    annotations = node["metadata"].get("annotations") or {}
    used = list(containers)
    cpu = _amount(annotations.get(f"{PREFIX}cpu-usage"))
    memory = _amount(annotations.get(f"{PREFIX}memory-usage"))
    if cpu is None:
        cpu = sum((one.cpu for one in used), _SYSTEM[CPU])
    if memory is None:
        memory = sum((one.memory for one in used), _SYSTEM[MEMORY])
    return Usage(cpu, memory)


def _running(pod: JsonObject) -> Iterator[JsonObject]:
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    for listed, seen in (
        ("initContainers", "initContainerStatuses"), ("containers", "containerStatuses"),
    ):  # fmt: skip
        running = {
            one.get("name")
            for one in status.get(seen) or ()
            if "running" in (one.get("state") or {})
        }
        yield from (one for one in spec.get(listed) or () if one.get("name") in running)


def _container(container: JsonObject, what: str, annotations: Mapping[str, str]) -> Quantity:
    said = _amount(scripted(annotations, container["name"], f"{what}-usage"))
    if said is not None:
        return said
    requests = (container.get("resources") or {}).get("requests") or {}
    requested = _amount(requests.get(what))
    if requested is None:
        return _IDLE[what]
    return Quantity(int(requested.nanos * _OF_REQUEST[what]), requested.family)


def _amount(text: str | None) -> Quantity | None:
    if text is None:
        return None
    try:
        amount = quantity.parse(text)
    except ValueError:
        return None
    return amount if amount.nanos >= 0 else None
