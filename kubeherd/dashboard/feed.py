"""The herd as it is now, for all who look at it, and what became of it since they looked last.

Nothing is queued for anybody: who is slow is told all that changed in one piece, and everything
anew where that cannot be told any more. So a browser that does not read costs nothing.
"""

from collections.abc import Callable

import msgspec

from kubeherd.dashboard import views
from kubeherd.dashboard.views import Change, Known, RolloutView, State
from kubeherd.herd.herd import Herd


class Seen(msgspec.Struct, frozen=True):
    """What a browser has been sent."""

    known: Known
    generation: int
    note: str
    speed: float


class Feed:
    """A herd that is replaced when the cluster is followed anew; `now` is the clock of its
    records, in seconds since the epoch."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.herd = Herd()
        self.note = ""
        """Why the cluster does not answer; "" while it does."""
        self._generation = 0
        self._views: dict[str, tuple[RolloutView, int]] = {}
        self._viewed = -1
        self._encoder = msgspec.json.Encoder()

    def become(self, herd: Herd) -> None:
        """Show another herd from now on."""
        self.herd = herd
        self._generation += 1
        self._views, self._viewed = {}, -1

    def state(self) -> State:
        """Everything, as of now."""
        self._refresh()
        shown = (view for view, _at in self._views.values())
        return views.state(self.herd, at=self.now(), note=self.note, views=shown)

    def seen(self) -> Seen:
        """What one has seen who was sent the state."""
        return Seen(views.known(self.herd), self._generation, self.note, self.herd.began.speed)

    def differs(self, seen: Seen) -> bool:
        """Whether anything but heartbeats became different."""
        return (
            self.herd.moved > seen.known.sequence
            or self._is_another(seen)
            or self.note != seen.note
        )

    def beats(self, seen: Seen) -> bool:
        """Whether anything became different, and be it a heartbeat."""
        return self.herd.sequence > seen.known.sequence or self.differs(seen)

    def change(self, seen: Seen) -> Change | None:
        """What became different; None: send the state."""
        if self._is_another(seen):
            return None
        self._refresh()
        return views.change(self.herd, seen.known, self._views, at=self.now(), note=self.note)

    def _is_another(self, seen: Seen) -> bool:
        """Whether what differs is not a `Change`: the herd, or how fast its time goes."""
        return (self._generation, self.herd.began.speed) != (seen.generation, seen.speed)

    def encode(self, value: Change | State) -> bytes:
        """A value as JSON."""
        return self._encoder.encode(value)

    def _refresh(self) -> None:
        """Look at what holds workloads up, if anything has changed."""
        herd = self.herd
        if herd.moved == self._viewed:
            return
        self._viewed = herd.moved
        for key in self._views.keys() - herd.rollouts.keys():
            del self._views[key]
        for key, one in herd.rollouts.items():
            view = views.rollout(one, herd)
            if key not in self._views or self._views[key][0] != view:
                self._views[key] = view, herd.sequence
