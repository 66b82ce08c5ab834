"""What a container finds around it: environment variables, the host's name, its volumes. Pure.

Source: Kubernetes v1.36, pkg/kubelet/kubelet_pods.go (environment, host name) and
pkg/fieldpath. Invariant: what is not in the pod (ConfigMaps, Secrets, an image's own variables) is
not known, which is not the same as empty.
"""

import re
from typing import Final

import msgspec

from kubeherd.cluster.api.helpers import commands
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Container, EnvVar, Pod, Volume
from kubeherd.cluster.api.shell.surroundings import Surroundings, Variables, absolute

CLUSTER_DOMAIN: Final = "cluster.local"
MAX_HOSTNAME: Final = 63
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_REFERENCE: Final = re.compile(r"\$\$|\$\(([A-Za-z_.][\w.-]*)\)")
_SUBSCRIPT: Final = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def surroundings(pod: Pod, container: Container) -> Surroundings:
    """What the process of a container sees when it starts first: its volumes are still empty."""
    host = hostname(pod)
    return Surroundings(
        whole=_fresh(pod, container),
        variables=variables(pod, container),
        hostname=host,
        fqdn=_fqdn(pod, host) or host,
        chance=0,
    )


def of_trees(pod: JsonObject, container: JsonObject) -> Surroundings:
    """The same for JSON trees."""
    return surroundings(msgspec.convert(pod, Pod), msgspec.convert(container, Container))


def of_command(pod: JsonObject, container: JsonObject) -> Surroundings:
    """What a command that is run in a container beside its process sees, with the files that the
    process wrote; which others are in the volumes is not known."""
    around = of_trees(pod, container)
    command, args = container.get("command") or (), container.get("args") or ()
    return around._replace(files=commands.files_left(command, args, around), whole=(), chance=None)


def is_remembered(volume: Volume) -> bool:
    """Whether it is known what is in a volume: what containers leave there."""
    return volume.empty_dir is not None or volume.host_path is not None


def _fresh(pod: Pod, container: Container) -> tuple[str, ...]:
    if not container.volume_mounts:
        return ()
    names = {volume.name for volume in pod.spec.volumes if is_remembered(volume)}
    return tuple(absolute(m.mount_path) for m in container.volume_mounts if m.name in names)


def hostname(pod: Pod) -> str:
    """What `hostname` says in a pod: its name or `spec.hostname`, of which 63 characters; the
    whole name with `setHostnameAsFQDN`; the node's name in its network; `hostnameOverride`."""
    spec = pod.spec
    if spec.hostname_override:
        return spec.hostname_override
    if spec.host_network:
        return spec.node_name
    short = _short(pod)
    return _fqdn(pod, short) or short if spec.set_hostname_as_fqdn else short


def variables(pod: Pod, container: Container) -> Variables:
    """A container's environment variables, later ones of a name in the place of earlier ones."""
    known: dict[str, str | None] = {"PATH": PATH, "HOSTNAME": hostname(pod)}
    for variable in container.env:
        known[variable.name] = _value(variable, pod, known)
    known.setdefault("HOME", "/root")
    return tuple(known.items())


def _short(pod: Pod) -> str:
    return (pod.spec.hostname or pod.metadata.name)[:MAX_HOSTNAME].rstrip("-.")


def _fqdn(pod: Pod, host: str) -> str:
    spec, namespace = pod.spec, pod.metadata.namespace
    if not spec.subdomain or spec.host_network or spec.hostname_override or "." in host:
        return ""
    return f"{_short(pod)}.{spec.subdomain}.{namespace}.svc.{CLUSTER_DOMAIN}"


def _value(variable: EnvVar, pod: Pod, known: dict[str, str | None]) -> str | None:
    source = variable.value_from
    if source is None:
        return _expanded(variable.value, known)
    return None if source.field_ref is None else _field(source.field_ref.field_path, pod)


def _expanded(text: str, known: dict[str, str | None]) -> str | None:
    """The text with the values of the variables before it; None if one of them is not known."""
    if any(found[1] in known and known[found[1]] is None for found in _REFERENCE.finditer(text)):
        return None

    def value(found: re.Match[str]) -> str:
        return (
            "$" if found[1] is None else known.get(found[1]) or found[0] * (found[1] not in known)
        )

    return _REFERENCE.sub(value, text)


def _field(path: str, pod: Pod) -> str | None:
    """The value of a field of the pod; None: not one that is known here, or not yet there."""
    metadata = pod.metadata
    if found := _SUBSCRIPT.fullmatch(path):
        values = metadata.labels if found[1] == "labels" else metadata.annotations
        return values.get(found[2], "")
    fields = {
        "metadata.name": metadata.name,
        "metadata.namespace": metadata.namespace,
        "metadata.uid": metadata.uid,
        "spec.nodeName": pod.spec.node_name,
        "status.hostIP": pod.status.host_ip,
        "status.podIP": pod.status.pod_ip,
    }
    return fields.get(path) or None
