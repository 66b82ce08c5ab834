"""What an API server does wrong now: the gate, the valves on watches, the store's engine."""

from collections.abc import Callable, Sequence

from kubeherd.cluster.apiserver.edge.messages import ApiRequest
from kubeherd.cluster.apiserver.edge.routing import Route
from kubeherd.cluster.apiserver.faults.active import Faults
from kubeherd.cluster.apiserver.faults.gate import Gate, asked_by, who_sends
from kubeherd.cluster.apiserver.faults.valves import Valves
from kubeherd.cluster.apiserver.handlers.services import Services
from kubeherd.faults import Fault, FaultError
from kubeherd.faults.effects import CONNECTION, REQUEST_EFFECTS, STORE


class Hurts:
    """All faults of one server. `gate` is None while there is none of connections or requests."""

    def __init__(self, services: Services, route_of: Callable[[ApiRequest], Route]) -> None:
        self.gate: Gate | None = None
        self._store = services.store
        rng = services.rng.child("faults")
        self._store_rng = rng.child("store")
        self._faults = Faults(services.clock, rng.child("requests"))
        self._gate = Gate(services, self._faults, route_of)
        self._valves = Valves(
            services.watches,
            self._faults,
            lambda watch: (who_sends(watch.request), asked_by(watch.request, route_of)),
        )
        self._of_store: list[Fault] = []

    def begin(self, faults: Sequence[Fault]) -> None:
        """Put these in force and undo all others; FaultError if one cannot be: then nothing has
        changed."""
        of_store = [fault for fault in faults if isinstance(fault.effect, STORE)]
        of_requests = [
            fault for fault in faults if isinstance(fault.effect, (*CONNECTION, *REQUEST_EFFECTS))
        ]
        if len(of_store) + len(of_requests) < len(faults):
            kinds = {str(fault.kind) for fault in faults if fault not in of_store + of_requests}
            raise FaultError(f"an API server does not carry out {', '.join(sorted(kinds))}")
        new = self._faults.replace(of_requests)
        if of_requests:
            self.gate = self._gate
            self._valves.put()
            self._valves.began(new)
            self._valves.ended()
        elif self.gate is not None:
            self.gate = None
            self._valves.ended()
            self._valves.take_away()
        self._hurt_store(of_store)

    def _hurt_store(self, faults: list[Fault]) -> None:
        if faults == self._of_store:
            return
        self._of_store = faults
        self._store.hurt(faults, self._store_rng)
