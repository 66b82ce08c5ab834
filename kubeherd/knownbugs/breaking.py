"""Takes the code that protects a cluster out of it, for as long as a block lasts.

A function is replaced wherever a loaded module of kubeherd has it under its name, so it does not
matter who imported it, or when. Invariant: after the block everything is as it was.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

import msgspec

PACKAGE = "kubeherd."


class Broken(msgspec.Struct, frozen=True):
    """`where` (``module:function`` or ``module:Class.method``, below the package) is replaced by
    what `make` makes of it."""

    where: str
    make: Callable[[Any], Any]


@contextmanager
def broken(*parts: Broken) -> Iterator[None]:
    """While it lasts, these parts do what they should not. ImportError or AttributeError if there
    is no such part."""
    with ExitStack() as undo:
        for part in parts:
            undo.callback(_replace(part))
        yield


def _replace(part: Broken) -> Callable[[], None]:
    module, _, path = part.where.partition(":")
    holder: Any = import_module(PACKAGE + module)
    *outer, name = path.split(".")
    for attribute in outer:
        holder = getattr(holder, attribute)
    raw = vars(holder)[name]
    old = getattr(holder, name)
    new = part.make(old)
    if outer:
        setattr(holder, name, staticmethod(new) if isinstance(raw, staticmethod) else new)
        return lambda: setattr(holder, name, raw)
    _everywhere(old, new)
    return lambda: _everywhere(new, old)


def _everywhere(old: object, new: object) -> None:
    """Wherever a module has the one under any name, it gets the other."""
    for name, module in list(sys.modules.items()):
        if name.startswith(PACKAGE):
            for attribute, value in list(vars(module).items()):
                if value is old:
                    setattr(module, attribute, new)
