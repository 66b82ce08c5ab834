"""`kubeherd dashboard` as a process, as people start it."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

START_S = 30.0
_URL = re.compile(r"http://127\.0\.0\.1:\d+/\?token=\S+")


class Dashboard:
    """A dashboard that serves. `url` lets one browser in, once."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    @property
    def pid(self) -> int:
        """Of its process."""
        return self.process.pid

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:PORT``"""
        return self.url.partition("/?")[0]


@asynccontextmanager
async def dashboard(*options: str | Path) -> AsyncIterator[Dashboard]:
    """A dashboard with these options, while it is wanted."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kubeherd", "dashboard", "--no-open", "--port", "0"),
        *map(str, options),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        async with asyncio.timeout(START_S):
            url = await _url(process)
        yield Dashboard(process, url)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _url(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    printed = ""
    while line := (await process.stdout.readline()).decode():
        printed += line
        if found := _URL.search(printed):
            return found[0]
    raise AssertionError(f"the dashboard did not start: {printed}")
