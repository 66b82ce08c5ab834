"""The system's Chromium for tests of pages, and a page that notices what must not happen on one."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    async_playwright,
)

NAMES = ("chromium", "chromium-browser", "google-chrome")
PLACE = "KUBEHERD_CHROMIUM"
REQUIRED = "KUBEHERD_REQUIRE_CHROMIUM"
MISSING = f"no Chromium: apt-get install chromium, or {PLACE}=/path/to/chrome"
TIMEOUT_MS = 20_000.0

_OPTIONS = (
    "--no-sandbox",  # root has none, and CI is root
    "--disable-dev-shm-usage",  # a container's is small
    "--disable-gpu",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--host-resolver-rules=MAP evil.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


FRAMES = """
const ask = window.requestAnimationFrame.bind(window);
window.framed = {count: 0, worst: 0, total: 0};
window.requestAnimationFrame = (draw) => ask((at) => {
  const began = performance.now();
  draw(at);
  const took = performance.now() - began;
  framed.count += 1;
  framed.total += took;
  framed.worst = Math.max(framed.worst, took);
});
"""
"""Counts what the page draws, and how long its script takes for it."""


def chromium_path() -> Path:
    """The Chromium of this machine. Without one a test is skipped, or fails if it must not be."""
    given = os.environ.get(PLACE)
    found = [Path(given)] if given else [Path(one) for name in NAMES if (one := shutil.which(name))]
    if found:
        return found[0]
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(MISSING)
    pytest.skip(MISSING)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A Chromium that runs."""
    path = chromium_path()
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=path, args=_OPTIONS)
        try:
            yield browser
        finally:
            await browser.close()


async def until(page: Page, condition: str, arg: object = None) -> None:
    """Wait until a function holds on the page. Unlike the driver's own waiting this needs no eval,
    which the dashboard's Content-Security-Policy forbids."""
    await page.evaluate(
        f"""async (arg) => {{
          const holds = {condition}, end = performance.now() + {TIMEOUT_MS};
          while (!await holds(arg)) {{
            if (performance.now() > end) throw new Error("never came true: " + holds);
            await new Promise((look) => setTimeout(look, 50));
          }}
        }}""",
        arg,
    )


class Watchman:
    """Notes on a page what must not happen on any: errors and warnings on the console (a violation
    of the Content-Security-Policy is one), exceptions, dialogs, requests to another origin."""

    def __init__(self, page: Page) -> None:
        self.noted: list[str] = []
        self._page = page
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.noted.append(f"exception: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", self._request)

    def expected(self, fits: Callable[[str], bool]) -> list[str]:
        """What was noted and was meant to happen: forgotten, and returned."""
        meant = [one for one in self.noted if fits(one)]
        self.noted = [one for one in self.noted if not fits(one)]
        return meant

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            where = message.location.get("url", "")
            self.noted.append(f"console {message.type}: {message.text} {where}".rstrip()[:200])

    async def _dialog(self, dialog: Dialog) -> None:
        self.noted.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _request(self, request: Request) -> None:
        asked, own = urlsplit(request.url), urlsplit(self._page.url)
        local = asked.scheme in ("data", "blob", "file")
        if not local and own.netloc and asked.netloc != own.netloc:
            self.noted.append(f"request to another origin: {request.url}")


@asynccontextmanager
async def watched(context: BrowserContext) -> AsyncIterator[tuple[Page, Watchman]]:
    """A new page on which nothing happens that must not; AssertionError says what did."""
    page = await context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    watchman = Watchman(page)
    try:
        yield page, watchman
    finally:
        await page.close()
    assert not watchman.noted, watchman.noted


@asynccontextmanager
async def weighed(context: BrowserContext, page: Page) -> AsyncIterator[list[int]]:
    """What a page takes over the wire meanwhile, in bytes."""
    network, taken = await context.new_cdp_session(page), [0]

    def count(event: dict[str, Any]) -> None:
        taken[0] += event["encodedDataLength"]

    network.on("Network.dataReceived", count)
    network.on("Network.responseReceived", lambda event: count(event["response"]))
    await network.send("Network.enable")
    yield taken
    await network.detach()
