"""Which resource an object is of, by what it says of itself. Pure."""

from collections.abc import Iterable, Mapping

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject

Plurals = Mapping[tuple[str, str], str]
"""(group, kind) -> plural."""


def custom_plurals(trees: Iterable[JsonObject]) -> Plurals:
    """What the CustomResourceDefinitions among these objects define."""
    found: dict[tuple[str, str], str] = {}
    for tree in trees:
        if tree.get("kind") != "CustomResourceDefinition":
            continue
        spec = tree.get("spec") or {}
        names = spec.get("names") or {}
        if {"kind", "plural"} <= names.keys() and "group" in spec:
            found[spec["group"], names["kind"]] = names["plural"]
    return found


def group_resource(tree: JsonObject, custom: Plurals) -> str:
    """``daemonsets.apps`` of a DaemonSet. A kind that nobody knows gets a name that is none:
    ``Widget.example.com``. KeyError if the object does not say its kind."""
    group = str(tree["apiVersion"]).rpartition("/")[0]
    kind = str(tree["kind"])
    plural = custom.get((group, kind)) or _BUILT_IN.get((group, kind), kind)
    return f"{plural}.{group}" if group else plural


_BUILT_IN: Plurals = {(one.group, one.kind): one.plural for one in kinds.ALL}
