"""The page shows the herd that it is told of: every node, every pod in the colour of its revision,
every number of a rollout, at every moment; for a thousand nodes, too."""

import pytest
from boards import StoryBoard, drawn, opened
from browsing import FRAMES, weighed
from herdstory import HerdStory, told
from playwright.async_api import BrowserContext, Page

from kubeherd.herd.herd import Herd
from kubeherd.herd.model import Look, Rollout

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIRST_VIEW_BYTES = 300_000
FRAME_MS = 33.0

PIXELS = """
const make = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, options) {
  return make.call(this, kind, {...options, willReadFrequently: true});
};
window.pixelsOf = (name, tints) => {
  const canvas = document.querySelector("[data-testid=herd]"), scale = devicePixelRatio;
  const {x, y, w, h} = kubeherd.tile(name), counted = tints.map(() => 0);
  const {left, top} = canvas.getBoundingClientRect();
  const wanted = tints.map((tint) => parseInt(tint.slice(1), 16));
  const pen = canvas.getContext("2d");
  const {data} = pen.getImageData((x - left) * scale, (y - top) * scale, w * scale, h * scale);
  for (let at = 0; at < data.length; at += 4) {
    const n = wanted.indexOf(data[at] * 65536 + data[at + 1] * 256 + data[at + 2]);
    if (n >= 0) counted[n] += 1;
  }
  return counted;
};
"""
"""`pixelsOf` counts how many pixels of a tile have which colour."""


def numbers(rollout: Rollout) -> list[int]:
    return [rollout.desired, rollout.updated, rollout.available, rollout.unavailable]


async def palette(page: Page) -> dict[str, str]:
    """The colour of each revision, by its hash."""
    return dict(
        await page.evaluate(
            """async () => {
              const {coloursOf} = await import("/static/colours.js");
              const found = [...coloursOf(kubeherd.state.rollouts)];
              return found.map(([key, tint]) => [key.split("\\0")[1], tint]);
            }"""
        )
    )


@pytest.mark.parametrize("nodes", [3, 50])
async def test_every_pod_has_the_colour_of_its_revision(page: Page, nodes: int):
    board = StoryBoard(told(nodes).records)
    await page.add_init_script(PIXELS)
    async with opened(page, board):
        await coloured(page, board)


async def coloured(page: Page, board: StoryBoard) -> None:
    """Every tile has the colour of its pod's revision, and none of the other."""
    names = list(board.herd.nodes)[:-1]  # the last one is dead: hatched
    tints = await palette(page)
    assert len(set(tints.values())) == 2
    look = "([names, tints]) => names.map((name) => pixelsOf(name, tints))"
    painted = await page.evaluate(look, [names, list(tints.values())])
    for name, pixels in zip(names, painted, strict=True):
        (pod,) = board.herd.nodes[name].pods.values()
        assert pod.look is Look.READY
        assert revisions(tints, pixels) == {pod.revision}, name


def revisions(tints: dict[str, str], pixels: list[int]) -> set[str]:
    """Those of whose colour there is more than a blur."""
    return {hash_ for hash_, count in zip(tints, pixels, strict=True) if count > 4}


COLLECT = """([names, tints]) => {
  const canvas = document.querySelector("[data-testid=herd]");
  const cards = document.querySelector("[data-testid=workloads]");
  const number = (name) => Number(cards.querySelector(`[data-testid=${name}]`).textContent);
  window.samples = {cards: {}, canvas: {}};
  const look = () => {
    const card = cards.dataset.sequence, drawn = canvas.dataset.sequence;
    samples.cards[card] ??= ["desired", "updated", "available", "unavailable"].map(number);
    samples.canvas[drawn] ??= names.map((name) => pixelsOf(name, tints));
    requestAnimationFrame(look);
  };
  look();
}"""
"""Keeps what the page shows at each change that it shows."""


async def test_a_rollout_is_right_at_every_moment(page: Page):
    """Numbers and colours are those of the herd at just the change that the page shows."""
    story = HerdStory(12)
    story.settle()
    board = StoryBoard(story.records)
    before = len(story.records)
    story.roll("app:2", pods=12)
    told_of, *rest = story.records[before:]
    board.tell([told_of])  # there are two revisions from here on
    herd = board.herd
    truth = {herd.sequence: moment(herd)}
    await page.add_init_script(PIXELS)
    async with opened(page, board):
        await page.get_by_test_id("workload").wait_for()
        tints = await palette(page)
        await page.evaluate(COLLECT, [story.nodes, list(tints.values())])
        for record in rest:
            board.tell([record])
            truth[herd.sequence] = moment(herd)
            await page.evaluate("new Promise(requestAnimationFrame)")
        await drawn(page, board)
        seen = await page.evaluate("samples")
    assert len(seen["canvas"]) > 5
    assert len(seen["cards"]) > 3
    for sequence, shown_numbers in seen["cards"].items():
        assert shown_numbers == truth[int(sequence)][0], sequence
    for sequence, painted in seen["canvas"].items():
        for pixels, pods in zip(painted, truth[int(sequence)][1], strict=True):
            found = revisions(tints, pixels)
            assert found <= set(pods), sequence  # what comes and goes is drawn with thin lines
            assert found >= {pod for pod, look in pods.items() if look is Look.READY}, sequence
    assert moment(herd)[0] == [12, 12, 12, 0]


def moment(herd: Herd) -> tuple[list[int], list[dict[str, Look]]]:
    """The numbers of the only rollout, and of each node its pod's revision and state."""
    (rollout,) = herd.rollouts.values()
    pods = [{pod.revision: pod.look for pod in tile.pods.values()} for tile in herd.nodes.values()]
    return numbers(rollout), pods


async def test_a_thousand_nodes(context: BrowserContext, page: Page):
    """The first view is small and right, and a rollout moves at thirty frames a second: what a
    frame costs counts, not how busy this machine is."""
    story = told(1000)
    board = StoryBoard(story.records)
    before = len(story.records)
    await page.add_init_script(PIXELS + FRAMES)
    async with weighed(context, page) as taken, opened(page, board):
        await coloured(page, board)
        assert taken[0] > 50_000  # the page's files
        assert taken[0] + board.state_bytes() < FIRST_VIEW_BYTES
        for name in story.nodes[500:900]:
            story.replace(name, 0.01)
        rest = story.records[before:]
        await page.evaluate("framed = {count: 0, worst: 0, total: 0}")
        for start in range(0, len(rest), 30):
            board.tell(rest[start : start + 30])
            await page.evaluate("new Promise(requestAnimationFrame)")
        await drawn(page, board)
        framed = await page.evaluate("framed")
        await coloured(page, board)
    assert framed["count"] > 10
    assert framed["total"] / framed["count"] < FRAME_MS, framed


async def test_five_thousand_nodes_are_on_one_screen(page: Page):
    story = HerdStory(5000)
    story.settle()
    board = StoryBoard(story.records)
    async with opened(page, board):
        box = await page.locator("[data-testid=herd]").bounding_box()
        assert box is not None
        places = await page.evaluate("(names) => names.map(kubeherd.tile)", story.nodes)
        assert len({(place["x"], place["y"]) for place in places}) == 5000
        for place in places:
            assert box["x"] <= place["x"] <= box["x"] + box["width"] - place["w"]
            assert box["y"] <= place["y"] <= box["y"] + box["height"] - place["h"]
        fits = "document.documentElement.scrollHeight <= innerHeight"
        assert await page.evaluate(fits)
