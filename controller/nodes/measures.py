"""What the node lifecycle controller counts, by the names of Kubernetes v1.36.

Source: pkg/controller/nodelifecycle/metrics.go.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from kubeherd.cluster.runtime.metrics import Family, Histogram, Kind, Sample, exponential


class Measures:
    """The counts of one controller."""

    def __init__(self) -> None:
        self.passes = Histogram(exponential(0.01, 4, 8))
        """Real seconds of a pass over all nodes."""
        self.nodes = Histogram(exponential(0.001, 4, 8))
        """Real seconds of looking at one."""
        self.evictions: Counter[str] = Counter()
        """Nodes that got their NoExecute taint, by zone."""

    def families(self, zone_of: Mapping[str, str], healthy: Collection[str]) -> Iterable[Family]:
        """All families, given the zone of each known node and which are ready."""
        sizes = Counter(zone_of.values())
        ready = Counter(zone for name, zone in zone_of.items() if name in healthy)
        yield _by_zone(
            "zone_size", "Registered nodes.", {zone: float(size) for zone, size in sizes.items()}
        )
        yield _by_zone(
            "zone_health",
            "Nodes that are ready, in percent.",
            {zone: 100 * ready[zone] / size for zone, size in sizes.items()},
        )
        yield _by_zone(
            "unhealthy_nodes_in_zone",
            "Nodes that are not ready.",
            {zone: float(size - ready[zone]) for zone, size in sizes.items()},
        )
        evictions = {zone: float(self.evictions[zone]) for zone in {*sizes, *self.evictions}}
        yield _by_zone("evictions_total", "Nodes that were tainted.", evictions, Kind.COUNTER)
        yield Family(
            "node_collector_update_all_nodes_health_duration_seconds",
            Kind.HISTOGRAM,
            "Of a pass over all nodes.",
            (),
            [((), self.passes)],
        )
        yield Family(
            "node_collector_update_node_health_duration_seconds",
            Kind.HISTOGRAM,
            "Of looking at one node.",
            (),
            [((), self.nodes)],
        )


def _by_zone(name: str, text: str, numbers: Mapping[str, float], kind: Kind = Kind.GAUGE) -> Family:
    samples: list[Sample] = [((zone,), number) for zone, number in sorted(numbers.items())]
    return Family(f"node_collector_{name}", kind, text, ("zone",), samples)
