"""Rules of the containers of a pod spec (spec api-machinery, section 18)."""

from collections.abc import Container as Contains
from collections.abc import Iterable

import msgspec

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import each, one_of, port_number, range_text
from kubeherd.cluster.api.validation.pods.env import env_sources, env_variables
from kubeherd.cluster.api.validation.pods.mounts import volume_devices, volume_mounts
from kubeherd.cluster.api.validation.pods.probes import container_probes, lifecycle
from kubeherd.cluster.api.validation.pods.resources import resource_requirements
from kubeherd.cluster.api.validation.pods.security import container_security_context

_NOT_EPHEMERAL = (
    "ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", "livenessProbe",
    "readinessProbe", "startupProbe", "lifecycle",
)  # fmt: skip
_FOR_OTHERS = "cannot be set for an Ephemeral Container"
_RESTART = ("Always", "Never", "OnFailure")
_RESTART_ACTIONS = ("Restart", "RestartAllContainers")


class _Pod(msgspec.Struct, frozen=True):
    """What the rules of a container need to know of its pod."""

    volumes: Contains[str]
    claims: set[str]
    restart_policy: str


def containers(spec: JsonObject, volumes: Contains[str], path: str) -> list[Cause]:
    """``spec.containers``: at least one; names unique; host ports not taken twice."""
    items = spec.get("containers") or []
    at = f"{path}.containers"
    if not items:
        return [required(at)]
    causes: list[Cause] = []
    seen: set[str] = set()
    pod = _Pod(volumes, _claims(spec), spec.get("restartPolicy", ""))
    for item_path, container in each(items, at):
        causes += _container(container, pod, item_path)
        causes += _unique_name(container, seen, item_path)
        causes += lifecycle(container, item_path)
        causes += container_probes(container, item_path)
        causes += _restart_policy(container, item_path)
    return causes + host_port_conflicts(items, at)


def init_containers(spec: JsonObject, volumes: Contains[str], path: str) -> list[Cause]:
    """``spec.initContainers``: names unique among all; probes only for sidecars."""
    causes: list[Cause] = []
    seen = {container.get("name", "") for container in spec.get("containers") or ()}
    pod = _Pod(volumes, _claims(spec), spec.get("restartPolicy", ""))
    for item_path, container in each(spec.get("initContainers"), f"{path}.initContainers"):
        causes += _container(container, pod, item_path)
        causes += _unique_name(container, seen, item_path)
        if container.get("restartPolicy") == "Always":
            causes += lifecycle(container, item_path)
            causes += container_probes(container, item_path)
        else:
            for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
                if container.get(field) is not None:
                    detail = "may not be set for init containers without restartPolicy=Always"
                    causes.append(forbidden(f"{item_path}.{field}", detail))
        causes += _restart_policy(container, item_path)
        causes += host_port_conflicts([container], item_path, single=True)
    return causes


def ephemeral_containers(spec: JsonObject, volumes: Contains[str], path: str) -> list[Cause]:
    """``spec.ephemeralContainers``: names unique among all; no ports, probes or resources."""
    causes: list[Cause] = []
    others = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    seen = {container.get("name", "") for container in others}
    targets = set(seen)
    pod = _Pod(volumes, _claims(spec), spec.get("restartPolicy", ""))
    for item_path, container in each(
        spec.get("ephemeralContainers"), f"{path}.ephemeralContainers"
    ):
        causes += _container(container, pod, item_path)
        causes += _unique_name(container, seen, item_path)
        target = container.get("targetContainerName")
        if target and target not in targets:
            causes.append(not_found_target(f"{item_path}.targetContainerName", target))
        for field in _NOT_EPHEMERAL:
            if container.get(field):
                causes.append(forbidden(f"{item_path}.{field}", _FOR_OTHERS))
        for at, mount in each(container.get("volumeMounts"), f"{item_path}.volumeMounts"):
            causes += [
                forbidden(f"{at}.{field}", _FOR_OTHERS)
                for field in ("subPath", "subPathExpr")
                if mount.get(field)
            ]
    return causes


def not_found_target(path: str, target: str) -> Cause:
    """An ephemeral container that wants to join a container which is not there."""
    return Cause("FieldValueNotFound", f'Not found: "{target}"', path)


def _claims(spec: JsonObject) -> set[str]:
    return {claim["name"] for claim in spec.get("resourceClaims") or () if claim.get("name")}


def _restart_policy(container: JsonObject, path: str) -> list[Cause]:
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    causes: list[Cause] = []
    if policy is None and rules:
        detail = "must specify restartPolicy when restart rules are used"
        causes.append(required(f"{path}.restartPolicy", detail))
    elif policy is not None and policy not in _RESTART:
        causes.append(not_supported(f"{path}.restartPolicy", policy, _RESTART))
    for at, rule in each(rules, f"{path}.restartPolicyRules"):
        causes += _restart_rule(rule, at)
    return causes


def _restart_rule(rule: JsonObject, path: str) -> list[Cause]:
    action, codes = rule.get("action", ""), rule.get("exitCodes")
    causes = []
    if action not in _RESTART_ACTIONS:
        causes.append(not_supported(f"{path}.action", action, _RESTART_ACTIONS))
    if codes is None:
        return [*causes, required(f"{path}.exitCodes", "must be specified")]
    operator = codes.get("operator", "")
    if operator not in ("In", "NotIn"):
        causes.append(not_supported(f"{path}.exitCodes.operator", operator, ("In", "NotIn")))
    return causes


