"""What a Binding makes of its pod (spec api-machinery, section 9). Pure."""

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject


def check(name: str, binding: JsonObject) -> None:
    """Invalid if a Binding to the pod of this name has no node as its target."""
    target = binding.get("target") or {}
    causes = []
    kind = target.get("kind", "")
    if kind not in ("", "Node"):
        causes.append(
            Cause(
                "FieldValueNotSupported",
                f'Unsupported value: "{kind}": supported values: "Node", ""',
                "target.kind",
            )
        )
    if not target.get("name"):
        causes.append(Cause("FieldValueRequired", "Required value", "target.name"))
    if causes:
        raise errors.invalid("", "Binding", name, causes)


def _binding_conflict(name: str, why: str) -> errors.Conflict:
    return errors.Conflict(
        f'Operation cannot be fulfilled on pods/binding "{name}": {why}',
        details={"name": name, "kind": "pods/binding"},
    )


def bound(pod: JsonObject, binding: JsonObject, timestamp: str) -> JsonObject:
    """The pod, in place but for its spec, assigned to the binding's target at this time; Conflict
    where that is no longer possible."""
    meta, spec, given = pod["metadata"], dict(pod["spec"]), binding["metadata"]
    name = meta["name"]
    for key, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if given.get(key) and given[key] != meta[key]:
            raise _binding_conflict(
                name,
                f"Precondition failed: {label} in precondition: {given[key]}, "
                f"{label} in object meta: {meta[key]}",
            )
    if meta.get("deletionTimestamp"):
        raise _binding_conflict(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _binding_conflict(
            name, f'pod {name} is already assigned to node "{spec["nodeName"]}"'
        )
    if spec.get("schedulingGates"):
        raise _binding_conflict(name, f"pod {name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = binding["target"]["name"]
    for key in ("annotations", "labels"):
        if given.get(key):
            meta[key] = {**(meta.get(key) or {}), **given[key]}
    status = pod.setdefault("status", {})
    status.pop("nominatedNodeName", None)
    set_condition(
        status,
        {"type": "PodScheduled", "status": "True", "lastProbeTime": None},
        timestamp,
    )
    pod["spec"] = spec
    return pod


def set_condition(status: JsonObject, condition: JsonObject, timestamp: str) -> None:
    """Add or replace a condition by its type; the transition time changes with the status."""
    conditions = list(status.get("conditions") or ())
    for index, existing in enumerate(conditions):
        if existing.get("type") == condition["type"]:
            same = existing.get("status") == condition["status"]
            moment = existing.get("lastTransitionTime") if same else timestamp
            conditions[index] = {**condition, "lastTransitionTime": moment}
            break
    else:
        conditions.append({**condition, "lastTransitionTime": timestamp})
    status["conditions"] = conditions
