"""Opening a browser at an address that is a secret: by way of a file that only its user can read.

The command line of a browser is for everybody to see, and the address must not be in it.
"""

import os
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Final

_PAGE: Final = (
    '<!doctype html><meta charset="utf-8"><title>kubeherd</title>'
    '<meta http-equiv="refresh" content="0; url={url}"><a href="{url}">The dashboard</a>'
)


def has_screen() -> bool:
    """Whether there is a place for a browser's window; one for terminals would take this one."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def opened(url: str) -> Iterator[None]:
    """Open the browser, and keep the file for as long as the body runs."""
    with tempfile.TemporaryDirectory(prefix="kubeherd-") as folder:
        page = Path(folder) / "dashboard.html"
        page.touch(0o600)
        page.write_text(_PAGE.format(url=escape(url, quote=True)), encoding="utf-8")
        webbrowser.open(page.as_uri())
        yield
