"""Lets cryptography be imported without what processes that sign and verify do not need.

Its package for keys in PEM loads the formats of OpenSSH, and every cipher with them: 20 ms of
processor time and 2 MB in a process, of which nothing here uses anything. The first signature loads
the ciphers, too, with an object that is asked what OpenSSL can do. Names of subjects come
with a parser of names as text, whose regular expressions take another 7 ms to compile: they are
compiled when one is used. Nothing is imported here; it counts for whoever imports these modules
after this. Invariant: who uses one of these things gets the real one.
"""

import importlib
import re
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

from kubeherd.cluster.runtime.lean.standins import Later

SSH: Final = "cryptography.hazmat.primitives.serialization.ssh"
BACKEND: Final = "cryptography.hazmat.backends.openssl.backend"
NAMES: Final = "cryptography.x509.name"


class _StandIn:
    """Makes the module that has everything, later. (importlib.abc, which has classes to inherit
    from, costs more than is spared.)"""

    def create_module(self, _spec: ModuleSpec) -> None:
        """As usual."""

    def exec_module(self, module: ModuleType) -> None:
        def attribute(name: str) -> Later:
            if name.startswith("__"):
                raise AttributeError(name)
            return Later(lambda: getattr(_real(module.__name__), name))

        module.__getattr__ = attribute  # type: ignore[method-assign]


class _CompilesLater:
    """Loads a module whose regular expressions are compiled by their first use."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def create_module(self, _spec: ModuleSpec) -> None:
        """As usual."""

    def exec_module(self, module: ModuleType) -> None:
        compiled: Callable[..., Any] = re.compile
        re.compile = lambda *args: Later(lambda: compiled(*args))  # type: ignore[assignment]
        try:
            self._real.exec_module(module)
        finally:
            re.compile = compiled


class _Finder:
    """Finds the modules that are loaded in another way than others, each once."""

    def __init__(self) -> None:
        self._names = {SSH, BACKEND, NAMES} - sys.modules.keys()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._names:
            return None
        self._names.discard(fullname)
        if not self._names:
            sys.meta_path.remove(self)
        if fullname != NAMES:
            return ModuleSpec(fullname, _StandIn())  # type: ignore[arg-type]
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _CompilesLater(spec.loader)  # type: ignore[assignment]
        return spec


def _real(name: str) -> ModuleType:
    found = sys.modules.get(name)
    if found is not None and isinstance(found.__loader__, _StandIn):
        del sys.modules[name]
    return importlib.import_module(name)


if {SSH, BACKEND, NAMES} - sys.modules.keys():
    sys.meta_path.insert(0, _Finder())
