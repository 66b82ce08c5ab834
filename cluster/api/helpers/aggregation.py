"""ClusterRoles that are put together from others (``aggregationRule``).

Source: Kubernetes v1.36, pkg/controller/clusterroleaggregation.
"""

from collections.abc import Iterable

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.jsontypes import JsonObject


def selectors(role: JsonObject) -> list[JsonObject]:
    """Which roles an aggregated one takes its rules from; none for other roles."""
    return (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or []


def aggregated_rules(role: JsonObject, roles: Iterable[JsonObject]) -> list[JsonObject]:
    """The rules that an aggregated role should have, each once, those of roles by name."""
    rules: list[JsonObject] = []
    others = sorted(roles, key=lambda other: str(other["metadata"]["name"]))
    for tree in selectors(role):
        selector = labels.from_selector(tree)
        for other in others:
            own = other["metadata"]
            if own["name"] == role["metadata"]["name"]:
                continue
            if selector.matches(own.get("labels") or {}):
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules
