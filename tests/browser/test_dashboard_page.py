"""The page itself: whatever things are called stays text, every state has an address, and it can be
used with keys, by ear, on a phone, and by who does not see all colours."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import pytest
from boards import StoryBoard, drawn, opened, settled
from browsing import Watchman, until
from colourscience import SIGHT, contrast, distance
from herdstory import BEGAN, HerdStory, told
from hostile_words import HOSTILE
from playwright.async_api import Page

from kubeherd.timeline.model import Bar, Kind, Look, Mark, Picture, Piece, Row, Shade
from kubeherd.timeline.page import page as timeline_page

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORKLOAD = "DaemonSet shop/agent"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
FORMS = "document.querySelectorAll('script, img, svg, iframe, form, a, [onerror], [onload]').length"


def address(view: str = "herd", **state: str | float) -> str:
    """The hash of a state of the page."""
    return f"#/{view}?{urlencode(state)}" if state else f"#/{view}"


async def go(page: Page, board: StoryBoard, hash_: str) -> None:
    """Show another state."""
    await page.evaluate("(hash) => { location.hash = hash }", hash_)
    await drawn(page, board)


# --- hostile words ---


def hostile(word: str, name: str) -> StoryBoard:
    """A cluster in which everything that has a text has this one, and whatever has a name that."""
    story = HerdStory([name, "node-1", "node-2"], zones=[word, "b", "c"])
    story.settle()
    story.image(word, cause=word)
    story.pod_says(
        name,
        name=name,
        labels={word: word},
        annotations={word: word},
        waiting=word,
        message=word,
    )
    story.kill(name)
    story.lose(name)
    story.leader(name)
    story.event("Warning", "Pod", "shop", name, word, word)
    story.violation(word, promise=word)
    board = StoryBoard(story.records, title=word)
    board.log = [word, word]
    board.requests = [{"who": word, "verb": word, "resource": word, "count": 1, "last": BEGAN}]
    return board


def states(name: str) -> Iterator[str]:
    """All that the page can show of such a cluster."""
    yield address("table", node=name)
    yield address("timeline", filter=name)
    yield address(workload=WORKLOAD, **{"from": "1"})
    yield address(pod=f"shop/{name}")
    for panel in ("log", "requests", "processes", "events"):
        yield address(node=name, panel=panel, of=f"process={name}" if panel == "log" else "")


@pytest.mark.parametrize(
    ("word", "name"),
    [(HOSTILE[0], HOSTILE[0]), (HOSTILE[0], "node-0")],
    ids=["names", "texts"],
)
async def test_hostile_words_stay_text(page: Page, watchman: Watchman, word: str, name: str):
    board = hostile(word, name)
    sign = re.sub(r"\W", "", word)[:12]
    async with opened(page, board):
        for state in states(name):
            await go(page, board, state)
            await page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
            await settled(page)
            assert sign in re.sub(r"\W", "", await page.inner_text("main")), state
        await page.get_by_test_id("act-start").click()
        await until(page, "() => document.querySelector('#command').textContent.includes('start')")
        await page.keyboard.press("Escape")
        tile = await page.evaluate("(name) => kubeherd.tile(name)", name)
        await page.mouse.move(tile["x"] + 9, tile["y"] + 9)
        await until(page, "() => document.querySelector('#hover').textContent")
        assert await page.evaluate(FORMS) == 1  # its own script; no link either
        assert await page.evaluate("window.harmed") is None
    refused = watchman.expected(lambda noted: "/api/object" in noted)
    assert bool(refused) == (name != "node-0")  # of no object is this the name


def timeline_of(word: str) -> Picture:
    bar = Bar(word, 0.0, 9.0, [Piece(0.0, 9.0, Look.READY)], about=word)
    row = Row(word, Kind.NODE, bars=[bar], faults=[Shade(1.0, 2.0, word)], lanes=1)
    marks = [Mark(3.0, "violation", word), Mark(4.0, "step", word)]
    return Picture(word, 10.0, 1.0, [row], marks, [word])


@pytest.mark.parametrize("word", HOSTILE, ids=["as HTML", "as a link"])
async def test_hostile_words_stay_text_in_a_timeline(page: Page, tmp_path: Path, word: str):
    file = tmp_path / "run.html"
    file.write_text(timeline_page(timeline_of(word), verdict=word))
    await page.goto(file.as_uri())
    box = await page.locator("#picture").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    assert (await page.locator("#about").inner_text()).strip()
    assert await page.evaluate("window.harmed") is None


async def test_what_must_not_happen_is_noticed(page: Page, watchman: Watchman, tmp_path: Path):
    """The other tests would fail."""
    file = tmp_path / "bad.html"
    policy = "<meta http-equiv=Content-Security-Policy content=\"script-src 'none'\">"
    file.write_text(f"{policy}<script>window.harmed = 1</script>")
    await page.goto(file.as_uri())
    assert watchman.expected(lambda noted: "Content Security Policy" in noted)
    file.write_text("<script>alert(1); console.error('no'); throw new Error('thrown')</script>")
    await page.goto(file.as_uri())
    noted = watchman.expected(lambda noted: True)
    for sign in ("dialog: 1", "console error: no", "exception: thrown"):
        assert any(one.startswith(sign) for one in noted), sign


# --- addresses ---

STATES = [
    address("table", node="node-2", filter="disk=ssd", panel="log", of="process=node-2"),
    address("timeline", workload=WORKLOAD, panel="processes", **{"from": "1"}),
    address(filter="zone-a, !gpu", node="node-1", zoom=3, x=-200, y=-100, panel="requests"),
    address(t=BEGAN + 3, workload=WORKLOAD, **{"from": "1"}),
    address("timeline", t=BEGAN + 8, node="node-5"),
]
WITHOUT_TIMES = r"\d\d:\d\d:\d\d|\d+(\.\d+)? (s|min|h)\b"


async def seen(page: Page) -> list[Any]:
    """What the page says and where its tiles are, but for clocks."""
    text = re.sub(WITHOUT_TIMES, "", await page.inner_text("body"))
    fields = "[...document.querySelectorAll('input')].map((one) => one.value)"
    places = """(document.querySelector("#canvas").checkVisibility() ? kubeherd.state.nodes : [])
    .map(({name}) => {
      const {x, y, w, h, look} = kubeherd.tile(name);
      return [...[x, y, w, h].map((one) => Math.round(one * 100)), look];
    })"""
    return [text, await page.evaluate(fields), await page.evaluate(places)]


async def test_every_state_has_an_address(page: Page):
    """A page that is loaded anew at it shows the same."""
    board = StoryBoard(told(6).records)
    board.log, board.requests = ["a line"], [{"who": "me", "verb": "get", "resource": "pods"}]
    async with opened(page, board):
        await settled(page)
        start = await seen(page)
        known = [start]
        for state in STATES:
            await go(page, board, state)
            await settled(page)
            before, at = await seen(page), await page.evaluate("location.hash")
            assert before not in known, state
            assert "…" not in await page.inner_text("#chart, #details, #panel"), state
            known.append(before)
            await page.reload()
            await drawn(page, board)
            await settled(page)
            assert await page.evaluate("location.hash") == at
            assert await seen(page) == before, state
        await go(page, board, "#/herd")
        await settled(page)
        assert await seen(page) == start
        await page.go_back()
        await settled(page)
        assert await seen(page) == known[-1]


# --- keys, ears, small screens, eyes ---

FOCUS = """() => {
  const at = document.activeElement;
  return at.getAttribute("data-testid") ?? at.id ?? at.tagName;
}"""
NAMELESS = """() => {
  const used = "button, input, select, a, canvas, [tabindex], table, section";
  const textOf = (id) => document.getElementById(id)?.innerText;
  const names = (one) => [one.ariaLabel, one.innerText, one.labels?.[0]?.innerText,
    one.caption?.innerText, textOf(one.getAttribute("aria-labelledby"))];
  return [...document.querySelectorAll(used)]
    .filter((one) => one.checkVisibility() && !one.closest("[aria-hidden=true]"))
    .filter((one) => !names(one).some((name) => name?.trim()))
    .map((one) => one.outerHTML.slice(0, 100));
}"""


async def test_a_walk_with_keys_alone(page: Page):
    story = told(6)
    board = StoryBoard(story.records)
    async with opened(page, board):
        press = page.keyboard.press
        passed = []
        while await page.evaluate(FOCUS) != "herd":
            await press("Tab")
            passed.append(await page.evaluate(FOCUS))
            assert len(passed) < 40, passed
        assert "filter" in passed
        await press("ArrowRight")
        first = await page.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('node')")
        assert first in story.nodes
        await press("ArrowRight")
        await press("ArrowDown")
        second = await page.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('node')")
        assert second in story.nodes
        assert second != first
        assert second in await page.get_by_test_id("details").inner_text()
        await press("Enter")
        assert await page.evaluate("document.activeElement.closest('#details') !== null")
        await page.evaluate("document.querySelector('#canvas').focus()")
        await press("Escape")
        assert not await page.get_by_test_id("details").is_visible()
        await press("/")
        await page.keyboard.type("node-2")
        await until(page, "() => document.querySelector('#filter-said').textContent === '1 of 6'")
        await press("Escape")
        await press("Escape")
        await press("?")
        assert await page.get_by_test_id("dialog").is_visible()
        await press("Escape")
        assert not await page.get_by_test_id("dialog").is_visible()
        await page.evaluate("document.querySelector('#canvas').focus()")
        await press("t")
        assert await page.get_by_test_id("row").count() == 6
        await press("m")
        await page.get_by_test_id("timeline").focus()
        await press("ArrowLeft")
        assert "PAST" in await page.inner_text("#moment")
        await press("End")
        assert "PAST" not in await page.inner_text("#moment")


async def test_everything_has_a_name_and_a_place(page: Page):
    """For who hears the page: what can be used has a name, and what happens is said."""
    board = StoryBoard(told(6).records)
    async with opened(page, board):
        for state in (*STATES, address(node="node-5"), address(pod="shop/none")):
            await go(page, board, state)
            await settled(page)
            assert await page.evaluate(NAMELESS) == [], state
        await until(page, "() => document.querySelector('[aria-live]').textContent")
        said = await page.inner_text("[data-testid=said]")
        assert "of 6" in said
        for role in ("main", "banner", "complementary"):
            assert await page.get_by_role(role).count() == 1
        assert await page.get_attribute("html", "lang") == "en"


async def test_a_phone_is_wide_enough(page: Page):
    await page.set_viewport_size({"width": 380, "height": 800})
    board = StoryBoard(told(50).records)
    beyond = """() => [...document.querySelectorAll("button, input")]
      .filter((one) => one.checkVisibility()).map((one) => one.getBoundingClientRect())
      .filter((box) => box.right > 381 && box.left < 380).length"""
    async with opened(page, board):
        for view in ("herd", "table", "timeline"):
            await go(page, board, address(view, node="node-49", workload=WORKLOAD))
            await settled(page)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 380
            assert await page.evaluate(beyond) == 0


async def test_colours_can_be_told_from_their_ground_and_from_each_other(page: Page):
    """Text has a contrast of 4.5 to its ground, signs and cells one of 3 (WCAG 1.4.3, 1.4.11); two
    revisions that are side by side in a rollout differ, also to who does not see all colours."""
    board = StoryBoard(told(3).records)
    themes = {}
    look = """async () => {
      const {themeOf} = await import("/static/paint.js");
      return themeOf(document.documentElement);
    }"""
    async with opened(page, board):
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            themes[scheme] = await page.evaluate(look)
        colours = await page.evaluate("import('/static/colours.js').then((one) => one.PALETTE)")
    assert themes["light"] != themes["dark"]
    for theme in themes.values():
        for name in ("ink", "faint", "good", "bad", "warn", "cold", "hurt", "accent"):
            for ground in ("ground", "tile"):
                assert contrast(theme[name], theme[ground]) >= 4.5, (name, ground)
        outlined = contrast(theme["edge"], theme["tile"])
        for colour in colours:
            assert max(contrast(colour, theme["tile"]), outlined) >= 3, colour
    for sight in SIGHT:
        for one, other in pairwise([*colours, colours[0]]):
            assert distance(one, other, sight) > 15, (one, other, sight)
