"""A selector in the messages of Kubernetes: what ``String()`` of the Go struct gives. Pure."""

from collections.abc import Mapping

from kubeherd.cluster.api.objects import LabelSelector


def go_text(selector: LabelSelector | None) -> str:
    """The text of a meta.LabelSelector; ``nil`` of None."""
    if selector is None:
        return "nil"
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{one.key},Operator:{one.operator},"
        f"Values:[{' '.join(one.values)}],}},"
        for one in selector.match_expressions
    )
    return (
        f"&LabelSelector{{MatchLabels:{_map_text(selector.match_labels)},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )


def _map_text(labels: Mapping[str, str]) -> str:
    pairs = "".join(f"{key}: {labels[key]}," for key in sorted(labels))
    return f"map[string]string{{{pairs}}}"
