"""Rules of pods as objects: create, update, and the subresources that change them.

Spec api-machinery, section 18: after creation nearly all of a pod's spec is fixed.
"""

from collections.abc import Mapping

from kubeherd.cluster.api import goformat, names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation.causes import forbidden, invalid, invalid_each
from kubeherd.cluster.api.validation.checks import each, immutable, range_text
from kubeherd.cluster.api.validation.internaltypes import difference
from kubeherd.cluster.api.validation.networking import addresses
from kubeherd.cluster.api.validation.pods.containers import image_spaces
from kubeherd.cluster.api.validation.pods.pod_spec import pod_spec
from kubeherd.cluster.api.validation.pods.tolerations import tolerations

_FIXED = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
    "to 1 if it was previously negative)"
)
_MIRROR = "kubernetes.io/config.mirror"
_RESIZABLE = ("cpu", "memory")


def create_pod(pod: JsonObject) -> list[Cause]:
    """A new pod."""
    spec = pod.get("spec") or {}
    causes = _pod(pod)
    if spec.get("ephemeralContainers"):
        causes.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("schedulingGates") and spec.get("nodeName"):
        detail = "cannot be set until all schedulingGates have been cleared"
        causes.append(forbidden("spec.nodeName", detail))
    return causes


def _pod(pod: JsonObject) -> list[Cause]:
    spec = pod.get("spec") or {}
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    causes: list[Cause] = []
    if _MIRROR in annotations and not spec.get("nodeName"):
        at = f"metadata.annotations[{_MIRROR}]"
        detail = "must set spec.nodeName if mirror pod annotation is set"
        causes.append(invalid(at, annotations[_MIRROR], detail))
    return causes + pod_spec(spec, "spec") + image_spaces(spec, "spec")


