"""The columns of nodes, leases and the objects around them (spec api-machinery, 15)."""

from datetime import datetime

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.tables.columns import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    Cell,
    Column,
    Printer,
    age,
    condition,
    items,
    member,
    name_of,
)

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"


def status_word(node: JsonObject) -> str:
    """``Ready``, ``NotReady`` or ``Unknown``, with ``,SchedulingDisabled`` if cordoned."""
    ready = condition(node, "Ready")
    word = "Unknown"
    if ready:
        word = "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{word},SchedulingDisabled" if member(node, "spec").get("unschedulable") else word


def roles(node: JsonObject) -> str:
    """The roles that labels give a node, sorted, or ``<none>``."""
    found = set()
    for key, value in member(node, "metadata", "labels").items():
        if key.startswith(_ROLE_PREFIX) and key != _ROLE_PREFIX:
            found.add(key.removeprefix(_ROLE_PREFIX))
        elif key == _ROLE_LABEL and value:
            found.add(value)
    return ",".join(sorted(found)) or NONE


def _address(node: JsonObject, kind: str) -> str:
    for address in items(member(node, "status"), "addresses"):
        if address.get("type") == kind:
            return str(address.get("address") or "")
    return NONE


def _node(node: JsonObject, now: datetime) -> list[Cell]:
    info = member(node, "status", "nodeInfo")
    kernel = info.get("kernelVersion") or UNKNOWN
    if info.get("architecture"):
        kernel = f"{kernel} ({info['architecture']})"
    return [
        name_of(node),
        status_word(node),
        roles(node),
        age(node, now),
        info.get("kubeletVersion") or "",
        _address(node, "InternalIP"),
        _address(node, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        kernel,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


NODES = Printer(
    (
        NAME,
        Column("Status"),
        Column("Roles"),
        AGE,
        Column("Version"),
        Column("Internal-IP", wide=True),
        Column("External-IP", wide=True),
        Column("OS-Image", wide=True),
        Column("Kernel-Version", wide=True),
        Column("Container-Runtime", wide=True),
    ),
    _node,
)


def _lease(lease: JsonObject, now: datetime) -> list[Cell]:
    holder = member(lease, "spec").get("holderIdentity") or ""
    return [name_of(lease), holder, age(lease, now)]


LEASES = Printer((NAME, Column("Holder"), AGE), _lease)


def _runtime_class(tree: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(tree), tree.get("handler") or "", age(tree, now)]


RUNTIME_CLASSES = Printer(
    (NAME, Column("Handler"), AGE),
    _runtime_class,
)


def _priority_class(tree: JsonObject, now: datetime) -> list[Cell]:
    return [
        name_of(tree),
        tree.get("value") or 0,
        bool(tree.get("globalDefault")),
        age(tree, now),
        tree.get("preemptionPolicy") or "PreemptLowerPriority",
    ]


PRIORITY_CLASSES = Printer(
    (
        NAME,
        Column("Value", "integer"),
        Column("Global-Default", "boolean"),
        AGE,
        Column("PreemptionPolicy"),
    ),
    _priority_class,
)


def _claim_state(tree: JsonObject) -> str:
    states = []
    if member(tree, "metadata").get("deletionTimestamp"):
        states.append("deleted")
    if member(tree, "status", "allocation"):
        states.append("allocated")
        if items(member(tree, "status"), "reservedFor"):
            states.append("reserved")
    return ",".join(states) or "pending"


def _resource_claim(tree: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(tree), _claim_state(tree), age(tree, now)]


RESOURCE_CLAIMS = Printer((NAME, Column("State"), AGE), _resource_claim)


def _resource_slice(tree: JsonObject, now: datetime) -> list[Cell]:
    spec = member(tree, "spec")
    return [
        name_of(tree),
        spec.get("nodeName") or "",
        spec.get("driver") or "",
        member(spec, "pool").get("name") or "",
        age(tree, now),
    ]


RESOURCE_SLICES = Printer(
    (
        NAME,
        Column("Node"),
        Column("Driver"),
        Column("Pool"),
        AGE,
    ),
    _resource_slice,
)
