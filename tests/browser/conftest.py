"""Pages in a real Chromium: a browser with one profile for a module, a page for each test."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from browsing import Watchman, chromium, watched
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize

VIEWPORT: ViewportSize = {"width": 1100, "height": 700}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    made = await browser.new_context(viewport=VIEWPORT, reduced_motion="reduce")
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def watched_page(context: BrowserContext) -> AsyncIterator[tuple[Page, Watchman]]:
    async with watched(context) as both:
        yield both


@pytest.fixture
def page(watched_page: tuple[Page, Watchman]) -> Page:
    """A page on which no error, dialog or request to another origin may happen."""
    return watched_page[0]


@pytest.fixture
def watchman(watched_page: tuple[Page, Watchman]) -> Watchman:
    return watched_page[1]
