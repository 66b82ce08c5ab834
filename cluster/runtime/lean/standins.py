"""Stand-ins for modules that a library imports and our processes do not use.

While a library is imported, `standing_in` has the modules that it names stand-ins: a name that is
taken from one is loaded when it is called or asked for something, by then from the real module.
What the library calls as it is imported is put off as well. Invariants: nobody but the library
sees a stand-in, for they are gone from `sys.modules` before anybody else imports; what was loaded
before stays what it was; a library that does more with such a name than to call it or to ask it
for something (a base class, say) fails as it is imported, and `load` then imports it whole.
"""

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, Final

_loading: Final[list[str]] = []
"""The modules that have stand-ins now."""


class Later:
    """What `resolve` returns, once somebody needs it."""

    def __init__(self, resolve: Callable[[], Any]) -> None:
        self._resolve = resolve
        self._resolved = False
        self._value: Any = None

    def _real(self) -> Any:
        if not self._resolved:
            self._value, self._resolved = self._resolve(), True
        return self._value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _loading:
            return Later(lambda: self._real()(*args, **kwargs))
        return self._real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __or__(self, other: object) -> "Later":
        """In an annotation, which nobody reads."""
        return self


class StandIn(ModuleType):
    """A module that is imported by the first use of what was taken from it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if _loading:
            return Later(lambda: getattr(import_module(self.__name__), name))
        return getattr(import_module(self.__name__), name)


@contextmanager
def standing_in(*modules: str) -> Iterator[None]:
    """Give those of these modules that are not loaded stand-ins, for what is imported meanwhile."""
    mine = [module for module in modules if module not in sys.modules]
    sys.modules.update((module, StandIn(module)) for module in mine)
    _loading.extend(mine)
    try:
        yield
    finally:
        for module in mine:
            _loading.remove(module)
            if isinstance(sys.modules.get(module), StandIn):
                del sys.modules[module]


def load(
    module: str, without: Collection[str], importing: Callable[[str], object] = import_module
) -> None:
    """Import a module with stand-ins for others; with these themselves if it does not go without.

    `importing` imports it.
    """
    before = set(sys.modules)
    try:
        with standing_in(*without):
            importing(module)
    except (AttributeError, ImportError, TypeError):
        library = module.partition(".")[0]
        for name in sys.modules.keys() - before:
            if name.partition(".")[0] == library:
                del sys.modules[name]
        importing(module)
