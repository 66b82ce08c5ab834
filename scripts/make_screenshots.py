"""Make the pictures of the documentation from real runs, into docs/images.

    .venv/bin/python scripts/make_screenshots.py [--only SCENE ...] [--output DIR]

Starts clusters, hurts them while workloads roll, and photographs the dashboard in the system's
Chromium (`apt-get install chromium`, or KUBEHERD_CHROMIUM) and `kubeherd watch` in a terminal.
A few minutes on two cores.
"""

import argparse
import asyncio
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

from PIL import Image
from playwright.async_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from boards import settled  # noqa: E402
from browsing import chromium, until, watched  # noqa: E402
from dashboardcommand import dashboard  # noqa: E402
from terminalpicture import on_a_terminal  # noqa: E402

import kubeherd  # noqa: E402
from kubeherd.faults import effects  # noqa: E402
from kubeherd.faults.targets import ZONE  # noqa: E402
from kubeherd.history import FaultBegan, files  # noqa: E402

Scheme = Literal["light", "dark"]
JsonObject = dict[str, Any]

SPEED: Final = 5.0
WIDE: Final = (1280, 800)
PHONE: Final = (380, 800)
FILM: Final = (1160, 660)
FRAME_S: Final = 0.25
PATIENCE_S: Final = 120.0
DRAWN_S: Final = 1.0
"""So long after the API says something it is on every screen."""
ZONES: Final = "abc"
KUBEHERD: Final = (sys.executable, "-m", "kubeherd")
INTO_S: Final = 70.0
MAX_COLOURS: Final = 224


class Studio:
    """A browser, and where its pictures go."""

    def __init__(self, browser: Browser, output: Path) -> None:
        self._browser = browser
        self._output = output

    @asynccontextmanager
    async def page(
        self, url: str, size: tuple[int, int] = WIDE, scheme: Scheme = "light"
    ) -> AsyncIterator[Page]:
        """The dashboard at a URL, when it shows its herd."""
        context = await self._browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
        )
        async with watched(context) as (page, _):
            await page.goto(url)
            await until(page, "() => kubeherd.sequence > 0")
            yield page
        await context.close()

    async def keep(self, page: Page, name: str) -> None:
        """The page as it is now, as NAME.png."""
        await asyncio.sleep(DRAWN_S)
        await settled(page)
        self._write(f"{name}.png", _small(await page.screenshot()))

    async def film(self, page: Page, name: str, acts: Callable[[], Awaitable[None]]) -> None:
        """The page while `acts` happens, as NAME.webp."""
        await settled(page)
        frames: list[Image.Image] = []
        acting = asyncio.ensure_future(acts())
        clock = asyncio.get_running_loop()
        while not acting.done():
            next_s = clock.time() + FRAME_S
            frames.append(_opened(await page.screenshot()))
            await asyncio.sleep(max(next_s - clock.time(), 0.0))
        await acting
        made = io.BytesIO()
        each_ms = int(FRAME_S * 1000)
        frames[0].save(
            made, "WEBP", save_all=True, append_images=frames[1:], duration=each_ms, loop=0,
            quality=70, method=4, minimize_size=True,
        )  # fmt: skip
        self._write(f"{name}.webp", made.getvalue())

    def write_text(self, name: str, text: str) -> None:
        """A picture that is text."""
        self._write(name, text.encode())

    def _write(self, name: str, data: bytes) -> None:
        (self._output / name).write_bytes(data)
        print(f"{name}: {len(data) / 1000:.0f} KB", flush=True)


def _opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def _small(png: bytes) -> bytes:
    """A PNG with fewer colours."""
    made = io.BytesIO()
    _opened(png).quantize(MAX_COLOURS, dither=Image.Dither.NONE).save(made, "PNG", optimize=True)
    return made.getvalue()


# --- what happens in the clusters ---


def daemonset(image: str, cause: str, **annotations: str) -> JsonObject:
    """The agent that every node runs."""
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": "agent",
            "namespace": "default",
            "annotations": {"kubernetes.io/change-cause": cause, **annotations},
        },
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "20%"}},
            "template": _template("agent", image),
        },
    }


def deployment(image: str, replicas: int) -> JsonObject:
    """The shop that some nodes run."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": _template("web", image),
        },
    }


def _template(app: str, image: str) -> JsonObject:
    return {
        "metadata": {
            "labels": {"app": app},
            "annotations": {"kubeherd.io/ready-delay-seconds": "5"},
        },
        "spec": {"containers": [{"name": "main", "image": image}]},
    }


@asynccontextmanager
async def cluster(nodes: int, **options: Any) -> AsyncIterator[kubeherd.AsyncCluster]:
    """A cluster with its nodes in three zones, an agent on each and a shop."""
    async with kubeherd.AsyncCluster(nodes=nodes, speed=SPEED, seed=1, **options) as started:
        for number, name in enumerate(started.node_names):
            await started.apply(_zoned(name, ZONES[number * len(ZONES) // nodes]))
        await started.apply(daemonset("agent:1", "first version"))
        await started.apply(deployment("web:1", max(nodes * 2 // 3, 2)))
        await rolled_out(started)
        yield started


def _zoned(node: str, zone: str) -> JsonObject:
    metadata = {"name": node, "labels": {ZONE: zone}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}


async def rolled_to(started: kubeherd.AsyncCluster, pods: int) -> None:
    """The agent's rollout has come so far."""
    await started.wait_for(
        "DaemonSet",
        "agent",
        lambda found: (
            found["status"]["observedGeneration"] == found["metadata"]["generation"]
            and found["status"].get("updatedNumberScheduled", 0) >= pods
        ),
        timeout_s=PATIENCE_S,
    )


