"""Typed views of Jobs, and what several controllers ask of one (spec job-controller 1)."""

from enum import StrEnum

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Condition, LabelSelector, ObjectMeta, Wire

JOB_CONTROLLER = "kubernetes.io/job-controller"
"""``spec.managedBy`` of a Job that the Job controller of the cluster manages."""


class CompletionMode(StrEnum):
    NON_INDEXED = "NonIndexed"
    INDEXED = "Indexed"


class ConditionType(StrEnum):
    COMPLETE = "Complete"
    FAILED = "Failed"
    SUSPENDED = "Suspended"
    FAILURE_TARGET = "FailureTarget"
    SUCCESS_CRITERIA_MET = "SuccessCriteriaMet"


class PodReplacementPolicy(StrEnum):
    TERMINATING_OR_FAILED = "TerminatingOrFailed"
    FAILED = "Failed"


class FailureAction(StrEnum):
    FAIL_JOB = "FailJob"
    FAIL_INDEX = "FailIndex"
    IGNORE = "Ignore"
    COUNT = "Count"


class OnExitCodes(Wire, frozen=True, kw_only=True):
    container_name: str | None = None
    operator: str = ""
    values: list[int] = msgspec.field(default_factory=list)


class OnPodCondition(Wire, frozen=True, kw_only=True):
    type: str = ""
    status: str = ""


class FailureRule(Wire, frozen=True, kw_only=True):
    action: str = ""
    on_exit_codes: OnExitCodes | None = None
    on_pod_conditions: list[OnPodCondition] = msgspec.field(default_factory=list)


class PodFailurePolicy(Wire, frozen=True, kw_only=True):
    rules: list[FailureRule] = msgspec.field(default_factory=list)


class SuccessRule(Wire, frozen=True, kw_only=True):
    succeeded_indexes: str | None = None
    succeeded_count: int | None = None


class SuccessPolicy(Wire, frozen=True, kw_only=True):
    rules: list[SuccessRule] = msgspec.field(default_factory=list)


class JobSpec(Wire, frozen=True, kw_only=True):
    """The numbers that the API server defaults have its defaults here."""

    parallelism: int = 1
    completions: int | None = None
    active_deadline_seconds: int | None = None
    pod_failure_policy: PodFailurePolicy | None = None
    success_policy: SuccessPolicy | None = None
    backoff_limit: int = 6
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    selector: LabelSelector | None = None
    manual_selector: bool | None = None
    template: JsonObject = msgspec.field(default_factory=dict)
    ttl_seconds_after_finished: int | None = None
    completion_mode: str = ""
    suspend: bool | None = None
    pod_replacement_policy: str | None = None
    managed_by: str | None = None


class UncountedTerminatedPods(Wire, frozen=True, kw_only=True):
    """UIDs of pods that ended and are not in the counters yet."""

    succeeded: list[str] = msgspec.field(default_factory=list)
    failed: list[str] = msgspec.field(default_factory=list)


class JobStatus(Wire, frozen=True, kw_only=True):
    conditions: list[Condition] = msgspec.field(default_factory=list)
    start_time: str | None = None
    completion_time: str | None = None
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    terminating: int | None = None
    completed_indexes: str = ""
    failed_indexes: str | None = None
    uncounted_terminated_pods: UncountedTerminatedPods | None = None
    ready: int | None = None


class Job(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: JobSpec = msgspec.field(default_factory=JobSpec)
    status: JobStatus = msgspec.field(default_factory=JobStatus)

    @property
    def indexed(self) -> bool:
        """Whether each pod has a completion index."""
        return self.spec.completion_mode == CompletionMode.INDEXED

    @property
    def suspended(self) -> bool:
        """Whether no pods are wanted for now."""
        return bool(self.spec.suspend)

    @property
    def managed_elsewhere(self) -> bool:
        """Whether another controller than the cluster's own manages this Job."""
        return self.spec.managed_by not in (None, JOB_CONTROLLER)


def condition(job: Job, kind: ConditionType) -> Condition | None:
    """The condition of this type, or None."""
    return next((c for c in job.status.conditions if c.type == kind), None)


def finished(job: Job) -> Condition | None:
    """The condition with which a Job has ended, Complete or Failed; None while it goes on."""
    for found in job.status.conditions:
        if found.status == "True" and found.type in (ConditionType.COMPLETE, ConditionType.FAILED):
            return found
    return None
