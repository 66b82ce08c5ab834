"""The columns of controllers' kinds: daemon sets, deployments, jobs and so on."""

from datetime import datetime

from kubeherd.cluster.api import duration
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.cluster.apiserver.tables.columns import (
    AGE,
    CONTAINERS,
    IMAGES,
    NAME,
    NONE,
    SELECTOR,
    Cell,
    Column,
    Printer,
    age,
    condition,
    containers,
    deleting,
    flag,
    format_labels,
    format_selector,
    items,
    member,
    name_of,
    since,
)


def _count(tree: JsonObject, name: str) -> int:
    value = member(tree, "status").get(name)
    return value if isinstance(value, int) else 0


def _desired(tree: JsonObject) -> int:
    value = member(tree, "spec").get("replicas")
    return value if isinstance(value, int) else 0


def _template(tree: JsonObject) -> tuple[str, str]:
    return containers(member(tree, "spec", "template", "spec"))


def _daemon_set(tree: JsonObject, now: datetime) -> list[Cell]:
    return [
        name_of(tree),
        _count(tree, "desiredNumberScheduled"),
        _count(tree, "currentNumberScheduled"),
        _count(tree, "numberReady"),
        _count(tree, "updatedNumberScheduled"),
        _count(tree, "numberAvailable"),
        format_labels(member(tree, "spec", "template", "spec", "nodeSelector")),
        age(tree, now),
        *_template(tree),
        format_selector(member(tree, "spec", "selector")),
    ]


DAEMON_SETS = Printer(
    (
        NAME,
        Column("Desired", "integer"),
        Column("Current", "integer"),
        Column("Ready", "integer"),
        Column("Up-to-date", "integer"),
        Column("Available", "integer"),
        Column("Node Selector"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    _daemon_set,
)


def _deployment(tree: JsonObject, now: datetime) -> list[Cell]:
    return [
        name_of(tree),
        f"{_count(tree, 'readyReplicas')}/{_desired(tree)}",
        _count(tree, "updatedReplicas"),
        _count(tree, "availableReplicas"),
        age(tree, now),
        *_template(tree),
        format_selector(member(tree, "spec", "selector")),
    ]


DEPLOYMENTS = Printer(
    (
        NAME,
        Column("Ready"),
        Column("Up-to-date"),
        Column("Available"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    _deployment,
)


def _replica_set(tree: JsonObject, now: datetime) -> list[Cell]:
    selector = member(tree, "spec", "selector")
    is_plain = tree.get("kind") == "ReplicationController"
    return [
        name_of(tree),
        _desired(tree),
        _count(tree, "replicas"),
        _count(tree, "readyReplicas"),
        age(tree, now),
        *_template(tree),
        format_labels(selector) if is_plain else format_selector(selector),
    ]


REPLICA_SETS = Printer(
    (
        NAME,
        Column("Desired", "integer"),
        Column("Current", "integer"),
        Column("Ready", "integer"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    _replica_set,
)


def _stateful_set(tree: JsonObject, now: datetime) -> list[Cell]:
    ready = f"{_count(tree, 'readyReplicas')}/{_desired(tree)}"
    return [name_of(tree), ready, age(tree, now), *_template(tree)]


STATEFUL_SETS = Printer(
    (NAME, Column("Ready"), AGE, CONTAINERS, IMAGES),
    _stateful_set,
)


def _revision(tree: JsonObject, now: datetime) -> list[Cell]:
    controller = NONE
    for owner in items(member(tree, "metadata"), "ownerReferences"):
        if owner.get("controller"):
            group = owner.get("apiVersion", "").rpartition("/")[0]
            kind = owner.get("kind", "").lower()
            qualified = f"{kind}.{group}" if group else kind
            controller = f"{qualified}/{owner.get('name')}"
    return [name_of(tree), controller, tree.get("revision") or 0, age(tree, now)]


CONTROLLER_REVISIONS = Printer(
    (
        NAME,
        Column("Controller"),
        Column("Revision"),
        AGE,
    ),
    _revision,
)

_JOB_ENDS = ("Complete", "Failed")
_JOB_STATES = ("Suspended", "FailureTarget", "SuccessCriteriaMet")


def _job_status(tree: JsonObject) -> str:
    for kind in _JOB_ENDS:
        if condition(tree, kind).get("status") == "True":
            return kind
    if deleting(tree):
        return "Terminating"
    for kind in _JOB_STATES:
        if condition(tree, kind).get("status") == "True":
            return kind
    return "Running"


def _job(tree: JsonObject, now: datetime) -> list[Cell]:
    spec, status = member(tree, "spec"), member(tree, "status")
    done = _count(tree, "succeeded")
    parallelism = spec.get("parallelism") or 0
    if spec.get("completions") is not None:
        completions = f"{done}/{spec['completions']}"
    else:
        completions = f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"
    took = ""
    if status.get("startTime"):
        end = parse_time(status["completionTime"]) if status.get("completionTime") else now
        took = duration.human((end - parse_time(status["startTime"])).total_seconds())
    return [
        name_of(tree),
        _job_status(tree),
        completions,
        took,
        age(tree, now),
        *_template(tree),
        format_selector(spec.get("selector")),
    ]


JOBS = Printer(
    (
        NAME,
        Column("Status"),
        Column("Completions"),
        Column("Duration"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    _job,
)


def _cron_job(tree: JsonObject, now: datetime) -> list[Cell]:
    spec, status = member(tree, "spec"), member(tree, "status")
    job = member(spec, "jobTemplate", "spec")
    last = status.get("lastScheduleTime")
    return [
        name_of(tree),
        spec.get("schedule") or "",
        spec.get("timeZone") or NONE,
        flag(spec.get("suspend")),
        len(items(status, "active")),
        since(last, now) if last else NONE,
        age(tree, now),
        *containers(member(job, "template", "spec")),
        format_selector(job.get("selector")),
    ]


CRON_JOBS = Printer(
    (
        NAME,
        Column("Schedule"),
        Column("Timezone"),
        Column("Suspend", "boolean"),
        Column("Active", "integer"),
        Column("Last Schedule"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    _cron_job,
)


def _budget(tree: JsonObject, now: datetime) -> list[Cell]:
    spec = member(tree, "spec")
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    return [
        name_of(tree),
        "N/A" if least is None else str(least),
        "N/A" if most is None else str(most),
        _count(tree, "disruptionsAllowed"),
        age(tree, now),
    ]


POD_DISRUPTION_BUDGETS = Printer(
    (
        NAME,
        Column("Min Available"),
        Column("Max Unavailable"),
        Column("Allowed Disruptions", "integer"),
        AGE,
    ),
    _budget,
)