async def rolled_out(started: kubeherd.AsyncCluster) -> None:
    """The agent is everywhere, and so is the shop."""
    await started.wait_rolled_out("agent", timeout_s=PATIENCE_S)
    await started.wait_for(
        "Deployment",
        "web",
        lambda found: found["status"].get("availableReplicas", 0) == found["spec"]["replicas"],
        timeout_s=PATIENCE_S,
    )


async def hurt(started: kubeherd.AsyncCluster) -> None:
    """A node is dead, one frozen, two cut off, one cordoned; the first has been missed."""
    names = started.node_names
    dead, frozen, *cut, spared = names[len(names) // 7 :: len(names) // 6][:5]
    await started.kill_node(dead)
    await started.freeze_node(frozen)
    await started.fault(effects.Partition(), nodes=cut)
    zone = (await started.get("Node", spared))["metadata"]["labels"][ZONE]
    await started.apply({**_zoned(spared, zone), "spec": {"unschedulable": True}})
    await started.wait_not_ready(dead, timeout_s=PATIENCE_S)


# --- scenes ---


async def three(studio: Studio) -> None:
    """Three nodes, of which one dies while an image rolls: that spends the budget."""
    async with (
        cluster(3) as started,
        dashboard("--dir", started.directory) as shown,
        studio.page(shown.url) as page,
    ):
        await started.apply(daemonset("agent:2", "log as JSON"))
        await rolled_to(started, 1)
        await started.kill_node("node-0")
        await started.wait_not_ready("node-0", timeout_s=PATIENCE_S)
        await studio.keep(page, "dashboard-3")


async def fifty(studio: Studio) -> None:
    """Fifty nodes, hurt in every way while an image rolls; by day, by night, on a phone."""
    async with (
        cluster(50) as started,
        dashboard("--dir", started.directory) as shown,
        studio.page(shown.url) as page,
    ):
        await hurt(started)
        await started.apply(daemonset("agent:2", "log as JSON"))
        await rolled_to(started, 20)
        await studio.keep(page, "dashboard-50")
        await page.emulate_media(color_scheme="dark")
        await studio.keep(page, "dashboard-50-dark")
        await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        await page.emulate_media(color_scheme="light")
        await studio.keep(page, "dashboard-phone")


async def thousand(studio: Studio) -> None:
    """A thousand nodes; an image rolls, and a twentieth of them is gone."""
    async with (
        cluster(1000, nodes_per_agent=50) as started,
        dashboard("--dir", started.directory) as shown,
        studio.page(shown.url) as page,
    ):
        await started.kill_node("node-400")
        await started.wait_not_ready("node-400", timeout_s=PATIENCE_S)
        await started.apply(daemonset("agent:2", "log as JSON"))
        await rolled_to(started, 500)
        await studio.keep(page, "dashboard-1000")


async def film(studio: Studio) -> None:
    """Twelve nodes: an image rolls, a node dies, and comes back."""
    async with (
        cluster(12) as started,
        dashboard("--dir", started.directory) as shown,
        studio.page(shown.url, FILM) as page,
    ):

        async def acts() -> None:
            await asyncio.sleep(1.0)
            await started.apply(daemonset("agent:2", "log as JSON"))
            await rolled_to(started, 4)
            await started.kill_node("node-7")
            await started.wait_not_ready("node-7", timeout_s=PATIENCE_S)
            await asyncio.sleep(1.0)
            await started.start_node("node-7")
            await started.wait_rolled_out("agent", timeout_s=PATIENCE_S)
            await asyncio.sleep(2.0)

        await studio.film(page, "dashboard", acts)


async def watch(studio: Studio) -> None:
    """The same in a terminal."""
    async with (
        cluster(12) as started,
        on_a_terminal([*KUBEHERD, "watch", "--dir", str(started.directory)]) as terminal,
    ):
        await started.apply(daemonset("agent:2", "log as JSON"))
        await rolled_to(started, 4)
        await hurt(started)
        await asyncio.sleep(DRAWN_S)
        studio.write_text("watch.svg", terminal.picture("kubeherd watch"))


async def failure(studio: Studio) -> None:
    """A recorded run: a zone goes dark while an image rolls; rewound to the middle of it."""
    with TemporaryDirectory() as directory:
        history = Path(directory) / "zone-outage.jsonl"
        words = ("chaos", "run", "zone-outage", "--simulate", "--seed", "7", "--record")
        process = await asyncio.create_subprocess_exec(*KUBEHERD, *words, str(history))
        if await process.wait():
            raise SystemExit("the run did not hold")
        dark = next(one.at for one in files.read(history) if isinstance(one, FaultBegan))
        async with dashboard("--history", history) as shown, studio.page(shown.url) as page:
            await page.goto(f"{shown.origin}/#/timeline?t={dark + INTO_S}")
            await studio.keep(page, "dashboard-timeline")


SCENES: Final = {one.__name__: one for one in (three, fifty, thousand, failure, film, watch)}


async def make(scenes: Sequence[str], output: Path) -> None:
    """Make the pictures of these scenes."""
    async with chromium() as browser:
        studio = Studio(browser, output)
        for scene in scenes:
            await SCENES[scene](studio)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    asyncio.run(make(options.only, options.output))


if __name__ == "__main__":
    main()
