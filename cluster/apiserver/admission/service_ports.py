"""Node ports of Services, health check ports among them.

Source: spec service-allocation, sections 4 and 5. Invariants: no
two Services share a port, those whose writes are not committed yet included; an update that leaves
a port out keeps it. Which free port it is depends on the name only, so that the same manifest gets
the same one in every run.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import invalid
from kubeherd.cluster.api.validation.networking.service import needs_health_check
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

NODE_PORTS = range(30000, 32768)
_FIRST_DYNAMIC = 30086
"""What is below is for those who ask by number, and given to others last."""

WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
_ALLOCATED = "provided port is already allocated"
_NOT_IN_RANGE = (
    "provided port is not in the valid range. The range of valid ports is "
    f"{NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
)


def keep(spec: JsonObject, old: JsonObject) -> None:
    """Ports that an update leaves out stay, told by their names (patchAllocatedValues)."""
    if _allocates(spec) and _allocates(old):
        before = {port.get("name", ""): port.get("nodePort", 0) for port in _ports(old)}
        used = set(_numbers(old)).intersection(_numbers(spec))
        for port in _ports(spec):
            kept = before.get(port.get("name", ""), 0)
            if not port.get("nodePort") and kept and kept not in used:
                port["nodePort"] = kept
    if needs_health_check(spec) and needs_health_check(old) and "healthCheckNodePort" in old:
        spec["healthCheckNodePort"] = spec.get("healthCheckNodePort") or old["healthCheckNodePort"]


def allocate(
    request: AdmissionRequest, spec: JsonObject, old: JsonObject, lookup: Lookup, seed: int
) -> None:
    """Give the ports what they lack; 422 for a port that is taken or out of range."""
    operation = _Operation(request, spec, old, lookup, seed)
    if spec.get("type") in WITH_NODE_PORTS:
        if request.old is None:
            _on_create(operation, spec)
        else:
            _on_update(operation, spec, old)
    if needs_health_check(spec) and not needs_health_check(old):
        _health_check(operation, spec)


def gained(new: JsonObject, old: JsonObject) -> bool:
    """Whether a Service has ports that it had not (`old` may be empty)."""
    before = _all_numbers(old.get("spec") or {})
    return not set(_all_numbers(new.get("spec") or {})) <= set(before)


class _Operation:
    """The ports of one write. Others' are looked up when first needed: most updates need none."""

    def __init__(
        self,
        request: AdmissionRequest,
        spec: JsonObject,
        old: JsonObject,
        lookup: Lookup,
        seed: int,
    ) -> None:
        self._request = request
        self._lookup = lookup
        self._seed = seed
        self._own = set(_all_numbers(old))
        self._wanted = frozenset(_all_numbers(spec))
        self._mine: list[int] = []
        self._taken: set[int] = set()
        self._looked = False

    def _others(self) -> set[int]:
        if not self._looked:
            self._looked = True
            me = self._request.namespace, self._request.name
            for other in self._lookup.newest(kinds.SERVICES, _has_node_ports):
                meta = other["metadata"]
                if (meta["namespace"], meta["name"]) != me:
                    self._taken.update(_all_numbers(other["spec"]))
        return self._taken

    def why_not(self, port: int) -> str:
        """Take a port; else why it cannot be had. A dry run does not look at the range."""
        if not self._request.dry_run and port not in NODE_PORTS:
            return _NOT_IN_RANGE
        if port in self._own or port in self._mine or port in self._others():
            return _ALLOCATED
        self._mine.append(port)
        return ""

    def take(self, port: int, path: str) -> None:
        """Take a port that is asked for at `path`, or 422."""
        if why := self.why_not(port):
            cause = invalid(path, port, why)
            raise errors.invalid("", "Service", self._request.name, [cause])

    def take_next(self) -> int:
        """Any free port; 0 if there is none. A dry run gets one that no Service can have."""
        if self._request.dry_run:
            port = max(self._mine, default=NODE_PORTS.stop) + 1
        else:
            free = (port for port in self._candidates() if self._is_free(port))
            port = next(free, 0)
        self._mine.append(port)
        return port

    def _candidates(self) -> Iterator[int]:
        upper = range(_FIRST_DYNAMIC, NODE_PORTS.stop)
        start = self._seed % len(upper)
        lower = range(NODE_PORTS.start, _FIRST_DYNAMIC)
        return chain(upper[start:], upper[:start], lower)

    def _is_free(self, port: int) -> bool:
        return not (
            port in self._own
            or port in self._wanted
            or port in self._mine
            or port in self._others()
        )


def _on_create(operation: _Operation, spec: JsonObject) -> None:
    """Ports of the same number, for TCP and for UDP say, share a node port (initNodePorts)."""
    given: dict[int, int] = {}
    for index, port in enumerate(_ports(spec)):
        number, wanted = port.get("port", 0), port.get("nodePort", 0)
        if not wanted and not _allocates(spec):
            continue
        path = f"spec.ports[{index}].nodePort"
        if number not in given:
            same = (p["nodePort"] for p in _ports(spec) if p.get("port") == number and _is_set(p))
            asked = next(same, 0)
            if asked:
                operation.take(asked, path)
            given[number] = port["nodePort"] = asked or _next(operation)
        elif not wanted:
            port["nodePort"] = given[number]
        elif wanted != given[number]:
            operation.take(wanted, path)


def _on_update(operation: _Operation, spec: JsonObject, old: JsonObject) -> None:
    before, seen, taken = set(_numbers(old)), set[tuple[str, int]](), set[int]()
    for index, port in enumerate(_ports(spec)):
        number = port.get("nodePort", 0)
        if not number and not _allocates(spec):
            continue
        if not number:
            number = port["nodePort"] = _next(operation)
        elif number not in before and number not in taken:
            operation.take(number, f"spec.ports[{index}].nodePort")
            taken.add(number)
        key = port.get("protocol", ""), number
        if key in seen:
            raise errors.PlainError(f"duplicate nodePort: {{{key[0]} {number}}}")
        seen.add(key)


def _health_check(operation: _Operation, spec: JsonObject) -> None:
    port = spec.get("healthCheckNodePort", 0)
    if not port:
        port = spec["healthCheckNodePort"] = operation.take_next()
        if not port:
            raise _internal("failed to allocate a HealthCheck NodePort 0: range is full")
    elif why := operation.why_not(port):
        raise _internal(f"failed to allocate requested HealthCheck NodePort {port}: {why}")


def _next(operation: _Operation) -> int:
    port = operation.take_next()
    if not port:
        raise _internal("failed to allocate a nodePort: range is full")
    return port


def _internal(why: str) -> errors.InternalError:
    text = f"Internal error occurred: {why}"
    return errors.InternalError(text, details={"causes": [{"message": why}]})


def _has_node_ports(fields: Mapping[str, str]) -> bool:
    return fields.get("spec.type") in WITH_NODE_PORTS


def _allocates(spec: JsonObject) -> bool:
    """Whether the ports of a Service without a node port get one."""
    kind = spec.get("type")
    return kind == "NodePort" or (
        kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
    )


def _ports(spec: JsonObject) -> list[JsonObject]:
    return spec.get("ports") or []


def _is_set(port: JsonObject) -> bool:
    return bool(port.get("nodePort"))


def _numbers(spec: JsonObject) -> list[int]:
    return [port["nodePort"] for port in _ports(spec) if _is_set(port)]


def _all_numbers(spec: JsonObject) -> Iterable[int]:
    health = spec.get("healthCheckNodePort")
    return [*_numbers(spec), health] if health else _numbers(spec)
