"""The annotations that script what a fake container does: their names, and which one holds."""

from collections.abc import Mapping
from typing import Final

PREFIX: Final = "kubeherd.io/"


def scripted(annotations: Mapping[str, str], container: str, name: str) -> str | None:
    """`kubeherd.io/<container>.<name>`, else `kubeherd.io/<name>`, else None."""
    own = annotations.get(f"{PREFIX}{container}.{name}")
    return annotations.get(PREFIX + name) if own is None else own


def parse_seconds(text: str | None) -> float | None:
    """Non-negative, finite seconds, or None."""
    try:
        value = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return value if 0.0 <= value < 1e9 else None
