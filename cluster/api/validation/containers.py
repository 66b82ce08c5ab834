"""Rules of the containers of a pod spec (spec api-machinery, section 18)."""

from collections.abc import Container as Contains

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
from kubeherd.cluster.api.validation.env import env_sources, env_variables
from kubeherd.cluster.api.validation.mounts import volume_devices, volume_mounts
from kubeherd.cluster.api.validation.probes import container_probes, lifecycle
from kubeherd.cluster.api.validation.resources import resource_requirements
from kubeherd.cluster.api.validation.security import container_security_context

_NOT_EPHEMERAL = (
    "ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy",
)  # fmt: skip


def containers(spec: JsonObject, volumes: Contains[str], path: str) -> list[Cause]:
    """``spec.containers``: at least one; names unique; host ports not taken twice."""
    items = spec.get("containers") or []
    at = f"{path}.containers"
    if not items:
        return [required(at)]
    causes: list[Cause] = []
    seen: set[str] = set()
    for item_path, container in each(items, at):
        causes += _container(container, volumes, item_path)
        causes += _unique_name(container, seen, item_path)
        causes += lifecycle(container, item_path)
        causes += container_probes(container, item_path)
        if container.get("restartPolicy") and not container.get("restartPolicyRules"):
            causes += _restart_policy(container, ("Always", "OnFailure", "Never"), item_path)
    return causes + host_port_conflicts(items, at)


def init_containers(spec: JsonObject, volumes: Contains[str], path: str) -> list[Cause]:
    """``spec.initContainers``: names unique among all; probes only for sidecars."""
    causes: list[Cause] = []
    seen = {container.get("name", "") for container in spec.get("containers") or ()}
    for item_path, container in each(spec.get("initContainers"), f"{path}.initContainers"):
        causes += _container(container, volumes, item_path)
        causes += _unique_name(container, seen, item_path)
        if container.get("restartPolicy") == "Always":
            causes += lifecycle(container, item_path)
            causes += container_probes(container, item_path)
        else:
            for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
                if container.get(field) is not None:
                    detail = "may not be set for init containers without restartPolicy=Always"
                    causes.append(forbidden(f"{item_path}.{field}", detail))
        if container.get("restartPolicy"):
            causes += _restart_policy(container, ("Always", "OnFailure", "Never"), item_path)
        causes += host_port_conflicts([container], item_path, single=True)
    return causes


def ephemeral_containers(spec: JsonObject, volumes: Contains[str], path: str) -> list[Cause]:
    """``spec.ephemeralContainers``: names unique among all; no ports, probes or resources."""
    causes: list[Cause] = []
    others = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    seen = {container.get("name", "") for container in others}
    targets = set(seen)
    for item_path, container in each(
        spec.get("ephemeralContainers"), f"{path}.ephemeralContainers"
    ):
        causes += _container(container, volumes, item_path)
        causes += _unique_name(container, seen, item_path)
        target = container.get("targetContainerName")
        if target and target not in targets:
            causes.append(not_found_target(f"{item_path}.targetContainerName", target))
        for field in _NOT_EPHEMERAL:
            if container.get(field):
                detail = "cannot be set for an Ephemeral Container"
                causes.append(forbidden(f"{item_path}.{field}", detail))
    return causes


def not_found_target(path: str, target: str) -> Cause:
    """An ephemeral container that wants to join a container which is not there."""
    return Cause("FieldValueNotFound", f'Not found: "{target}"', path)


def _restart_policy(container: JsonObject, supported: tuple[str, ...], path: str) -> list[Cause]:
    policy = container["restartPolicy"]
    if policy in supported:
        return []
    return [not_supported(f"{path}.restartPolicy", policy, supported)]


def _unique_name(container: JsonObject, seen: set[str], path: str) -> list[Cause]:
    name = container.get("name", "")
    if name and name in seen:
        return [duplicate(f"{path}.name", name)]
    seen.add(name)
    return []


def _container(container: JsonObject, volumes: Contains[str], path: str) -> list[Cause]:
    """What holds for containers of all three sorts."""
    causes: list[Cause] = []
    name = container.get("name", "")
    if not name:
        causes.append(required(f"{path}.name"))
    else:
        causes += invalid_each(f"{path}.name", name, names.dns_label(name))
    causes += _image(container.get("image", ""), path)
    causes += _termination_message_policy(container.get("terminationMessagePolicy", ""), path)
    causes += ports(container.get("ports"), f"{path}.ports")
    causes += env_variables(container.get("env"), f"{path}.env")
    causes += env_sources(container.get("envFrom"), f"{path}.envFrom")
    causes += volume_mounts(container, volumes, f"{path}.volumeMounts")
    causes += volume_devices(container, volumes, f"{path}.volumeDevices")
    causes += _pull_policy(container.get("imagePullPolicy", ""), f"{path}.imagePullPolicy")
    causes += resource_requirements(container.get("resources"), f"{path}.resources")
    return causes + container_security_context(
        container.get("securityContext"), f"{path}.securityContext"
    )


def _image(image: str, path: str) -> list[Cause]:
    if not image:
        return [required(f"{path}.image")]
    if image != image.strip():
        return [invalid(f"{path}.image", image, "must not have leading or trailing whitespace")]
    return []


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
