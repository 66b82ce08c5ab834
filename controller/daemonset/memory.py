"""What the controller remembers of one DaemonSet: see `workload.memories`."""

import math

from kubeherd.cluster.api.objects import DaemonSet
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.daemonset.template import Template
from kubeherd.controller.workload.pacing import Pacing
from kubeherd.controller.workload.pods.podnames import PodNames
from kubeherd.controller.workload.written import Written


class Memory:
    """Compiled template, own writes, names of new pods, the reported hold, when to plan
    again at the earliest, and when the status was written."""

    def __init__(self, clock: Clock, rng: Rng) -> None:
        self.names = PodNames(rng.choice)
        self.written = Written(clock)
        self.hold = ""
        self.recalled = False
        """Whether it was asked what an earlier life has reported."""
        self.pacing = Pacing(clock)
        self.status_at_s = -math.inf
        """When the status was written last (monotonic)."""
        self._compiled: tuple[int, Template] | None = None

    def template(self, daemonset: DaemonSet) -> Template:
        """The compiled template of the DaemonSet's generation; BadRequest if it is unusable."""
        generation = daemonset.metadata.generation
        if self._compiled is None or self._compiled[0] != generation:
            self._compiled = (generation, Template(daemonset))
        return self._compiled[1]
