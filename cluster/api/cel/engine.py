"""The library that evaluates CEL, without its command line.

The package `cel` imports that when it is imported itself, and with it typer and prompt_toolkit: a
third of a second and tens of megabytes that no rule needs.
"""

import sys
from types import ModuleType


def _import() -> None:
    """Import `cel` with an empty module in the place of its command line."""
    sys.modules["cel.cli"] = ModuleType("cel.cli")
    try:
        import cel  # noqa: F401, PLC0415 - what this function is for
    finally:
        del sys.modules["cel.cli"]


if "cel" not in sys.modules:
    _import()

from cel import Context, OptionalValue, Program, compile, stdlib  # noqa: A004, E402 - its own name

__all__ = ["Context", "OptionalValue", "Program", "compile", "stdlib"]
