"""One pod per node: what to create and to delete on each node (spec sections 5.2 to 5.4).

Invariants: a node gets at most one create; without surge a node with any pod, even a terminating
one, gets none; a failed pod is deleted only outside its back-off.
"""

from collections.abc import Mapping
from itertools import islice

import msgspec

from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.daemonset.backoff import next_entry, remaining_delay_s
from kubeherd.controller.daemonset.model import BURST_REPLICAS, BackoffEntry, Now, Reason
from kubeherd.controller.daemonset.placement import Placement
from kubeherd.controller.daemonset.site import Need, has_ended, upkeep
from kubeherd.controller.workload.events import Event, EventType


class Managed(msgspec.Struct):
    """Creates by node name and deletes, at most a burst of each, and what comes with them."""

    creates: list[str] = msgspec.field(default_factory=list)
    deletes: list[Pod] = msgspec.field(default_factory=list)
    events: list[Event] = msgspec.field(default_factory=list)
    backoff: dict[str, BackoffEntry] = msgspec.field(default_factory=dict)
    requeue_after_s: float | None = None


def manage(placement: Placement, backoff: Mapping[str, BackoffEntry], now: Now) -> Managed:
    """What to create and delete so that each node has what it should have.

    Ended pods are looked at on all nodes, since each raises its back-off; of the rest only as much
    as a sync may do.
    """
    out = Managed()
    for name in placement.needing(Need.ENDED):
        site = placement.site(name)
        for pod in filter(has_ended, site.pods):
            _ended(out, name, pod, backoff, now)
        create, deletes = upkeep(site, placement.terms, now.age_s)
        out.deletes += deletes
        if create:
            out.creates.append(name)
    for name in placement.needing(Need.DELETE):
        if len(out.deletes) >= BURST_REPLICAS:
            break
        out.deletes += upkeep(placement.site(name), placement.terms, now.age_s)[1]
    out.creates += islice(placement.needing(Need.CREATE), BURST_REPLICAS)
    del out.creates[BURST_REPLICAS:], out.deletes[BURST_REPLICAS:]
    return out


def _ended(
    out: Managed, name: str, pod: Pod, backoff: Mapping[str, BackoffEntry], now: Now
) -> None:
    """Dispose of an ended pod, now or later."""
    where = f"{pod.metadata.namespace}/{pod.metadata.name} on node {name}"
    if pod.status.phase == "Failed":
        _failed(out, name, pod, backoff, now, where)
        return
    message = f"Found succeeded daemon pod {where}, will try to delete it"
    out.events.append(Event(EventType.NORMAL, Reason.SUCCEEDED_DAEMON_POD, message))
    out.deletes.append(pod)


def _failed(
    out: Managed,
    name: str,
    pod: Pod,
    backoff: Mapping[str, BackoffEntry],
    now: Now,
    where: str,
) -> None:
    entry = out.backoff.get(name) or backoff.get(name)
    delay_s = remaining_delay_s(entry, now.monotonic_s)
    if delay_s is not None:
        known_s = out.requeue_after_s
        out.requeue_after_s = delay_s if known_s is None else min(known_s, delay_s)
        return
    out.backoff[name] = next_entry(entry, now.monotonic_s)
    message = f"Found failed daemon pod {where}, will try to kill it"
    out.events.append(Event(EventType.WARNING, Reason.FAILED_DAEMON_POD, message))
    out.deletes.append(pod)
