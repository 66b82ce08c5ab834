"""Rules of Job and CronJob (pkg/apis/batch/validation)."""

import re
from functools import cache

from kubeherd.cluster.api import cron, labels, names
from kubeherd.cluster.api.errors import ApiError, Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation import gostructs, internaltypes
from kubeherd.cluster.api.validation.causes import (
    invalid,
    not_supported,
    required,
    too_long,
)
from kubeherd.cluster.api.validation.checks import (
    immutable,
    label_selector,
    not_negative,
)
from kubeherd.cluster.api.validation.objectmeta import IMMUTABLE
from kubeherd.cluster.api.validation.pods.pod_spec import pod_template
from kubeherd.cluster.api.validation.references import domain_prefixed_path
from kubeherd.cluster.api.validation.rules import Rules
from kubeherd.cluster.api.validation.workloads.daemonset import selector_matches_template
from kubeherd.cluster.api.validation.workloads.jobpolicies import failure_policy, success_policy

_MAX_MANAGED_BY = 63
_MAX_CRON_JOB_NAME = 52
_MAX_PARALLELISM = 100_000
_MANY_COMPLETIONS = 100_000
_MAX_FOR_MANY = 10_000
_COUNTS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
    "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes",
)  # fmt: skip
_STATUS_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_STAYS = (
    "selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy",
    "successPolicy",
)  # fmt: skip
_POLICIES = ("OnFailure", "Never")
_REPLACEMENTS = ("Failed", "TerminatingOrFailed")
_NOT_GENERATED = "`selector` not auto-generated"
_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}")


def create_job(tree: JsonObject) -> list[Cause]:
    """A Job, after its selector was generated."""
    spec, meta = tree.get("spec") or {}, tree["metadata"]
    causes = _generated_selector(spec, meta) + _job_with_selector(spec, "spec")
    completions = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        host = f"{meta.get('name', '')}-{completions - 1}"
        if names.dns_label(host):
            detail = f"will not able to create pod with invalid DNS label: {host}"
            causes.append(invalid("metadata.name", meta.get("name", ""), detail))
    return causes


