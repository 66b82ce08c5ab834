"""The columns of pods: the status word, ready counts and restarts (spec api-machinery, 15)."""

from datetime import datetime

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.cluster.apiserver.tables.columns import (
    AGE,
    NAME,
    NONE,
    Cell,
    Column,
    Printer,
    age,
    condition,
    containers,
    deleting,
    format_labels,
    items,
    member,
    name_of,
    since,
)

COLUMNS = (
    NAME,
    Column("Ready"),
    Column("Status"),
    Column("Restarts"),
    AGE,
    Column("IP", wide=True),
    Column("Node", wide=True),
    Column("Nominated Node", wide=True),
    Column("Readiness Gates", wide=True),
)


def _restarts_forever(container: JsonObject) -> bool:
    return container.get("restartPolicy") == "Always"


def _restartable_init(pod: JsonObject) -> dict[str, bool]:
    found = items(member(pod, "spec"), "initContainers")
    return {container.get("name", ""): _restarts_forever(container) for container in found}


def _exit_word(terminated: JsonObject) -> str:
    reason = terminated.get("reason")
    if reason:
        return str(reason)
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _initializing(pod: JsonObject) -> str:
    """``Init:...`` if an init container holds the pod up, else ""."""
    sidecars = _restartable_init(pod)
    for index, status in enumerate(items(member(pod, "status"), "initContainerStatuses")):
        terminated = member(status, "state", "terminated")
        waiting = member(status, "state", "waiting")
        if terminated and terminated.get("exitCode", 0) == 0:
            continue
        if sidecars.get(status.get("name", "")) and status.get("started"):
            continue
        if terminated:
            return f"Init:{_exit_word(terminated)}"
        if waiting.get("reason") not in (None, "", "PodInitializing"):
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{len(sidecars)}"
    return ""


def _running_word(pod: JsonObject, word: str) -> str:
    """The word after the regular containers were looked at, from last to first."""
    running, failure = False, ""
    for status in reversed(items(member(pod, "status"), "containerStatuses")):
        state = member(status, "state")
        terminated = member(state, "terminated")
        if member(state, "waiting").get("reason"):
            word = state["waiting"]["reason"]
        elif terminated:
            word = _exit_word(terminated)
            if terminated.get("exitCode", 0) != 0:
                failure = word
        elif status.get("ready") and "running" in state:
            running = True
    if word == "Completed":
        if running and condition(pod, "Ready").get("status") == "True":
            return "Running"
        return failure or ("NotReady" if running else word)
    return word


def status_word(pod: JsonObject) -> str:
    """What the Status column says."""
    status = member(pod, "status")
    phase = str(status.get("phase") or "")
    word = str(status.get("reason") or phase)
    if condition(pod, "PodScheduled").get("reason") == "SchedulingGated":
        word = "SchedulingGated"
    initializing = _initializing(pod)
    if initializing:
        word = initializing
    if not initializing or condition(pod, "Initialized").get("status") == "True":
        word = _running_word(pod, word)
    if deleting(pod):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if phase not in ("Succeeded", "Failed"):
            return "Terminating"
    return word


def _last_restart(statuses: list[JsonObject]) -> str:
    times = (
        member(status, "lastState", "terminated").get("finishedAt") or "" for status in statuses
    )
    return max(times, key=lambda text: parse_time(text).timestamp() if text else 0.0, default="")


def _counts(pod: JsonObject) -> tuple[str, int, str]:
    """Ready cell, restarts, time of the last restart."""
    sidecars = _restartable_init(pod)
    status = member(pod, "status")
    init_statuses = items(status, "initContainerStatuses")
    statuses = items(status, "containerStatuses")
    started = [s for s in init_statuses if sidecars.get(s.get("name", ""))]
    total = len(items(member(pod, "spec"), "containers")) + sum(sidecars.values())
    ready = sum(bool(s.get("started") and s.get("ready")) for s in started)
    ready += sum(bool(s.get("ready") and "running" in member(s, "state")) for s in statuses)
    if _initializing(pod) and condition(pod, "Initialized").get("status") != "True":
        counted = init_statuses
    else:
        counted = [*started, *statuses]
    restarts = sum(int(s.get("restartCount") or 0) for s in counted)
    return f"{ready}/{total}", restarts, _last_restart(counted)


def _gates(pod: JsonObject) -> str:
    gates = items(member(pod, "spec"), "readinessGates")
    if not gates:
        return NONE
    true = sum(
        condition(pod, gate.get("conditionType", "")).get("status") == "True" for gate in gates
    )
    return f"{true}/{len(gates)}"


def row(pod: JsonObject, now: datetime) -> list[Cell]:
    """The cells of a pod."""
    ready, restarts, last = _counts(pod)
    shown = f"{restarts} ({since(last, now)} ago)" if restarts and last else str(restarts)
    status = member(pod, "status")
    addresses = [a.get("ip", "") for a in items(status, "podIPs")] or [status.get("podIP")]
    return [
        name_of(pod),
        ready,
        status_word(pod),
        shown,
        age(pod, now),
        addresses[0] or NONE,
        member(pod, "spec").get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(pod),
    ]


_FINISHED = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


def row_conditions(pod: JsonObject) -> list[JsonObject]:
    """Marks the rows of finished pods, so that clients can leave them out."""
    phase = member(pod, "status").get("phase")
    if phase not in _FINISHED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _FINISHED[phase]}]


PODS = Printer(COLUMNS, row)


def _template_row(tree: JsonObject, now: datetime) -> list[Cell]:
    names, images = containers(member(tree, "template", "spec"))
    labels = format_labels(member(tree, "template", "metadata", "labels"))
    return [name_of(tree), names, images, labels]


POD_TEMPLATES = Printer(
    (
        NAME,
        Column("Containers"),
        Column("Images"),
        Column("Pod Labels"),
    ),
    _template_row,
)
