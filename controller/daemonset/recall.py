"""What an earlier life of the controller has reported about a DaemonSet's rollout.

A hold is told once (docs/rollout-controls.md), but the controller forgets when it restarts. The
events in the cluster remember. Invariant: only a convenience; without an answer the hold is told
again.
"""

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.kinds import EVENTS
from kubeherd.cluster.api.objects import DaemonSet
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.daemonset.model import Reason
from kubeherd.controller.daemonset.rollout import PREFIX

_REASONS = (Reason.ROLLOUT_HELD.value, Reason.INVALID_ROLLOUT_CONTROL.value)


async def reported_hold(client: ApiClient, daemonset: DaemonSet) -> str:
    """The message of the newest event about a hold of this rollout, or ""."""
    metadata = daemonset.metadata
    if not any(key.startswith(PREFIX) for key in metadata.annotations):
        return ""
    query = {"fieldSelector": f"involvedObject.uid={metadata.uid}"}
    try:
        listed = await client.request("GET", EVENTS.path(metadata.namespace), query=query)
    except (ApiError, TransportError):
        return ""
    told = [event for event in listed.get("items") or () if event.get("reason") in _REASONS]
    told.sort(key=lambda event: str(event.get("lastTimestamp") or ""))
    return str(told[-1].get("message") or "") if told else ""
