"""The kinds that this room has rules for."""

from collections.abc import Mapping

from kubeherd.cluster.api.validation.pods import pod
from kubeherd.cluster.api.validation.rules import Rules

RULES: Mapping[str, Rules] = {
    "pods": Rules(
        pod.create_pod,
        pod.update_pod,
        {
            "status": pod.update_pod_status,
            "ephemeralcontainers": pod.update_ephemeral_containers,
            "resize": pod.update_resize,
        },
    ),
}
