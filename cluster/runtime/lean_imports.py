"""Imports structlog without rich and colorama: the first import of every process of a cluster.

structlog loads them, where they are installed, for colours and tracebacks on terminals. Our
processes write JSON; for them rich is a fifth of the start-up time and 5 MB of memory each. The
commands have loaded the part of rich that they print with, and are spared the rest. Invariant: who
wants rich itself can still import it afterwards.
"""

import sys

if "structlog" not in sys.modules:
    _loaded = {name: sys.modules.get(name) for name in ("rich", "colorama")}
    sys.modules.update(dict.fromkeys(_loaded))  # type: ignore[arg-type]  # "not to be found"
    try:
        import structlog  # noqa: F401
    finally:
        for _name, _module in _loaded.items():
            del sys.modules[_name]
            if _module is not None:
                sys.modules[_name] = _module
