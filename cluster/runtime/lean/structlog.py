"""Imports structlog without its tools for terminals and tests: the first import of every process.

It loads them all, and with them rich and colorama where they are installed, for colours and
tracebacks on terminals. Our processes write JSON; for them that is a fifth of the start-up time and
5 MB of memory each. The commands have loaded the part of rich that they print with, and are spared
the rest. Invariant: who wants rich or one of the tools can still import it afterwards.
"""

import sys

if "structlog" not in sys.modules:
    from kubeherd.cluster.runtime.lean.standins import load

    _loaded = {name: sys.modules.get(name) for name in ("rich", "colorama")}
    sys.modules.update(dict.fromkeys(_loaded))  # type: ignore[arg-type]  # "not to be found"
    _tools = ("dev", "stdlib", "testing", "threadlocal", "tracebacks")
    try:
        load("structlog", [f"structlog.{name}" for name in _tools])
    finally:
        for _name, _module in _loaded.items():
            del sys.modules[_name]
            if _module is not None:
                sys.modules[_name] = _module
