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


# --- what several breakages make of a function ---


def does_nothing(_old: Any) -> Any:
    """It is awaited, and nothing happens."""

    async def nothing(*_args: Any, **_kwargs: Any) -> None:
        return None

    return nothing


def gives(value: Any) -> Callable[[Any], Any]:
    """It gives this, whatever it is asked."""
    return lambda _old: lambda *_args, **_kwargs: value


def keeps_what_is_gone(old: Any) -> Any:
    """A list does not take away what it does not show."""

    def keeping(self: Any, items: Any) -> None:
        listed = {item.metadata.name: item for item in items}
        kept = [item for item in self.cache.values() if item.metadata.name not in listed]
        old(self, [*listed.values(), *kept])

    return keeping


def as_if_kept(old: Any) -> Any:
    """A watch begins where the history does, whatever it asked for."""

    def since(self: Any, key: str, node: str, revision: int, *nodes: Any) -> Any:
        return old(self, key, node, max(revision, self.compacted), *nodes)

    return since


def of_silent_nodes(_old: Any) -> Any:
    """Pods are collected of nodes that are not Ready, as if they were gone."""

    async def collect(self: Any, pods: Any, nodes: Any) -> None:
        silent = {
            name
            for name, node in nodes.items()
            if any(c.type == "Ready" and c.status != "True" for c in node.status.conditions)
        }
        await self._collect([pod for pod in pods if pod.spec.node_name in silent], orphaned=True)

    return collect
