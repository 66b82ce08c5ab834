"""Rules of Events of events.k8s.io (pkg/apis/core/validation/events.go).

Both groups store one kind of object, and Kubernetes judges it by the names of the core group.
"""

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation import gostructs
from kubeherd.cluster.api.validation.causes import invalid, invalid_each, required
from kubeherd.cluster.api.validation.checks import immutable
from kubeherd.cluster.api.validation.rules import Rules

_LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128}
_MAX_NOTE = 1024
_UNSET = {
    "deprecatedFirstTimestamp": "firstTimestamp", "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}  # fmt: skip
_STAYS: tuple[tuple[str, str, JsonValue], ...] = (
    ("reason", "reason", ""), ("note", "message", ""),
    ("deprecatedFirstTimestamp", "firstTimestamp", None),
    ("deprecatedLastTimestamp", "lastTimestamp", None), ("deprecatedCount", "count", 0),
    ("reason", "reason", ""), ("type", "type", ""), ("eventTime", "eventTime", None),
    ("action", "action", ""), ("reportingController", "reportingController", ""),
    ("reportingInstance", "reportingInstance", ""),
)  # fmt: skip
"""(field, its name in texts, zero value) of what an update may not change; reason counts twice."""


def create_event(tree: JsonObject) -> list[Cause]:
    """A new Event: its time is known, and none of the deprecated fields are set."""
    causes = _common(tree) + _series(tree)
    if not tree.get("eventTime"):
        causes.append(required("eventTime"))
    kind = tree.get("type", "")
    if kind not in ("Normal", "Warning"):
        causes.append(invalid("type", "", f"has invalid value: {kind}"))
    causes += [
        invalid(shown, "", "needs to be unset") for name, shown in _UNSET.items() if tree.get(name)
    ]
    source = tree.get("deprecatedSource") or {}
    if source.get("component") or source.get("host"):
        causes.append(invalid("source", "", "needs to be unset"))
    return causes


def update_event(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed Event: only how often it happened changes."""
    causes = _common(new)
    if new.get("series") != old.get("series"):
        causes += _series(new)
    for name, shown, show in (
        ("regarding", "involvedObject", gostructs.object_reference),
        ("deprecatedSource", "source", gostructs.event_source),
    ):
        causes += immutable(show(new.get(name) or {}), show(old.get(name) or {}), shown)
    related, before = (
        gostructs.object_reference(tree["related"]) if tree.get("related") is not None else None
        for tree in (new, old)
    )
    for name, shown_as, zero in _STAYS:
        causes += immutable(new.get(name) or zero, old.get(name) or zero, shown_as)
    return causes + immutable(related, before, "related")


def _common(tree: JsonObject) -> list[Cause]:
    causes: list[Cause] = []
    namespace = (tree.get("metadata") or {}).get("namespace", "")
    involved = (tree.get("regarding") or {}).get("namespace", "")
    timed = bool(tree.get("eventTime"))
    alone = ("default", "kube-system") if timed else ("", "default")
    fits = namespace in alone if not involved else timed or namespace == involved
    if not fits:
        detail = "does not match event.namespace"
        causes.append(invalid("involvedObject.namespace", involved, detail))
    if timed:
        causes += _timed(tree)
    return causes + invalid_each("namespace", namespace, names.dns_subdomain(namespace))


def _timed(tree: JsonObject) -> list[Cause]:
    controller = tree.get("reportingController", "")
    causes = [] if controller else [required("reportingController")]
    causes += invalid_each("reportingController", controller, names.qualified_name(controller))
    for name, limit in _LIMITS.items():
        if not tree.get(name):
            causes.append(required(name))
        causes += _at_most(tree.get(name, ""), limit, name)
    return causes + _at_most(tree.get("note", ""), _MAX_NOTE, "message")


def _at_most(text: str, limit: int, name: str) -> list[Cause]:
    if len(text.encode()) <= limit:
        return []
    return [invalid(name, "", f"can have at most {limit} characters")]


def _series(tree: JsonObject) -> list[Cause]:
    series = tree.get("series")
    if series is None:
        return []
    causes: list[Cause] = []
    if series.get("count", 0) < 2:
        causes.append(invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        causes.append(required("series.lastObservedTime"))
    return causes


RULES = {"events.events.k8s.io": Rules(create_event, update_event)}
