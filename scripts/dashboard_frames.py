"""How the dashboard's page does in the system's Chromium while a rollout is under way; a JSON line.

    .venv/bin/python scripts/dashboard_frames.py [--nodes 1000]

`first_view_ms` and `first_view_kb`: until all nodes are drawn, and what that took over the wire.
`frames_per_s`: of the browser, while twenty nodes change in each of its frames. `script_ms` and
`worst_script_ms`: of the page, for a frame that it draws. Wall-clock figures: of an idle machine.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from boards import StoryBoard, drawn, opened
from browsing import FRAMES, chromium, weighed
from herdstory import HerdStory

EACH = 80
"""Records in a frame: of twenty nodes."""


async def measure(nodes: int) -> dict[str, float]:
    """The figures for so many nodes."""
    story = HerdStory(nodes)
    story.settle()
    board, known = StoryBoard(story.records), len(story.records)
    story.roll("app:2", pods=nodes, step_s=0.01)
    rest = story.records[known:]
    async with chromium() as browser:
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        page = await context.new_page()
        await page.add_init_script(FRAMES)
        began = time.monotonic()
        async with weighed(context, page) as taken, opened(page, board):
            first_s, first_bytes = time.monotonic() - began, taken[0] + board.state_bytes()
            await page.evaluate("framed = {count: 0, worst: 0, total: 0}")
            began, frames = time.monotonic(), 0
            for start in range(0, len(rest), EACH):
                board.tell(rest[start : start + EACH])
                await page.evaluate("new Promise(requestAnimationFrame)")
                frames += 1
            passed_s = time.monotonic() - began
            await drawn(page, board)
            framed = await page.evaluate("framed")
        await context.close()
    return {
        "nodes": nodes,
        "first_view_ms": round(first_s * 1000),
        "first_view_kb": round(first_bytes / 1000, 1),
        "frames_per_s": round(frames / passed_s, 1),
        "script_ms": round(framed["total"] / max(framed["count"], 1), 2),
        "worst_script_ms": round(framed["worst"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=1000)
    print(json.dumps(asyncio.run(measure(parser.parse_args().nodes))))


if __name__ == "__main__":
    main()
