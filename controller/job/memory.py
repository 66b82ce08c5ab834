"""What the controller remembers of one Job: see `workload.memories`."""

from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.job.model import Backoff
from kubeherd.controller.job.template import Template
from kubeherd.controller.workload.jobs import Job
from kubeherd.controller.workload.pods.podnames import PodNames
from kubeherd.controller.workload.written import Written


class Memory:
    """Compiled template, own writes, names of new pods, failures since the last success, and when
    the Job started."""

    def __init__(self, clock: Clock, rng: Rng) -> None:
        self._clock = clock
        self.names = PodNames(rng.choice)
        self.written = Written(clock)
        self.backoff = Backoff()
        self._started: tuple[str, float] | None = None
        self._compiled: tuple[int, Template] | None = None

    def started(self, timestamp: str | None) -> None:
        """The Job's startTime was just set to this."""
        self._started = (timestamp, self._clock.monotonic_s()) if timestamp else None

    def started_ago_s(self, job: Job) -> float | None:
        """Nominal seconds since the Job's startTime, None if nobody here saw it being set.

        The timestamp has whole seconds only, and with ``--speed`` a second is long.
        """
        if self._started is None or self._started[0] != job.status.start_time:
            return None
        return self._clock.monotonic_s() - self._started[1]

    def template(self, job: Job) -> Template:
        """The compiled template of the Job's generation; BadRequest if it is unusable."""
        generation = job.metadata.generation
        if self._compiled is None or self._compiled[0] != generation:
            self._compiled = (generation, Template(job))
        return self._compiled[1]
