"""What Kubernetes warns of in what it takes (pkg/api/pod, pkg/api/service: warnings, v1.36). Pure.

Not all of it: labels and annotations that have been deprecated for years are left out.
"""

from collections.abc import Callable, Iterator

from kubeherd.cluster.api import names, quantity
from kubeherd.cluster.api.jsontypes import JsonObject

_DEPRECATED_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_SPELT = {"storageos": "storageOS"}
_NULL_SELECTOR = "a null labelSelector results in matching no pod"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_PRINTED = (
    ("Name", "name", ""), ("HostPort", "hostPort", 0), ("ContainerPort", "containerPort", 0),
    ("Protocol", "protocol", ""), ("HostIP", "hostIP", ""),
)  # fmt: skip
TEMPLATES = {
    "podtemplates": ("template",),
    "replicationcontrollers": ("spec", "template"),
    "deployments.apps": ("spec", "template"),
    "replicasets.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}
"""Where the kinds that make pods have the template."""


def of_created(group_resource: str) -> Callable[[JsonObject], list[str]] | None:
    """What looks at a new object of a kind, if anything does."""
    if group_resource == "pods":
        return pod
    if group_resource == "services":
        return service
    path = TEMPLATES.get(group_resource)
    if path is None:
        return None

    def template(tree: JsonObject) -> list[str]:
        for name in path:
            tree = tree.get(name) or {}
        return pod_spec(tree.get("spec") or {}, ".".join((*path, "spec")))

    return template


def pod(tree: JsonObject) -> list[str]:
    """Of a new pod: a name that is no host name, and its spec."""
    problems = names.dns_label(tree["metadata"]["name"])
    warned = []
    if problems:
        warned.append(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising "
            f"behavior; a DNS label is recommended: [{' '.join(problems)}]"
        )
    return warned + pod_spec(tree.get("spec") or {}, "spec")


def pod_spec(spec: JsonObject, path: str) -> list[str]:
    """Of the spec of a pod or of a template."""
    warned = [
        f"{path}.topologySpreadConstraints[{index}].labelSelector: {_NULL_SELECTOR}"
        for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ())
        if constraint.get("labelSelector") is None
    ]
    for index, volume in enumerate(spec.get("volumes") or ()):
        warned += [
            f"{path}.volumes[{index}].{_SPELT.get(key, key)}: {text}"
            for key, text in _DEPRECATED_VOLUMES.items()
            if key in volume
        ]
    warned += _repeated(spec, path, "hostAliases", "ip")
    warned += _repeated(spec, path, "imagePullSecrets", "name")
    warned += [
        f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'
        for index, secret in enumerate(spec.get("imagePullSecrets") or ())
        if not secret.get("name")
    ]
    warned += _fractions(spec.get("overhead"), f"{path}.overhead")
    for at, container in _containers(spec, path):
        for kind in ("limits", "requests"):
            amounts = (container.get("resources") or {}).get(kind)
            warned += _fractions(amounts, f"{at}.resources.{kind}")
        warned += _hidden_variables(container.get("env") or [], f"{at}.env")
    return warned + _ports(spec, path) + _affinity(spec.get("affinity") or {}, f"{path}.affinity")


def _containers(spec: JsonObject, path: str) -> Iterator[tuple[str, JsonObject]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield f"{path}.{field}[{index}]", container


def _repeated(spec: JsonObject, path: str, field: str, key: str) -> list[str]:
    seen: set[str] = set()
    warned = []
    for index, item in enumerate(spec.get(field) or ()):
        value = item.get(key, "")
        if value in seen:
            warned.append(f'{path}.{field}[{index}].{key}: duplicate {key} "{value}"')
        seen.add(value)
    return warned


def _fractions(amounts: JsonObject | None, path: str) -> list[str]:
    return [
        f'{path}[{name}]: fractional byte value "{text}" is invalid, must be an integer'
        for name, text in (amounts or {}).items()
        if name in ("memory", "ephemeral-storage") and quantity.parse(text).milli_value() % 1000
    ]


def _hidden_variables(variables: list[JsonObject], path: str) -> list[str]:
    """A variable may be built from its own former value; else it hides it."""
    seen: set[str] = set()
    warned = []
    for index, variable in enumerate(variables):
        name, value = variable.get("name", ""), variable.get("value", "")
        own = f"$({name})"
        if name in seen and (variable.get("valueFrom") or value == own or own not in value):
            warned.append(
                f'{path}[{index}]: hides previous definition of "{name}", which may be dropped '
                "when using apply"
            )
        seen.add(name)
    return warned


def _ports(spec: JsonObject, path: str) -> list[str]:
    warned: list[str] = []
    known: dict[tuple[object, object], list[tuple[str, JsonObject]]] = {}
    ports = [
        (f"{at}.ports[{index}]", port)
        for at, container in _containers(spec, path)
        for index, port in enumerate(container.get("ports") or ())
    ]
    for at, port in ports:
        if port.get("hostIP") and not port.get("hostPort"):
            shown = " ".join(f"{go}:{port.get(name, zero)}" for go, name, zero in _PRINTED)
            warned.append(f"{at}: hostIP set without hostPort: {{{shown}}}")
        same = known.setdefault((port.get("containerPort"), port.get("protocol")), [])
        for other_at, other in same:
            if how := _overlap(port, other):
                warned.append(f"{at}: {how} port definition with {other_at}")
        same.append((at, port))
    named: dict[str, str] = {}
    for at, port in ports:
        name = port.get("name", "")
        first = named.setdefault(name, at)
        if name and first != at:
            warned.append(
                f'{at}: duplicate port name "{name}" with {first}, services and probes that '
                f"select ports by name will use {first}"
            )
    return warned


def _overlap(port: JsonObject, other: JsonObject) -> str:
    number, other_number = port.get("hostPort", 0), other.get("hostPort", 0)
    ip, other_ip = port.get("hostIP", ""), other.get("hostIP", "")
    if (ip, number) == (other_ip, other_number):
        return "duplicate"
    if not number or not other_number:
        return "overlapping"
    ambiguous = number == other_number and (not ip) != (not other_ip)
    return "dangerously ambiguous" if ambiguous else ""


def _affinity(affinity: JsonObject, path: str) -> list[str]:
    warned = []
    for field in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(field) or {}
        for index, term in enumerate(terms.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                at = f"{path}.{field}.{_REQUIRED}[{index}].labelSelector"
                warned.append(f"{at}: {_NULL_SELECTOR}")
        for index, weighted in enumerate(terms.get(_PREFERRED) or ()):
            if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
                at = f"{path}.{field}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector"
                warned.append(f"{at}: {_NULL_SELECTOR}")
    return warned


def service(tree: JsonObject) -> list[str]:
    """Of a Service, new or changed."""
    spec = tree.get("spec") or {}
    headless = spec.get("type") == "ClusterIP" and spec.get("clusterIP") == "None"
    external = spec.get("type") == "ExternalName"
    warned = []
    if headless:
        ignored = (
            ("loadBalancerIP", bool(spec.get("loadBalancerIP"))),
            ("externalIPs", bool(spec.get("externalIPs"))),
            ("SessionAffinity", spec.get("sessionAffinity", "None") != "None"),
        )
        warned += [
            f"spec.{name} is ignored for headless services" for name, is_set in ignored if is_set
        ]
    elif spec.get("externalIPs") and not external:
        warned.append(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
        )
    if external and spec.get("externalIPs"):
        warned.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if not external and spec.get("externalName"):
        warned.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        warned.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return warned
