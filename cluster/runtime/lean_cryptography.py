"""Lets cryptography be imported without the formats of OpenSSH: for processes that sign and verify.

Its package for keys in PEM loads them, and every cipher with them: 20 ms of processor time and 2 MB
in a process, of which nothing here uses anything. Nothing is imported here; whoever imports the
package after this gets a stand-in for that part. Invariant: who calls one of its functions gets the
real one.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

SSH: Final = "cryptography.hazmat.primitives.serialization.ssh"


class _Later:
    """A function or a class of the module that is not loaded yet."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(_real(), self._name)(*args, **kwargs)


class _StandIn:
    """Makes the module that has everything, later. (importlib.abc, which has classes to inherit
    from, costs more than is spared.)"""

    def create_module(self, _spec: ModuleSpec) -> None:
        """As usual."""

    def exec_module(self, module: ModuleType) -> None:
        def attribute(name: str) -> _Later:
            if name.startswith("__"):
                raise AttributeError(name)
            return _Later(name)

        module.__getattr__ = attribute  # type: ignore[method-assign]


class _Finder:
    """Finds the stand-in, once."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != SSH:
            return None
        sys.meta_path.remove(self)
        return ModuleSpec(SSH, _StandIn())  # type: ignore[arg-type]


def _real() -> ModuleType:
    found = sys.modules.get(SSH)
    if found is not None and isinstance(found.__loader__, _StandIn):
        del sys.modules[SSH]
    return importlib.import_module(SSH)


if SSH not in sys.modules:
    sys.meta_path.insert(0, _Finder())