def update_pod(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed pod: images, deadline, additional tolerations and little else."""
    causes = _pod(new)
    after, before = new.get("spec") or {}, old.get("spec") or {}
    for name in ("containers", "initContainers"):
        if len(after.get(name) or ()) != len(before.get(name) or ()):
            detail = "pod updates may not add or remove containers"
            return [*causes, forbidden(f"spec.{name}", detail)]
    deadline = _deadline(after, before)
    causes += deadline
    if deadline and after.get("activeDeadlineSeconds") is not None:
        return causes
    causes += _only_added_tolerations(after.get("tolerations"), before.get("tolerations"))
    causes += _gates(after, before)
    munged = _without_allowed_changes(after, before)
    if munged != before:
        causes.append(forbidden("spec", f"{_FIXED}\n{difference('PodSpec', before, munged)}"))
    return causes


def _deadline(after: JsonObject, before: JsonObject) -> list[Cause]:
    path = "spec.activeDeadlineSeconds"
    seconds, previous = after.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if seconds is None:
        if previous is None:
            return []
        return [invalid(path, None, "must not update from a positive integer to nil value")]
    if not 0 <= seconds <= 2**31 - 1:
        return [invalid(path, seconds, range_text(0, 2**31 - 1))]
    if previous is not None and previous < seconds:
        return [invalid(path, seconds, "must be less than or equal to previous value")]
    return []


def _only_added_tolerations(
    after: list[JsonObject] | None, before: list[JsonObject] | None
) -> list[Cause]:
    kept = {_without_seconds(item) for item in after or ()}
    if kept.issuperset(map(_without_seconds, before or ())):
        return tolerations(after, "spec.tolerations")
    detail = "existing toleration can not be modified except its tolerationSeconds"
    return [forbidden("spec.tolerations", detail)]


def _without_seconds(toleration: JsonObject) -> frozenset[tuple[str, str]]:
    return frozenset(item for item in toleration.items() if item[0] != "tolerationSeconds")


def _gates(after: JsonObject, before: JsonObject) -> list[Cause]:
    known = {gate.get("name") for gate in before.get("schedulingGates") or ()}
    causes = []
    for at, gate in each(after.get("schedulingGates"), "spec.schedulingGates"):
        name = gate.get("name", "")
        if name not in known:
            detail = f"only deletion is allowed, but found new scheduling gate '{name}'"
            causes.append(forbidden(f"{at}.name", detail))
    return causes


def _without_allowed_changes(after: JsonObject, before: JsonObject) -> JsonObject:
    """`after` with everything that may change set back to what it was."""
    munged = dict(after)
    for name in ("containers", "initContainers"):
        if name in after and name in before:
            munged[name] = [
                _with_value(container, "image", original.get("image"))
                for container, original in zip(after[name], before[name], strict=True)
            ]
    allowed = ["activeDeadlineSeconds", "tolerations", "schedulingGates"]
    if before.get("schedulingGates"):
        allowed += ["nodeSelector", "affinity"]
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and (
        after.get("terminationGracePeriodSeconds") == 1
    ):
        allowed.append("terminationGracePeriodSeconds")
    for name in allowed:
        munged = _with_value(munged, name, before.get(name))
    return munged


def _with_value(tree: JsonObject, name: str, value: JsonValue) -> JsonObject:
    changed = {key: item for key, item in tree.items() if key != name}
    if value is not None:
        changed[name] = value
    return changed


def update_pod_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """The status of a pod, as a kubelet writes it."""
    status, previous = new.get("status") or {}, old.get("status") or {}
    spec = old.get("spec") or {}
    causes: list[Cause] = []
    if (new.get("spec") or {}).get("nodeName", "") != spec.get("nodeName", ""):
        causes.append(forbidden("status.nodeName", "may not be changed directly"))
    nominated = status.get("nominatedNodeName")
    if nominated:
        problems = names.dns_subdomain(nominated)
        causes += invalid_each("status.nominatedNodeName", nominated, problems)
    for name in ("containerStatuses", "initContainerStatuses"):
        causes += _state_transitions(status.get(name), previous.get(name), spec, name)
    causes += _generations(status)
    if status.get("qosClass") != previous.get("qosClass"):
        causes += immutable(status.get("qosClass", ""), previous.get("qosClass"), "status.qosClass")
    causes += _ips(status, previous, "podIPs")
    hosts = status.get("hostIPs") or []
    if hosts and hosts[0].get("ip", "") != status.get("hostIP", ""):
        detail = "must be equal to `hostIP`"
        causes.append(invalid("status.hostIPs[0].ip", hosts[0].get("ip", ""), detail))
    return causes + _ips(status, previous, "hostIPs")


_USUAL_CONDITIONS = frozenset({
    "PodScheduled", "Ready", "Initialized", "ContainersReady", "PodReadyToStartContainers",
})  # fmt: skip
"""Those of Kubernetes itself, whose names are right."""


def _generations(status: JsonObject) -> list[Cause]:
    """Observed generations are not negative; conditions of others have qualified names."""
    detail = "must be a non-negative integer"
    causes: list[Cause] = []
    for index, condition in enumerate(status.get("conditions") or ()):
        kind, observed = condition.get("type", ""), condition.get("observedGeneration", 0)
        if observed < 0:
            at = f"status.conditions[{index}].observedGeneration"
            causes.append(invalid(at, observed, detail))
        if kind not in _USUAL_CONDITIONS:
            at = f"status.conditions[{index}].Type"
            causes += invalid_each(at, kind, names.qualified_name(kind))
    if status.get("observedGeneration", 0) < 0:
        causes.append(invalid("status.observedGeneration", status["observedGeneration"], detail))
    return causes


def _ips(status: JsonObject, previous: JsonObject, field: str) -> list[Cause]:
    items = status.get(field)
    if not items or items == previous.get(field):
        return []
    path = f"status.{field}"
    existing = [entry.get("ip") for entry in previous.get(field) or ()]
    causes: list[Cause] = []
    for at, entry in each(items, path):
        causes += addresses.ip(entry.get("ip", ""), at, existing)
    families = {":" in entry.get("ip", "") for entry in items}
    if len(items) > 1 and (len(items) > 2 or len(families) == 1):
        shown = [{"IP": entry.get("ip", "")} for entry in items]
        detail = "may specify no more than one IP for each IP family"
        causes.append(invalid(path, shown, detail))
    return causes


def _state_transitions(
    after: list[JsonObject] | None, before: list[JsonObject] | None, spec: JsonObject, name: str
) -> list[Cause]:
    """A container that is not to be restarted stays terminated."""
    policy = spec.get("restartPolicy")
    if policy == "Always":
        return []
    key = "initContainers" if name.startswith("init") else "containers"
    own_policies: Mapping[str, str] = {
        container.get("name", ""): container["restartPolicy"]
        for container in spec.get(key) or ()
        if container.get("restartPolicy")
    }
    current = {status.get("name"): status.get("state") or {} for status in after or ()}
    causes = []
    for index, status in enumerate(before or ()):
        terminated = (status.get("state") or {}).get("terminated")
        container = status.get("name", "")
        if terminated is None or container in own_policies or container not in current:
            continue
        if terminated.get("exitCode") and policy == "OnFailure":
            continue
        if current[container].get("terminated") is None:
            detail = "may not be transitioned to non-terminated state"
            causes.append(forbidden(f"status.{name}[{index}].state", detail))
    return causes


def update_ephemeral_containers(new: JsonObject, old: JsonObject) -> list[Cause]:
    """``pods/ephemeralcontainers``: containers may be added, never changed or removed."""
    after = (new.get("spec") or {}).get("ephemeralContainers") or []
    before = (old.get("spec") or {}).get("ephemeralContainers") or []
    path = "spec.ephemeralContainers"
    causes = _pod(new)
    by_name = {container.get("name"): container for container in after}
    for container in before:
        name = container.get("name", "")
        quoted = goformat.quoted(name)
        if name not in by_name:
            causes.append(
                forbidden(path, f"existing ephemeral containers {quoted} may not be removed\n")
            )
        elif by_name[name] != container:
            text = difference("EphemeralContainer", container, by_name[name])
            detail = f"existing ephemeral containers {quoted} may not be changed\n{text}"
            causes.append(forbidden(path, detail))
    return causes


def update_resize(new: JsonObject, old: JsonObject) -> list[Cause]:
    """``pods/resize``: only cpu and memory of containers."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    causes = pod_spec(after, "spec")
    if _without_compute(after) != _without_compute(before):
        causes.append(forbidden("spec", "only cpu and memory resources are mutable"))
    return causes


def _without_compute(spec: JsonObject) -> JsonObject:
    stripped = dict(spec)
    for name in ("containers", "initContainers"):
        stripped[name] = [
            {**container, "resizePolicy": None, "resources": {
                kind: {key: amount for key, amount in amounts.items() if key not in _RESIZABLE}
                for kind, amounts in (container.get("resources") or {}).items()
                if isinstance(amounts, dict)
            }}
            for container in spec.get(name) or ()
        ]  # fmt: skip
        for container in stripped[name]:
            container["resources"] = {k: v for k, v in container["resources"].items() if v}
    return stripped
