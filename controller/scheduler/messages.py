"""The words of a failed attempt, exactly as Kubernetes puts them (spec 4).

Pure. Clients match on these texts, so nothing here may be improved.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from kubeherd.controller.scheduler.filters import Rejection

NO_NODES = "no nodes available to schedule pods"
AFFINITY_CONFLICT = "pod affinity terms conflict"
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NOT_ALLOWED_BY_POLICY = "not eligible due to preemptionPolicy=Never."
VICTIMS_STILL_LEAVING = "not eligible due to a terminating pod on the nominated node."
NOTE_LIMIT_BYTES = 1024


def histogram(counts: Mapping[str, int]) -> str:
    """``<count> <reason>`` per reason, sorted as strings."""
    return ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))


def reason_counts(
    rejections: Iterable[Rejection], others: int, of_others: Rejection
) -> Counter[str]:
    """Reasons of the examined nodes, plus ``others`` nodes that share one rejection."""
    counts: Counter[str] = Counter()
    for rejection in rejections:
        counts.update(rejection.reasons)
    if others:
        counts.update(dict.fromkeys(of_others.reasons, others))
    return counts


def unavailable(nodes: int, listed: str) -> str:
    """``0/<N> nodes are available: <list>.``"""
    return (
        f"0/{nodes} nodes are available: {listed}." if listed else f"0/{nodes} nodes are available"
    )


def with_preemption(message: str, preemption: str) -> str:
    """Append what came of preemption; an empty text appends nothing."""
    return f"{message} preemption: {preemption}" if preemption else message


def cut_note(message: str) -> str:
    """The note of an event: at most 1024 bytes, ending in `` ...`` if cut."""
    data = message.encode()
    if len(data) <= NOTE_LIMIT_BYTES:
        return message
    ending = b" ..."
    return (data[: NOTE_LIMIT_BYTES - len(ending)] + ending).decode(errors="ignore")
