"""Imports structlog without rich: the first import of every process of a cluster.

structlog loads rich, where it is installed, for coloured tracebacks on terminals. Our processes
write JSON; for them that is a fifth of the start-up time and 5 MB of memory each. The commands have
loaded the part of rich that they print with, and are spared the rest. Invariant: who wants rich
itself can still import it afterwards.
"""

import sys

if "structlog" not in sys.modules:
    _loaded = sys.modules.get("rich")
    sys.modules["rich"] = None  # type: ignore[assignment]  # "not to be found", says Python
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
        if _loaded is not None:
            sys.modules["rich"] = _loaded
