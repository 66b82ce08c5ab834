"""The plugin: which writes are looked at, and what is refused or only warned of."""

from collections.abc import Iterator

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission.podsecurity import checks
from kubeherd.cluster.apiserver.admission.podsecurity.levels import (
    PRIVILEGED,
    Level,
    Policy,
    Standard,
    policy_of,
)
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

TEMPLATED = (
    "podtemplates", "replicationcontrollers", "replicasets.apps", "deployments.apps",
    "statefulsets.apps", "daemonsets.apps", "jobs.batch", "cronjobs.batch",
)  # fmt: skip
"""The kinds whose objects hold a pod template."""

_ENFORCED = "pod-security.kubernetes.io/enforce-policy"
_VIOLATIONS = "pod-security.kubernetes.io/audit-violations"
_MAX_PODS = 3000
"""So many pods of a namespace are looked at when its labels change, as in Kubernetes."""


def check_pod(request: AdmissionRequest, lookup: Lookup) -> None:
    """Refuse a pod that the namespace's level forbids; warn of what its warn level would."""
    pod = request.new or {}
    if request.old is not None and not _matters(pod, request.old):
        return
    policy = _policy(request, lookup)
    request.annotations[_ENFORCED] = str(policy.enforce)
    if policy == PRIVILEGED:
        return
    found = checks.findings(policy.enforce, pod["metadata"], pod.get("spec") or {})
    if found:
        told = ", ".join(map(str, found))
        raise request.forbidden(f'violates PodSecurity "{policy.enforce}": {told}')
    _audit(request, policy.audit, pod)
    _warn(request, policy.warn, pod)


def _policy(request: AdmissionRequest, lookup: Lookup) -> Policy:
    found = lookup.fact(kinds.NAMESPACES, "", request.namespace, _policy_of)
    return found or PRIVILEGED


def _policy_of(namespace: JsonObject) -> Policy:
    return policy_of(_labels(namespace))[0]


def check_template(request: AdmissionRequest, lookup: Lookup) -> None:
    """Warn of pods that a workload is going to create in vain."""
    policy = _policy(request, lookup)
    template = _template(request.new or {})
    if template is None:
        return
    if policy.audit.level is not Level.PRIVILEGED:
        _audit(request, policy.audit, template)
    if policy.warn.level is not Level.PRIVILEGED:
        _warn(request, policy.warn, template)


def check_namespace(request: AdmissionRequest, lookup: Lookup) -> None:
    """422 for labels that mean nothing; a warning of pods that a new level would have refused."""
    new = request.new or {}
    policy, causes = policy_of(_labels(new))
    before, causes_before = policy_of(_labels(request.old))
    if causes and (request.old is None or causes != causes_before):
        raise errors.invalid("", "Namespace", request.name, causes)
    enforce, old = policy.enforce, before.enforce
    if request.old is None or enforce == old or enforce.level is Level.PRIVILEGED:
        return
    if enforce.minor != old.minor or enforce.level > old.level:
        request.warnings.extend(_existing(lookup, request.name, enforce))


def _existing(lookup: Lookup, namespace: str, enforce: Standard) -> Iterator[str]:
    broken: dict[str, list[str]] = {}
    pods = list(lookup.list(kinds.PODS, namespace))
    for pod in pods[:_MAX_PODS]:
        found = checks.findings(enforce, pod["metadata"], pod.get("spec") or {})
        if found:
            reasons = ", ".join(one.reason for one in found)
            broken.setdefault(reasons, []).append(pod["metadata"]["name"])
    if len(pods) > _MAX_PODS:
        yield (
            f"new PodSecurity enforce level only checked against the first {_MAX_PODS} of "
            f"{len(pods)} existing pods"
        )
    if broken:
        yield (
            f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level '
            f'"{enforce}"'
        )
    yield from sorted(f"{_some(names)}: {reasons}" for reasons, names in broken.items())


def _some(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    others = len(names) - 1
    return f"{min(names)} (and {others} other {'pod' if others == 1 else 'pods'})"


def _warn(request: AdmissionRequest, standard: Standard, pod: JsonObject) -> None:
    found = checks.findings(standard, pod.get("metadata") or {}, pod.get("spec") or {})
    if found:
        told = ", ".join(map(str, found))
        request.warnings.append(f'would violate PodSecurity "{standard}": {told}')


def _audit(request: AdmissionRequest, standard: Standard, pod: JsonObject) -> None:
    found = checks.findings(standard, pod.get("metadata") or {}, pod.get("spec") or {})
    if found:
        told = ", ".join(map(str, found))
        request.annotations[_VIOLATIONS] = f'would violate PodSecurity "{standard}": {told}'


def _labels(namespace: JsonObject | None) -> dict[str, str]:
    return ((namespace or {}).get("metadata") or {}).get("labels") or {}


def _template(tree: JsonObject) -> JsonObject | None:
    """The pod template of a workload, a CronJob or a PodTemplate."""
    if tree.get("kind") == "PodTemplate":
        return tree.get("template")
    spec = tree.get("spec") or {}
    if tree.get("kind") == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    return spec.get("template")


def _matters(new: JsonObject, old: JsonObject) -> bool:
    """Whether an update changes anything that can: images, or the containers there are."""
    return _images(new) != _images(old)


def _images(pod: JsonObject) -> list[tuple[str, str, object]]:
    spec = pod.get("spec") or {}
    return [
        (group, container.get("name", ""), container.get("image"))
        for group in ("initContainers", "containers", "ephemeralContainers")
        for container in spec.get(group) or ()
    ]
