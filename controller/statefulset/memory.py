"""What the controller remembers of one StatefulSet: see `workload.memories`."""

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.controller.workload.apps import StatefulSet
from kubeherd.controller.workload.pacing import Pacing
from kubeherd.controller.workload.revisions import revision_data
from kubeherd.controller.workload.written import Written


class Compiled:
    """What depends on a generation of a StatefulSet alone."""

    def __init__(self, statefulset: StatefulSet) -> None:
        """BadRequest if the selector is unusable."""
        self.generation = statefulset.metadata.generation
        self.selector: Selector = labels.from_selector(statefulset.spec.selector)
        self.data: JsonObject = revision_data(statefulset.spec.template)


class Memory:
    """The compiled template and selector, own writes, and how soon to plan again."""

    def __init__(self, clock: Clock) -> None:
        self.written = Written(clock)
        self.pacing = Pacing(clock)
        self._compiled: Compiled | None = None

    def compiled(self, statefulset: StatefulSet) -> Compiled:
        """What is compiled of the present generation; BadRequest if that cannot be."""
        if self._compiled is None or self._compiled.generation != statefulset.metadata.generation:
            self._compiled = Compiled(statefulset)
        return self._compiled
