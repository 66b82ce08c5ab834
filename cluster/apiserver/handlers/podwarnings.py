"""What Kubernetes warns of at the creation of a pod, or of what makes pods (pure).

Source: k8s.io/kubernetes, pkg/api/pod/warnings.go and pkg/apis/core/validation/names.go; spec
api-machinery, section 18. Of these the ones that are about what pods do, not about deprecated
volumes and annotations.
"""

from collections.abc import Iterator

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource

_LONGEST_LABEL = 63
_MADE_BY = {
    **dict.fromkeys(
        [
            "daemonsets.apps", "deployments.apps", "replicasets.apps", "statefulsets.apps",
            "replicationcontrollers", "jobs.batch",
        ],
        ("spec", "template"),
    ),
    "podtemplates": ("template",),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}  # fmt: skip
_BYTES = ("memory", "ephemeral-storage")


def of(resource: Resource, tree: JsonObject) -> list[str]:
    """The warnings of a new object of any kind."""
    if resource is kinds.PODS:
        return [*_hostname(tree["metadata"]["name"]), *_spec(tree.get("spec") or {}, "spec")]
    path = _MADE_BY.get(resource.group_resource)
    for name in path or ():
        tree = tree.get(name) or {}
    return list(_spec(tree.get("spec") or {}, ".".join((*path, "spec")))) if path else []


def makes_pods(resource: Resource) -> bool:
    """Whether `of` can have anything to say."""
    return resource is kinds.PODS or resource.group_resource in _MADE_BY


def _hostname(name: str) -> Iterator[str]:
    if "." in name or len(name) > _LONGEST_LABEL:
        why = "must not contain dots" if "." in name else "must be no more than 63 characters"
        yield (
            "metadata.name: this is used in the Pod's hostname, which can result in surprising "
            f"behavior; a DNS label is recommended: [{why}]"
        )


def _spec(spec: JsonObject, path: str) -> Iterator[str]:
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        if constraint.get("labelSelector") is None:
            where = f"{path}.topologySpreadConstraints[{index}].labelSelector"
            yield f"{where}: a null labelSelector results in matching no pod"
    containers = [
        (f"{path}.{group}[{index}]", container)
        for group in ("initContainers", "containers", "ephemeralContainers")
        for index, container in enumerate(spec.get(group) or ())
    ]
    for where, container in containers:
        yield from _fractions(container.get("resources") or {}, f"{where}.resources")
        yield from _hidden(container.get("env") or [], f"{where}.env")
    ports = [
        (f"{where}.ports[{index}]", port)
        for where, container in containers
        for index, port in enumerate(container.get("ports") or ())
    ]
    yield from _port_clashes(ports)
    yield from _port_names(ports)


def _fractions(resources: JsonObject, path: str) -> Iterator[str]:
    for name in _BYTES:
        for part in ("limits", "requests"):
            amount = str((resources.get(part) or {}).get(name, ""))
            if amount.endswith("m"):
                yield (
                    f"{path}.{part}[{name}]: fractional byte value {quoted(amount)} is invalid, "
                    "must be an integer"
                )


def _hidden(variables: list[JsonObject], path: str) -> Iterator[str]:
    """A variable that is set again, unless its new value adds to the old one."""
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        name, value = variable.get("name", ""), variable.get("value", "")
        old = f"$({name})"
        if name in seen and ("valueFrom" in variable or value == old or old not in value):
            yield (
                f"{path}[{index}]: hides previous definition of {quoted(name)}, which may be "
                "dropped when using apply"
            )
        seen.add(name)


def _port_clashes(ports: list[tuple[str, JsonObject]]) -> Iterator[str]:
    """Ports of one number and protocol, in whatever containers, against those before them."""
    earlier: dict[tuple[object, object], list[tuple[str, object, object]]] = {}
    for where, port in ports:
        host_port, host_ip = port.get("hostPort") or 0, port.get("hostIP") or ""
        if host_ip and not host_port:
            yield f"{where}: hostIP set without hostPort: {_go_port(port)}"
        others = earlier.setdefault((port.get("containerPort"), port.get("protocol")), [])
        for other, other_port, other_ip in others:
            if (host_port, host_ip) == (other_port, other_ip):
                yield f"{where}: duplicate port definition with {other}"
            elif not host_port or not other_port:
                yield f"{where}: overlapping port definition with {other}"
            elif host_port == other_port and bool(host_ip) != bool(other_ip):
                yield f"{where}: dangerously ambiguous port definition with {other}"
        others.append((where, host_port, host_ip))


def _port_names(ports: list[tuple[str, JsonObject]]) -> Iterator[str]:
    named: dict[str, str] = {}
    for where, port in ports:
        name = port.get("name", "")
        if name and name in named:
            first = named[name]
            yield (
                f"{where}: duplicate port name {quoted(name)} with {first}, services and probes "
                f"that select ports by name will use {first}"
            )
        elif name:
            named[name] = where


def _go_port(port: JsonObject) -> str:
    """Go's ``%+v`` of a ContainerPort."""
    fields = (("Name", ""), ("HostPort", 0), ("ContainerPort", 0), ("Protocol", ""), ("HostIP", ""))
    shown = [f"{name}:{port.get(name[0].lower() + name[1:], zero)}" for name, zero in fields]
    return "{" + " ".join(shown) + "}"
