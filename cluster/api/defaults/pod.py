"""Defaults of pod specs, for pods and for every template of one (spec api-machinery, 17)."""

from kubeherd.cluster.api.defaults.amounts import round_resources, round_up
from kubeherd.cluster.api.defaults.images import pull_policy
from kubeherd.cluster.api.defaults.volumes import default_volume
from kubeherd.cluster.api.jsontypes import JsonObject

_SPEC = (
    ("restartPolicy", "Always"),
    ("terminationGracePeriodSeconds", 30),
    ("dnsPolicy", "ClusterFirst"),
    ("schedulerName", "default-scheduler"),
)
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE = (
    ("timeoutSeconds", 1),
    ("periodSeconds", 10),
    ("successThreshold", 1),
    ("failureThreshold", 3),
)


def default_pod(pod: JsonObject) -> None:
    """Defaults of a Pod: those of its spec, and what holds for pods but not for templates."""
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    default_pod_status(pod.get("status") or {})
    spec.setdefault("enableServiceLinks", True)
    if spec.get("hostNetwork"):
        _host_ports(spec)
    for key in ("initContainers", "containers"):
        for container in spec.get(key, ()):
            _requests_from_limits(container.get("resources"))
    _requests_from_limits(spec.get("resources"))


def default_template(template: JsonObject) -> None:
    """Defaults of a pod template; its metadata and spec are there afterwards."""
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def default_pod_spec(spec: JsonObject) -> None:
    """Defaults that pods and templates share."""
    for name, value in _SPEC:
        spec.setdefault(name, value)
    spec.setdefault("securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(key, ()):
            _container(container)
    for volume in spec.get("volumes", ()):
        default_volume(volume)
    round_resources(spec.get("resources"))
    round_up(spec.get("overhead"))


def _host_ports(spec: JsonObject) -> None:
    for key in ("initContainers", "containers"):
        for container in spec.get(key, ()):
            for port in container.get("ports", ()):
                if not port.get("hostPort") and port.get("containerPort"):
                    port["hostPort"] = port["containerPort"]


def _requests_from_limits(resources: JsonObject | None) -> None:
    if resources and resources.get("limits"):
        requests = resources.setdefault("requests", {})
        for name, limit in resources["limits"].items():
            requests.setdefault(name, limit)


def _container(container: JsonObject) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image", ""))
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    round_resources(container.setdefault("resources", {}))
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for variable in container.get("env", ()):
        _env_source(variable.get("valueFrom"))
    for key in _PROBES:
        if key in container:
            _probe(container[key])
    lifecycle = container.get("lifecycle") or {}
    for key in ("postStart", "preStop"):
        _http_get((lifecycle.get(key) or {}).get("httpGet"))


def _env_source(source: JsonObject | None) -> None:
    if not source:
        return
    if "fieldRef" in source:
        source["fieldRef"].setdefault("apiVersion", "v1")
    if "fileKeyRef" in source:
        source["fileKeyRef"].setdefault("optional", False)
    if "resourceFieldRef" in source:
        source["resourceFieldRef"].setdefault("divisor", "0")


def _probe(probe: JsonObject) -> None:
    for name, value in _PROBE:
        if not probe.get(name):
            probe[name] = value
    _http_get(probe.get("httpGet"))
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _http_get(action: JsonObject | None) -> None:
    if action is not None:
        action.setdefault("path", "/")
        action.setdefault("scheme", "HTTP")


def default_pod_status(status: JsonObject) -> None:
    """``podIP`` is the first of ``podIPs``, and decides where both are given and differ."""
    first, several = status.get("podIP"), status.get("podIPs")
    if first and (not several or several[0].get("ip") != first):
        status["podIPs"] = [{"ip": first}]
    elif several and not first and several[0].get("ip"):
        status["podIP"] = several[0]["ip"]
