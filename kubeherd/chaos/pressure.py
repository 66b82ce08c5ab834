"""How busy the machine was while a run was under way.

Real processes that wait for a processor are late, which no promise of time survives: a run that
fails has to say so, or its reader looks for a bug that is not there.
"""

import time
from pathlib import Path
from typing import Final

_STALLS: Final = Path("/proc/pressure/cpu")
"""Linux's pressure stall information (Documentation/accounting/psi.rst): in the line `some`,
`total` are the microseconds in which something that could run did not."""


class Pressure:
    """Measures from its creation on."""

    def __init__(self, stalls: Path = _STALLS) -> None:
        self._stalls = stalls
        self._begun_s = time.monotonic()
        self._before_s = self._stalled_s()

    def share(self) -> float:
        """In what part of the time, 0 to 1, something waited for a processor; 0 where the kernel
        does not count it."""
        passed_s = time.monotonic() - self._begun_s
        return min(1.0, (self._stalled_s() - self._before_s) / passed_s) if passed_s else 0.0

    def _stalled_s(self) -> float:
        try:
            some = self._stalls.read_text(encoding="ascii").partition("\n")[0]
        except OSError:
            return 0.0
        return int(some.rpartition("total=")[2]) / 1e6
