"""The pods of a Job: its template with what indexes and counting need (spec job-controller 4.3).

Invariant: trees share what they do not change; nobody changes any of them.
"""

from typing import Any

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import JOBS
from kubeherd.cluster.api.labels import Selector, from_selector
from kubeherd.controller.job.model import (
    FAILURES_ANNOTATION,
    FINALIZER,
    IGNORED_FAILURES_ANNOTATION,
    INDEX_ANNOTATION,
    NO_INDEX,
    NewPod,
)
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.jobs import Job
from kubeherd.controller.workload.pods.podtemplate import pod_from_template

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
_MAX_PREFIX = 58
"""A name has 63 characters, five of which are chance."""


def owner(job: Job) -> Owner:
    """The Job as one that claims."""
    return Owner(JOBS, job.metadata)


class Template:
    """What is worked out once per generation: the selector, and the pod without its index."""

    def __init__(self, job: Job) -> None:
        """BadRequest if the selector is unusable."""
        self._name = job.metadata.name
        self.selector: Selector = from_selector(job.spec.selector)
        self._pod = pod_from_template(owner(job), job.spec.template)
        metadata = self._pod["metadata"]
        finalizers = metadata.get("finalizers") or []
        if FINALIZER not in finalizers:
            metadata["finalizers"] = [*finalizers, FINALIZER]
        if job.indexed:
            self._pod["spec"] = _with_variable(self._pod["spec"])

    def pod(self, new: NewPod) -> JsonObject:
        """The tree of a pod to create, without a name."""
        if new.index == NO_INDEX:
            return self._pod
        index = str(new.index)
        metadata = self._pod["metadata"]
        annotations = {**(metadata.get("annotations") or {}), INDEX_ANNOTATION: index}
        if new.failures is not None:
            annotations[FAILURES_ANNOTATION] = str(new.failures)
        if new.ignored_failures:
            annotations[IGNORED_FAILURES_ANNOTATION] = str(new.ignored_failures)
        own: JsonObject = {
            "generateName": name_prefix(self._name, new.index),
            "labels": {**(metadata.get("labels") or {}), INDEX_ANNOTATION: index},
            "annotations": annotations,
        }
        spec = {**self._pod["spec"], "hostname": f"{self._name}-{index}"}
        return {**self._pod, "metadata": {**metadata, **own}, "spec": spec}


def name_prefix(job_name: str, index: int) -> str:
    """The generateName of an index' pods; a long name of the Job is cut, the index is not."""
    end = f"-{index}-"
    return job_name[: _MAX_PREFIX - len(end)] + end


def _with_variable(spec: JsonObject) -> JsonObject:
    """Every container learns its index from the pod's label, unless it has the variable."""
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX_ANNOTATION}']"}}
    added = {"name": INDEX_VARIABLE, "valueFrom": source}

    def extended(container: dict[str, Any]) -> dict[str, Any]:
        known = container.get("env") or []
        if any(variable.get("name") == INDEX_VARIABLE for variable in known):
            return container
        return {**container, "env": [*known, added]}

    return {
        **spec,
        **{
            kind: [extended(container) for container in spec[kind]]
            for kind in ("initContainers", "containers")
            if spec.get(kind)
        },
    }
