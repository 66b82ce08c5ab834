"""The columns of the core group's plain kinds: namespaces, config, events, quotas."""

from datetime import datetime

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.tables.columns import (
    AGE,
    NAME,
    UNKNOWN,
    Cell,
    Column,
    Printer,
    age,
    items,
    member,
    name_of,
    since,
)


def _namespace(tree: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(tree), member(tree, "status").get("phase") or "", age(tree, now)]


NAMESPACES = Printer((NAME, Column("Status"), AGE), _namespace)


def _config_map(tree: JsonObject, now: datetime) -> list[Cell]:
    return [
        name_of(tree),
        len(member(tree, "data")) + len(member(tree, "binaryData")),
        age(tree, now),
    ]


CONFIG_MAPS = Printer((NAME, Column("Data"), AGE), _config_map)


def _secret(tree: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(tree), tree.get("type") or "", len(member(tree, "data")), age(tree, now)]


SECRETS = Printer(
    (
        NAME,
        Column("Type"),
        Column("Data"),
        AGE,
    ),
    _secret,
)


def named(tree: JsonObject, now: datetime) -> list[Cell]:
    """Name and age only."""
    return [name_of(tree), age(tree, now)]


NAMED = Printer((NAME, AGE), named)


def _event_source(tree: JsonObject) -> str:
    source = member(tree, "source") or member(tree, "deprecatedSource")
    component = source.get("component") or tree.get("reportingComponent")
    component = component or tree.get("reportingController") or ""
    host = source.get("host") or tree.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


def _event(tree: JsonObject, now: datetime) -> list[Cell]:
    about = member(tree, "involvedObject") or member(tree, "regarding")
    first = tree.get("firstTimestamp") or tree.get("deprecatedFirstTimestamp")
    first_seen = since(first or tree.get("eventTime"), now)
    last = tree.get("lastTimestamp") or tree.get("deprecatedLastTimestamp")
    series = member(tree, "series")
    last_seen = since(last, now) if last else first_seen
    if series:
        last_seen = since(series.get("lastObservedTime"), now)
    count = series.get("count") or tree.get("count") or tree.get("deprecatedCount") or 1
    kind = str(about.get("kind") or "").lower()
    return [
        last_seen,
        tree.get("type") or "",
        tree.get("reason") or "",
        f"{kind}/{about.get('name') or ''}",
        about.get("fieldPath") or "",
        _event_source(tree),
        str(tree.get("message") or tree.get("note") or "").strip(),
        first_seen,
        count,
        name_of(tree),
    ]


EVENTS = Printer(
    (
        Column("Last Seen"),
        Column("Type"),
        Column("Reason"),
        Column("Object"),
        Column("Subobject", wide=True),
        Column("Source", wide=True),
        Column("Message"),
        Column("First Seen", wide=True),
        Column("Count", wide=True),
        Column("Name", wide=True, format="name"),
    ),
    _event,
)


def _quota(tree: JsonObject, now: datetime) -> list[Cell]:
    hard = member(tree, "status", "hard") or member(tree, "spec", "hard")
    used = member(tree, "status", "used")
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(hard):
        text = f"{name}: {used.get(name, '0')}/{hard[name]}"
        (limits if name.startswith("limits") else requests).append(text)
    return [name_of(tree), ", ".join(requests), ", ".join(limits), age(tree, now)]


RESOURCE_QUOTAS = Printer(
    (
        NAME,
        Column("Request"),
        Column("Limit"),
        AGE,
    ),
    _quota,
)


def _component(tree: JsonObject, now: datetime) -> list[Cell]:
    healthy = {"True": "Healthy", "False": "Unhealthy"}
    for found in items(tree, "conditions"):
        if found.get("type") == "Healthy":
            word = healthy.get(found.get("status", ""), "Unknown")
            return [name_of(tree), word, found.get("message") or "", found.get("error") or ""]
    return [name_of(tree), UNKNOWN, "", ""]


COMPONENT_STATUSES = Printer(
    (
        NAME,
        Column("Status"),
        Column("Message"),
        Column("Error"),
    ),
    _component,
)