def update_job(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed Job: what its pods are like stays. Kubernetes judges the spec twice."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    causes = create_job(new) + _job_with_selector(after, "spec")
    indexed = after.get("completionMode") == "Indexed"
    completions = after.get("completions")
    if not indexed:
        causes += immutable(completions, before.get("completions"), "spec.completions")
    elif completions not in (None, before.get("completions"), after.get("parallelism")):
        detail = "can only be modified in tandem with spec.parallelism"
        causes.append(invalid("spec.completions", completions, detail))
    selector, former = (gostructs.label_selector(spec.get("selector")) for spec in (after, before))
    causes += immutable(selector, former, "spec.selector")
    causes += _template_stays(after, old)
    for name in _STAYS[1:]:
        causes += immutable(after.get(name), before.get(name), f"spec.{name}")
    return causes


def update_job_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """The status of a Job: counts are not negative, and those of ended pods never shrink."""
    status, before = new.get("status") or {}, old.get("status") or {}
    causes = [cause for name in _STATUS_COUNTS for cause in not_negative(status, name, "status")]
    ready, active = status.get("ready"), status.get("active", 0)
    if ready is not None and ready > active:
        causes.append(invalid("status.ready", ready, "cannot set more ready pods than active"))
    for name in ("failed", "succeeded"):
        count = status.get(name, 0)
        if count < before.get(name, 0):
            detail = f"cannot decrease the {name} counter"
            causes.append(invalid(f"status.{name}", count, detail))
    return causes


def _generated_selector(spec: JsonObject, meta: JsonObject) -> list[Cause]:
    selector = spec.get("selector")
    if spec.get("manualSelector") or selector is None:
        return []
    uid, name = meta.get("uid", ""), meta.get("name", "")
    path = "spec.template.metadata"
    found = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    expected = {
        "controller-uid": uid, "job-name": name,
        "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name,
    }  # fmt: skip
    causes: list[Cause] = []
    for key, value in expected.items():
        if key not in found:
            causes.append(required(f"{path}.labels", f"must be '{value}'"))
        elif found[key] != value:
            causes.append(invalid(f"{path}.labels", found, f"must be '{value}'"))
    try:
        generated = labels.from_selector(selector).matches(expected)
    except (ApiError, ValueError):
        return causes
    shown = gostructs.label_selector(selector)
    return causes if generated else [*causes, invalid("spec.selector", shown, _NOT_GENERATED)]


def _job_with_selector(spec: JsonObject, path: str) -> list[Cause]:
    causes = _job(spec, path)
    selector = spec.get("selector")
    if selector is None:
        causes.append(required(f"{path}.selector"))
    else:
        causes += label_selector(selector, f"{path}.selector")
    return causes + selector_matches_template(spec, path)


def _job(spec: JsonObject, path: str) -> list[Cause]:
    causes = [cause for name in _COUNTS for cause in not_negative(spec, name, path)]
    per_index = spec.get("backoffLimitPerIndex")
    if spec.get("maxFailedIndexes") is not None and per_index is None:
        detail = "when maxFailedIndexes is specified"
        causes.append(required(f"{path}.backoffLimitPerIndex", detail))
    manager = spec.get("managedBy")
    if manager is not None:
        causes += domain_prefixed_path(manager, f"{path}.managedBy")
        if len(manager) > _MAX_MANAGED_BY:
            causes.append(too_long(f"{path}.managedBy", _MAX_MANAGED_BY))
    causes += _completion_mode(spec, path)
    if spec.get("podFailurePolicy") is not None:
        causes += failure_policy(spec, f"{path}.podFailurePolicy")
    policy = spec.get("successPolicy")
    if policy is not None:
        if spec.get("completionMode") != "Indexed":
            shown = gostructs.success_policy(policy)
            causes.append(
                invalid(f"{path}.successPolicy", shown, "requires indexed completion mode")
            )
        else:
            completions = spec.get("completions") or 0
            causes += success_policy(policy, completions, f"{path}.successPolicy")
    causes += _replacement(spec, f"{path}.podReplacementPolicy")
    causes += pod_template(spec.get("template") or {}, f"{path}.template")
    return causes + _restart_policy(spec, f"{path}.template.spec.restartPolicy")


def _completion_mode(spec: JsonObject, path: str) -> list[Cause]:
    mode = spec.get("completionMode")
    causes: list[Cause] = []
    if mode not in (None, "NonIndexed", "Indexed"):
        causes.append(not_supported(f"{path}.completionMode", mode, ("NonIndexed", "Indexed")))
    if mode == "Indexed":
        causes += _indexed(spec, path)
    if mode in (None, "NonIndexed"):
        causes += [
            invalid(f"{path}.{name}", spec[name], "requires indexed completion mode")
            for name in ("backoffLimitPerIndex", "maxFailedIndexes")
            if spec.get(name) is not None
        ]
    return causes


def _indexed(spec: JsonObject, path: str) -> list[Cause]:
    completions, failed = spec.get("completions"), spec.get("maxFailedIndexes")
    parallelism = spec.get("parallelism") or 0
    causes: list[Cause] = []
    if completions is None:
        causes.append(required(f"{path}.completions", "when completion mode is Indexed"))
    if parallelism > _MAX_PARALLELISM:
        limit = f"{_MAX_PARALLELISM} when completion mode is Indexed"
        causes += _at_most(f"{path}.parallelism", parallelism, limit)
    if completions is not None and failed is not None and failed > completions:
        causes += _at_most(f"{path}.maxFailedIndexes", failed, "completions")
    if failed is not None and failed > _MAX_PARALLELISM:
        causes += _at_most(f"{path}.maxFailedIndexes", failed, str(_MAX_PARALLELISM))
    if (completions or 0) <= _MANY_COMPLETIONS or spec.get("backoffLimitPerIndex") is None:
        return causes
    limit = (
        f"{_MAX_FOR_MANY} when completions are above {_MANY_COMPLETIONS} and used with backoff "
        "limit per index"
    )
    if failed is None:
        detail = f"must be specified when completions is above {_MANY_COMPLETIONS}"
        causes.append(required(f"{path}.maxFailedIndexes", detail))
    if parallelism > _MAX_FOR_MANY:
        causes += _at_most(f"{path}.parallelism", parallelism, limit)
    if failed is not None and failed > _MAX_FOR_MANY:
        causes += _at_most(f"{path}.maxFailedIndexes", failed, limit)
    return causes


def _at_most(path: str, value: int, limit: str) -> list[Cause]:
    return [invalid(path, value, f"must be less than or equal to {limit}")]


def _replacement(spec: JsonObject, path: str) -> list[Cause]:
    policy = spec.get("podReplacementPolicy")
    supported = _REPLACEMENTS[:1] if spec.get("podFailurePolicy") is not None else _REPLACEMENTS
    if policy is None or policy in supported:
        return []
    return [not_supported(path, policy, supported)]


def _restart_policy(spec: JsonObject, path: str) -> list[Cause]:
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy", "")
    if policy in ("", "Always"):
        return [required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in _POLICIES:
        return [not_supported(path, policy, _POLICIES)]
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        return [invalid(path, policy, detail)]
    return []


def _template_stays(after: JsonObject, old: JsonObject) -> list[Cause]:
    """A suspended Job that has not run yet may be told where to run, and with how much."""
    before = old.get("spec") or {}
    template, former = after.get("template") or {}, before.get("template") or {}
    if not before.get("suspend"):
        return immutable(template, former, "spec.template")
    spec, old_spec = _mutable_dropped(template), _mutable_dropped(former)
    if spec == old_spec:
        return []
    shown = internaltypes.struct("PodSpec", template.get("spec") or {})
    return [invalid("spec.template.spec", shown, IMMUTABLE)]


def _mutable_dropped(template: JsonObject) -> JsonObject:
    spec = dict(template.get("spec") or {})
    for name in ("nodeSelector", "tolerations", "schedulingGates"):
        spec.pop(name, None)
    affinity = {k: v for k, v in (spec.pop("affinity", None) or {}).items() if k != "nodeAffinity"}
    if affinity:
        spec["affinity"] = affinity
    for name in ("containers", "initContainers"):
        if spec.get(name):
            spec[name] = [{**container, "resources": {}} for container in spec[name]]
    return spec


def create_cron_job(tree: JsonObject) -> list[Cause]:
    """A new CronJob: its Jobs add eleven characters to its name."""
    causes = _cron_job(tree.get("spec") or {}, None)
    name = tree["metadata"].get("name", "")
    if len(name) > _MAX_CRON_JOB_NAME:
        detail = f"must be no more than {_MAX_CRON_JOB_NAME} characters"
        causes.append(invalid("metadata.name", name, detail))
    return causes


def update_cron_job(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed CronJob."""
    return _cron_job(new.get("spec") or {}, old.get("spec") or {})


def _cron_job(spec: JsonObject, old: JsonObject | None) -> list[Cause]:
    before = old or {}
    causes = _schedule(spec, zone_allowed="TZ" in before.get("schedule", ""))
    causes += not_negative(spec, "startingDeadlineSeconds", "spec")
    zone = spec.get("timeZone")
    if zone is not None and (old is None or zone != before.get("timeZone")):
        causes += _time_zone(zone, "spec.timeZone")
    policy = spec.get("concurrencyPolicy", "")
    supported = ("Allow", "Forbid", "Replace")
    if policy not in supported:
        causes.append(not_supported("spec.concurrencyPolicy", policy, supported))
    job, path = (spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec"
    causes += _job(job, path)
    if job.get("selector") is not None:
        detail = "`selector` will be auto-generated"
        shown = gostructs.label_selector(job["selector"])
        causes.append(invalid(f"{path}.selector", shown, detail))
    if job.get("manualSelector"):
        causes.append(not_supported(f"{path}.manualSelector", True, ("nil", "false")))
    causes += not_negative(spec, "successfulJobsHistoryLimit", "spec")
    return causes + not_negative(spec, "failedJobsHistoryLimit", "spec")


def _schedule(spec: JsonObject, *, zone_allowed: bool) -> list[Cause]:
    schedule, path = spec.get("schedule", ""), "spec.schedule"
    if not schedule:
        return [required(path)]
    problem = cron.problem(schedule)
    causes = [invalid(path, schedule, problem)] if problem else []
    if "TZ" in schedule:
        if not zone_allowed:
            detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            causes.append(invalid(path, schedule, detail))
        elif spec.get("timeZone") is not None:
            detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
            causes.append(invalid(path, schedule, detail))
    return causes


@cache
def _zones() -> frozenset[str]:
    """The time zones that this machine knows; none where it has no database of them."""
    from zoneinfo import available_timezones  # noqa: PLC0415 - for a field that few CronJobs have

    return frozenset(available_timezones())


def _time_zone(zone: str, path: str) -> list[Cause]:
    if not zone:
        return [invalid(path, zone, "timeZone must be nil or non-empty string")]
    unknown = invalid(path, zone, f"unknown time zone {zone}")
    for part in zone.split("/"):
        if part in (".", "..") or part.startswith("-") or not _ZONE_PART.fullmatch(part):
            return [unknown]
    if zone.lower() == "local":
        detail = (
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        )
        return [invalid(path, zone, detail)]
    return [unknown] if _zones() and zone not in _zones() else []


RULES = {
    "jobs.batch": Rules(create_job, update_job, {"status": update_job_status}),
    "cronjobs.batch": Rules(create_cron_job, update_cron_job),
}