def _unique_name(container: JsonObject, seen: set[str], path: str) -> list[Cause]:
    name = container.get("name", "")
    if name and name in seen:
        return [duplicate(f"{path}.name", name)]
    seen.add(name)
    return []


def _container(container: JsonObject, pod: _Pod, path: str) -> list[Cause]:
    """What holds for containers of all three sorts."""
    causes: list[Cause] = []
    name = container.get("name", "")
    if not name:
        causes.append(required(f"{path}.name"))
    else:
        causes += invalid_each(f"{path}.name", name, names.dns_label(name))
    if not container.get("image"):
        causes.append(required(f"{path}.image"))
    causes += _termination_message_policy(container.get("terminationMessagePolicy", ""), path)
    causes += ports(container.get("ports"), f"{path}.ports")
    causes += env_variables(container.get("env"), f"{path}.env")
    causes += env_sources(container.get("envFrom"), f"{path}.envFrom")
    causes += volume_mounts(container, pod.volumes, f"{path}.volumeMounts")
    causes += volume_devices(container, pod.volumes, f"{path}.volumeDevices")
    causes += _pull_policy(container.get("imagePullPolicy", ""), f"{path}.imagePullPolicy")
    resources = container.get("resources")
    causes += resource_requirements(resources, f"{path}.resources", pod_claims=pod.claims)
    at = f"{path}.resizePolicy"
    causes += _resize_policies(container.get("resizePolicy") or (), pod.restart_policy, at)
    return causes + container_security_context(
        container.get("securityContext"), f"{path}.securityContext"
    )


def _resize_policies(policies: Iterable[JsonObject], pod_restarts: str, path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for at, policy in each(policies, path):
        resource, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if resource in seen:
            causes.append(duplicate(at, resource))
        seen.add(resource)
        causes += one_of(resource, ("cpu", "memory"), path) if resource else [required(path)]
        causes += one_of(restart, ("NotRequired", "RestartContainer"), path) if restart else [
            required(path)
        ]  # fmt: skip
        if pod_restarts == "Never" and restart != "NotRequired":
            detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            causes.append(invalid(path, restart, detail))
    return causes


def image_spaces(spec: JsonObject, path: str) -> list[Cause]:
    """What holds for the images of a pod but not for those of a template."""
    detail = "must not have leading or trailing whitespace"
    return [
        invalid(f"{at}.image", container["image"], detail)
        for field in ("containers", "initContainers", "ephemeralContainers")
        for at, container in each(spec.get(field), f"{path}.{field}")
        if container.get("image", "") != container.get("image", "").strip()
    ]


def _termination_message_policy(policy: str, path: str) -> list[Cause]:
    path = f"{path}.terminationMessagePolicy"
    supported = ("File", "FallbackToLogsOnError")
    if policy in supported:
        return []
    if not policy:
        return [required(path)]
    return [not_supported(path, policy, sorted(supported))]


def _pull_policy(policy: str, path: str) -> list[Cause]:
    return one_of(policy, ("Always", "IfNotPresent", "Never"), path) if policy else [required(path)]


def ports(items: list[JsonObject] | None, path: str) -> list[Cause]:
    """Container ports: names unique within the container, numbers in range."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for at, port in each(items, path):
        name = port.get("name")
        if name:
            problems = names.port_name(name)
            causes += invalid_each(f"{at}.name", name, problems)
            if not problems and name in seen:
                causes.append(duplicate(f"{at}.name", name))
            seen.add(name)
        number = port.get("containerPort", 0)
        causes += port_number(number, f"{at}.containerPort") if number else [
            required(f"{at}.containerPort")
        ]  # fmt: skip
        if port.get("hostPort"):
            causes += port_number(port["hostPort"], f"{at}.hostPort")
        protocol = port.get("protocol", "")
        if protocol:
            causes += one_of(protocol, ("SCTP", "TCP", "UDP"), f"{at}.protocol")
        else:
            causes.append(required(f"{at}.protocol"))
    return causes


def host_port_conflicts(items: list[JsonObject], path: str, *, single: bool = False) -> list[Cause]:
    """A host port may be asked for once per protocol and host IP."""
    causes: list[Cause] = []
    taken: set[str] = set()
    for index, container in enumerate(items):
        at = path if single else f"{path}[{index}]"
        for port_path, port in each(container.get("ports"), f"{at}.ports"):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if key in taken:
                causes.append(duplicate(f"{port_path}.hostPort", key))
            taken.add(key)
    return causes


def host_network_ports(spec: JsonObject, path: str, *, template: bool) -> list[Cause]:
    """With hostNetwork a host port must be the container port; templates may leave it out."""
    causes: list[Cause] = []
    for key in ("containers", "initContainers"):
        for item_path, container in each(spec.get(key), f"{path}.{key}"):
            for at, port in each(container.get("ports"), f"{item_path}.ports"):
                host_port = port.get("hostPort", 0)
                if host_port != port.get("containerPort", 0) and not (template and not host_port):
                    detail = "must match `containerPort` when `hostNetwork` is true"
                    causes.append(invalid(f"{at}.hostPort", host_port, detail))
    return causes


def active_deadline(seconds: int | None, path: str) -> list[Cause]:
    """``activeDeadlineSeconds``, if set, is at least 1."""
    if seconds is None or 1 <= seconds <= 2**31 - 1:
        return []
    return [invalid(path, seconds, range_text(1, 2**31 - 1))]
