"""Back-off between attempts: exponential, capped, jittered."""

from kubeherd.cluster.runtime.rng import Rng


class Backoff:
    """Waits of `base_s`, twice that, ... up to `cap_s`, each stretched at random by up to `jitter`.

    Nominal seconds. `jitter` 0.5 means: up to half as long again.
    """

    def __init__(
        self,
        rng: Rng,
        *,
        base_s: float,
        cap_s: float,
        factor: float = 2.0,
        jitter: float = 0.5,
    ) -> None:
        self._rng = rng
        self._base_s = base_s
        self._cap_s = cap_s
        self._factor = factor
        self._jitter = jitter
        self._next_s = base_s

    def next_s(self) -> float:
        """How long to wait before the next attempt."""
        wait_s = self._next_s
        self._next_s = min(self._cap_s, self._next_s * self._factor)
        return self._rng.jittered(wait_s, self._jitter)

    def reset(self) -> None:
        """An attempt succeeded: begin at `base_s` again."""
        self._next_s = self._base_s
