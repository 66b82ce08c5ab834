"""Rules of ReplicationControllers (pkg/apis/core/validation, v1.36)."""

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import forbidden, invalid, not_supported, required
from kubeherd.cluster.api.validation.checks import not_negative
from kubeherd.cluster.api.validation.pods.pod_spec import pod_template

_COUNTS = (
    "replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration",
)  # fmt: skip


def create_replication_controller(tree: JsonObject) -> list[Cause]:
    """A ReplicationController."""
    spec = tree.get("spec") or {}
    causes = not_negative(spec, "minReadySeconds", "spec")
    selector = spec.get("selector") or {}
    if not selector:
        causes.append(required("spec.selector"))
    causes += not_negative(spec, "replicas", "spec")
    template, path = spec.get("template"), "spec.template"
    if template is None:
        return [*causes, required(path)]
    labels = (template.get("metadata") or {}).get("labels")
    if not selector.items() <= (labels or {}).items():
        detail = "`selector` does not match template `labels`"
        causes.append(invalid(f"{path}.metadata.labels", labels, detail))
    causes += pod_template(template, path)
    pod = template.get("spec") or {}
    if pod.get("restartPolicy") != "Always":
        policy = pod.get("restartPolicy", "")
        causes.append(not_supported(f"{path}.spec.restartPolicy", policy, ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        detail = "activeDeadlineSeconds in ReplicationController is not Supported"
        causes.append(forbidden(f"{path}.spec.activeDeadlineSeconds", detail))
    return causes


def update_replication_controller_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """Counts that are not negative and not above those that they are part of."""
    status = new.get("status") or {}
    causes = [cause for name in _COUNTS for cause in not_negative(status, name, "status")]
    for name, whole in (
        ("fullyLabeledReplicas", "status.replicas"), ("readyReplicas", "status.replicas"),
        ("availableReplicas", "status.replicas"), ("availableReplicas", "readyReplicas"),
    ):  # fmt: skip
        count = status.get(name, 0)
        if count > status.get(whole.removeprefix("status."), 0):
            causes.append(invalid(f"status.{name}", count, f"cannot be greater than {whole}"))
    return causes
