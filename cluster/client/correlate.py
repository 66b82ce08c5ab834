"""Which events reach the API server: counting, combining, limiting. Pure; the rules of client-go.

Source: spec api-machinery, section 19. The same event again counts up the first one; the tenth
similar one (same but for the message) within 600 s and those after it are combined into one; each
source and object has a burst of 25 writes and then one per 300 s. Invariant: memory is bounded,
the least recently used knowledge is forgotten first.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

import msgspec

COMBINED_PREFIX = "(combined from similar events): "
MAX_SIMILAR = 10
SIMILAR_INTERVAL_S = 600.0
BURST = 25
REFILL_PER_S = 1.0 / 300.0
MAX_KNOWN = 4096

_OUTWORN = 2
"""So many that are past their time make room for a new one, if there are: each leaves soon."""


class _Dated(Protocol):
    last_s: float
    """When it was put last, of the clock's monotonic seconds."""


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=_Dated)


class Lru(Generic[K, V]):
    """A bounded mapping that forgets what was used longest ago, and what lay idle for `idle_s`
    nominal seconds: there are thousands of them in an agent of many nodes."""

    __slots__ = ("_entries", "_idle_s", "_size")

    def __init__(self, idle_s: float, size: int = MAX_KNOWN) -> None:
        self._idle_s = idle_s
        self._size = size
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, now the most recently used; None if unknown."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Remember a value, which has its new date."""
        entries = self._entries
        entries[key] = value
        entries.move_to_end(key)
        for _ in range(_OUTWORN):
            oldest = next(iter(entries.values()))
            if len(entries) <= self._size and value.last_s - oldest.last_s <= self._idle_s:
                break
            entries.popitem(last=False)

    def items(self) -> list[tuple[K, V]]:
        """A copy of what is remembered, the least recently used first."""
        return list(self._entries.items())

    def drop(self, key: K) -> None:
        """Forget a key, if it is known."""
        self._entries.pop(key, None)


class _Similar(msgspec.Struct):
    messages: list[str]
    """Different ones, few."""
    last_s: float


class _Bucket(msgspec.Struct):
    last_s: float
    tokens: float = float(BURST)


class Combiner(msgspec.Struct):
    """Turns too many similar messages into one; `combine` gives the message to count under."""

    _seen: Lru[Hashable, _Similar] = msgspec.field(
        default_factory=lambda: Lru(idle_s=SIMILAR_INTERVAL_S)
    )

    def combine(self, similar: Hashable, message: str, now_s: float) -> tuple[str, bool]:
        """(message to show, whether it stands for several); `similar`: all but the message."""
        record = self._seen.get(similar)
        if record is None or now_s - record.last_s > SIMILAR_INTERVAL_S:
            record = _Similar([], now_s)
        if message not in record.messages:
            record.messages.append(message)
        record.last_s = now_s
        self._seen.put(similar, record)
        if len(record.messages) < MAX_SIMILAR:
            return message, False
        record.messages.pop()
        return COMBINED_PREFIX + message, True


class SpamFilter(msgspec.Struct):
    """A token bucket per source and object."""

    _buckets: Lru[Hashable, _Bucket] = msgspec.field(
        default_factory=lambda: Lru(idle_s=BURST / REFILL_PER_S)
    )

    def admits(self, source_and_object: Hashable, now_s: float) -> bool:
        """Whether one more write is within the limit; if so it counts."""
        bucket = self._buckets.get(source_and_object) or _Bucket(now_s)
        gained = (now_s - bucket.last_s) * REFILL_PER_S
        bucket.tokens = min(float(BURST), bucket.tokens + gained)
        bucket.last_s = now_s
        self._buckets.put(source_and_object, bucket)
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True
