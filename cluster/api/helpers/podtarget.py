"""Which container of a pod a log, exec or attach is about, and what is known of it. Pure.

Source: Kubernetes v1.36, pkg/registry/core/pod/strategy.go (validateContainer).
"""

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject

_GROUPS = ("initContainers", "containers", "ephemeralContainers")
_STATUS_GROUPS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_OURS = "fake://"


def container_spec(pod: JsonObject, asked: str) -> JsonObject:
    """The container meant: the one asked for, else the only regular one.

    BadRequest where it is unknown or not clear.
    """
    name, spec = pod["metadata"]["name"], pod.get("spec") or {}
    found = {str(one["name"]): dict(one) for group in _GROUPS for one in spec.get(group) or ()}
    if asked:
        if asked not in found:
            raise errors.BadRequest(f"container {asked} is not valid for pod {name}")
        return found[asked]
    regular: list[JsonObject] = spec.get("containers") or []
    if len(regular) != 1:
        raise errors.BadRequest(
            f"a container name must be specified for pod {name}, choose one of: [{' '.join(found)}]"
        )
    return dict(regular[0])


def container_status(pod: JsonObject, container: str) -> JsonObject:
    """The status entry of a container, {} where there is none yet."""
    status = pod.get("status") or {}
    for group in _STATUS_GROUPS:
        for entry in status.get(group) or ():
            if entry.get("name") == container:
                return dict(entry)
    return {}


def check_ours(pod: JsonObject, entry: JsonObject) -> None:
    """BadRequest for a container of a kubelet that is not one of kubeherd's, by its status."""
    container_id = str(entry.get("containerID") or "")
    if container_id and not container_id.startswith(_OURS):
        node = pod["spec"]["nodeName"]
        raise errors.BadRequest(f'the kubelet of node "{node}" is not one of kubeherd\'s')


def check_started(entry: JsonObject, name: str, container: str, *, previous: bool) -> None:
    """BadRequest for a container that has written nothing yet, by its status."""
    state = entry.get("state") or {}
    if previous:
        if "terminated" not in (entry.get("lastState") or {}):
            raise errors.BadRequest(
                f'previous terminated container "{container}" in pod "{name}" not found'
            )
        return
    if not {"running", "terminated"} & (state.keys() | (entry.get("lastState") or {}).keys()):
        reason = (state.get("waiting") or {}).get("reason", "ContainerCreating")
        raise errors.BadRequest(
            f'container "{container}" in pod "{name}" is waiting to start: {reason}'
        )


def still_runs(pod: JsonObject | None, entry: JsonObject) -> bool:
    """Whether the container of a status entry still runs in the pod as it is now."""
    now = {} if pod is None else container_status(pod, str(entry.get("name")))
    same = now.get("containerID") == entry.get("containerID")
    return same and "running" in (now.get("state") or {})
