"""Back-off of failed daemon pods: 1 s doubling to 15 min per node (spec section 1).

Invariant: an entry that was not raised for twice the cap counts as absent. The controller keeps the
entries under (DaemonSet UID, observed generation, node), so a new generation starts afresh.
"""

from collections.abc import Mapping

from kubeherd.controller.daemonset.model import BackoffEntry

INITIAL_S = 1.0
FACTOR = 2.0
CAP_S = 15 * 60.0
EXPIRY_S = 2 * CAP_S
GC_INTERVAL_S = 60.0

BackoffKey = tuple[str, int, str]


def is_expired(entry: BackoffEntry, now_s: float) -> bool:
    """Whether the entry is too old to count."""
    return now_s - entry.bumped_at_s > EXPIRY_S


def remaining_delay_s(entry: BackoffEntry | None, now_s: float) -> float | None:
    """The full current delay if the entry is inside its window, else None."""
    if entry is None or is_expired(entry, now_s):
        return None
    return entry.delay_s if now_s - entry.bumped_at_s < entry.delay_s else None


def next_entry(entry: BackoffEntry | None, now_s: float) -> BackoffEntry:
    """The entry after one more failure."""
    if entry is None or is_expired(entry, now_s):
        return BackoffEntry(INITIAL_S, now_s)
    return BackoffEntry(min(CAP_S, entry.delay_s * FACTOR), now_s)


class FailedPodBackoff:
    """All entries of a controller; swept of expired ones once a minute."""

    def __init__(self) -> None:
        self._entries: dict[BackoffKey, BackoffEntry] = {}
        self._swept_at_s = 0.0

    def of(self, uid: str, generation: int) -> dict[str, BackoffEntry]:
        """The entries of one DaemonSet at its observed generation, by node name."""
        return {
            node: entry
            for (entry_uid, entry_generation, node), entry in self._entries.items()
            if entry_uid == uid and entry_generation == generation
        }

    def record(
        self, uid: str, generation: int, entries: Mapping[str, BackoffEntry], now_s: float
    ) -> None:
        """Keep what a plan raised."""
        for node, entry in entries.items():
            self._entries[uid, generation, node] = entry
        if now_s - self._swept_at_s >= GC_INTERVAL_S:
            self._swept_at_s = now_s
            self._entries = {
                key: entry for key, entry in self._entries.items() if not is_expired(entry, now_s)
            }
