"""ClusterRoles, as far as putting them together goes."""

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import ObjectMeta, Wire


class ClusterRole(Wire, frozen=True, kw_only=True):
    """`rules` and `aggregation_rule` as trees: nothing looks into the former."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    rules: list[JsonObject] | None = None
    aggregation_rule: JsonObject | None = None

    def tree(self) -> JsonObject:
        """What `cluster.api.helpers.aggregation` wants to see."""
        return {
            "metadata": {"name": self.metadata.name, "labels": self.metadata.labels},
            "rules": self.rules,
            "aggregationRule": self.aggregation_rule,
        }
