"""Stands in for attrs while aiohttp is imported: msgspec makes its value classes.

attrs compiles the methods of each class; for those of aiohttp that is an eighth of all that the
imports of a process cost. Here a class is what aiohttp needs of it: frozen, its fields given by
position or by name, compared and hashed by their values. Invariant: what is asked for beyond that
is refused, so that no class differs from what it should be, and aiohttp is imported with attrs.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec

evolve = msgspec.structs.replace
_OF_EACH_CLASS = frozenset({"__annotations__", "__dict__", "__weakref__"})


class _Field(msgspec.Struct, frozen=True):
    default: object


def ib(*, type: object, default: object) -> Any:  # noqa: A002 - as attrs calls it
    """A field of a class whose annotations are no fields."""
    return _Field(default)


def s(*, frozen: bool, slots: bool, auto_attribs: bool = False) -> Callable[[type], type]:
    """Decorates a class that lists its fields and may have methods; TypeError for any other."""
    if not (frozen and slots):
        raise TypeError("only frozen classes with slots")

    def made(described: type) -> type:
        if described.__bases__ != (object,):
            raise TypeError("only classes without a base")
        content = {k: v for k, v in vars(described).items() if k not in _OF_EACH_CLASS}
        if auto_attribs:
            names = list(described.__annotations__)
        else:
            names = [name for name, value in content.items() if isinstance(value, _Field)]
        fields = [_described(name, content) for name in names]
        return msgspec.defstruct(described.__name__, fields, frozen=True, namespace=content)

    return made


def _described(name: str, content: dict[str, Any]) -> Any:
    """A field for `defstruct`; its default is taken out of the class's content."""
    if name not in content:
        return name
    value = content.pop(name)
    return name, Any, value.default if isinstance(value, _Field) else value


def load(module: str) -> None:
    """Import a module of aiohttp with this one in the place of attrs, if that is enough for it."""
    before = set(sys.modules)
    attrs = sys.modules.get("attr")
    sys.modules["attr"] = sys.modules[__name__]
    try:
        import_module(module)
    except (AttributeError, ImportError, TypeError):
        for name in sys.modules.keys() - before:
            if name.startswith("aiohttp"):
                del sys.modules[name]
    finally:
        del sys.modules["attr"]
        if attrs is not None:
            sys.modules["attr"] = attrs
    import_module(module)
