"""The page of `kubeherd timeline` in a browser: it draws, and what a pod is called stays text."""

from pathlib import Path

import pytest
from browsing import Watchman
from hostile_words import HOSTILE
from playwright.async_api import Page

from kubeherd.timeline.model import Bar, Kind, Look, Mark, Picture, Piece, Row, Shade
from kubeherd.timeline.page import page as page_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


def picture(word: str) -> Picture:
    bar = Bar(word, 0.0, 9.0, [Piece(0.0, 9.0, Look.READY)], about=word)
    row = Row(word, Kind.NODE, bars=[bar], faults=[Shade(1.0, 2.0, word)], lanes=1)
    marks = [Mark(3.0, "violation", word), Mark(4.0, "step", word)]
    return Picture(word, 10.0, 1.0, [row], marks, [word])


@pytest.mark.parametrize("word", HOSTILE)
async def test_hostile_words_stay_text(page: Page, tmp_path: Path, word: str):
    file = tmp_path / "run.html"
    file.write_text(page_of(picture(word), verdict=word))
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
