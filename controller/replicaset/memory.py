"""What the controller remembers of one ReplicaSet: see `workload.memories`."""

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.labels import NOTHING, Selector
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.workload.apps import ReplicaSet
from kubeherd.controller.workload.pacing import Pacing
from kubeherd.controller.workload.pods.podnames import PodNames
from kubeherd.controller.workload.written import Written


class Memory:
    """The compiled selector, own writes, names of new pods, and when to plan again."""

    def __init__(self, clock: Clock, rng: Rng) -> None:
        self.names = PodNames(rng.choice)
        self.written = Written(clock)
        self.pacing = Pacing(clock)
        self._selector: tuple[int, Selector] | None = None

    def selector(self, replicaset: ReplicaSet) -> Selector:
        """The selector of this generation; one that is unusable selects nothing."""
        generation = replicaset.metadata.generation
        if self._selector is None or self._selector[0] != generation:
            self._selector = generation, _compiled(replicaset)
        return self._selector[1]


def _compiled(replicaset: ReplicaSet) -> Selector:
    try:
        return labels.from_selector(replicaset.spec.selector)
    except BadRequest:
        return NOTHING
