"""Quantities of resources, wherever they are listed: nothing is finer than a thousandth."""

from kubeherd.cluster.api import quantity
from kubeherd.cluster.api.jsontypes import JsonObject


def round_resources(resources: JsonObject | None) -> None:
    """Limits and requests."""
    if resources:
        round_up(resources.get("limits"))
        round_up(resources.get("requests"))


def round_up(amounts: JsonObject | None) -> None:
    """A list of resources, in place (SetDefaults_ResourceList)."""
    if not amounts:
        return
    for name, text in amounts.items():
        if text[-1:] in ("n", "u") or "e-" in text:
            amounts[name] = quantity.parse(text).rounded_up_to_milli().canonical()
