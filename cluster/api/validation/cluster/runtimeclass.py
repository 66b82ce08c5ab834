"""Rules of RuntimeClass (pkg/apis/node/validation)."""

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation import objectmeta
from kubeherd.cluster.api.validation.causes import duplicate, invalid_each, required
from kubeherd.cluster.api.validation.checks import immutable
from kubeherd.cluster.api.validation.pods.resources import resource_requirements
from kubeherd.cluster.api.validation.pods.tolerations import tolerations
from kubeherd.cluster.api.validation.rules import Rules

_LIST_KEY = ("key", "operator", "value", "effect")


def create_runtime_class(tree: JsonObject) -> list[Cause]:
    """A RuntimeClass: its handler, what it costs and where it runs."""
    handler = tree.get("handler", "")
    causes = [] if handler else [required("handler")]
    if handler:
        causes += invalid_each("handler", handler, names.dns_label(handler))
    overhead, scheduling = tree.get("overhead"), tree.get("scheduling") or {}
    if overhead is not None:
        limits = {"limits": overhead.get("podFixed") or {}}
        causes += resource_requirements(limits, "overhead")
    causes += objectmeta.labels(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
    items = scheduling.get("tolerations") or []
    causes += tolerations(items, "scheduling.tolerations")
    keys = [tuple(item.get(name, "") for name in _LIST_KEY) for item in items]
    return causes + [
        duplicate(f"scheduling.tolerations[{index}]", _shown(items[index]))
        for index, key in enumerate(keys)
        if key in keys[:index]
    ]


def _shown(toleration: JsonObject) -> JsonObject:
    """A core.Toleration."""
    fields = {name[:1].upper() + name[1:]: toleration.get(name, "") for name in _LIST_KEY}
    return {**fields, "TolerationSeconds": toleration.get("tolerationSeconds")}


def update_runtime_class(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed RuntimeClass: the handler stays."""
    return create_runtime_class(new) + immutable(
        new.get("handler", ""), old.get("handler"), "handler"
    )


RULES = {
    "runtimeclasses.node.k8s.io": Rules(create_runtime_class, update_runtime_class),
}
