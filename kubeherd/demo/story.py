"""A DaemonSet's life on real processes, told in the terminal: what `kubeherd demo` shows.

Every step states what should happen and waits until it holds; the demo ends with exit code 1 at the
first one that does not. It uses a cluster of its own in a temporary directory.
"""

import asyncio
import re
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import yaml
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress
from rich.rule import Rule
from rich.table import Table

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CONTROLLERREVISIONS, DAEMONSETS, NODES
from kubeherd.cluster.api.objects import ControllerRevision, Pod
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.control import Op
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.settings import ClusterOptions
from kubeherd.cluster.launcher.view import ClusterView
from kubeherd.cluster.runtime import logging

MANIFEST = "fluentd-daemonset.yaml"
NAME, NAMESPACE = "fluentd-elasticsearch", "kube-system"
CHANGE_CAUSE = "kubernetes.io/change-cause"
NEW_IMAGE = "k8s.gcr.io/fluentd-elasticsearch:1.21"
STEP_TIMEOUT_S = 30.0

PICTURE_WIDTH = 100
"""Columns of the picture in the documentation."""
_FONT_FACE = re.compile(r"@font-face {.*?}", re.DOTALL)
"""Fonts that rich's pictures load from the web: whoever reads the documentation has his own."""

console = Console(highlight=False)


class Demo:
    """The steps, on a running cluster."""

    def __init__(self, handle: ClusterHandle, view: ClusterView) -> None:
        self._handle = handle
        self._view = view
        self._steps = 0

    async def run(self) -> None:
        """All steps; TimeoutError at the first that does not hold."""
        await self._apply()
        await self._add_node()
        await self._kill_and_rejoin()
        await self._remove_node()
        await self._roll()
        await self._history()
        await self._roll_back()

    async def _apply(self) -> None:
        self._title(f"kubectl apply -f {MANIFEST}")
        manifest = yaml.safe_load(files("kubeherd.demo").joinpath(MANIFEST).read_text())
        manifest["metadata"]["annotations"] = {CHANGE_CAUSE: "the first version"}
        await self._view.client.create(DAEMONSETS, manifest)
        await self._holds(self._settled, "one ready pod on each of the 5 nodes")
        self._show()

    async def _add_node(self) -> None:
        self._title("kubeherd node add")
        added = (await self._node(Op.NODE_ADD, count=1))[0]
        await self._holds(lambda: added in self._ready_on(), f"the new {added} gets its pod")
        await self._holds(self._settled, "still one pod on every node")

    async def _kill_and_rejoin(self) -> None:
        self._title("kubeherd node kill node-2")
        uid, _ = self._pod_on("node-2")
        await self._node(Op.NODE_KILL, "node-2")
        await self._holds(
            lambda: "node-2" not in self._view.ready_nodes(), "node-2 falls silent: NotReady"
        )
        await self._holds(
            lambda: self._pod_on("node-2") == (uid, False),
            "its pod object stays, no longer ready",
        )
        self._show()
        self._title("kubeherd node start node-2")
        await self._node(Op.NODE_START, "node-2")
        await self._holds(lambda: "node-2" in self._view.ready_nodes(), "node-2 is back: Ready")
        await self._holds(
            lambda: self._pod_on("node-2") == (uid, True),
            "with the same pod, ready again",
        )

    async def _remove_node(self) -> None:
        self._title("kubeherd node rm node-4")
        await self._node(Op.NODE_REMOVE, "node-4")
        await self._view.client.delete(NODES, "node-4")
        await self._holds(
            lambda: all(pod.spec.node_name != "node-4" for pod in self._pods()),
            "node-4 is gone and takes its pod away",
        )
        await self._holds(self._settled, "one pod on every node that is left")

    async def _roll(self) -> None:
        self._title(f"kubectl set image ds/{NAME} {NEW_IMAGE}")
        await self._patch(NEW_IMAGE, "fluentd 1.21")
        await self._watch_rollout(NEW_IMAGE)
        self._show()

    async def _history(self) -> None:
        self._title(f"kubectl rollout history ds/{NAME}")
        revisions = await self._revisions()
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("REVISION")
        table.add_column("CHANGE-CAUSE")
        for revision in revisions:
            cause = revision.metadata.annotations.get(CHANGE_CAUSE, "<none>")
            table.add_row(str(revision.revision), cause)
        console.print(table)
        causes = [r.metadata.annotations.get(CHANGE_CAUSE) for r in revisions]
        await self._holds(
            lambda: causes == ["the first version", "fluentd 1.21"], "two revisions, with causes"
        )

    async def _roll_back(self) -> None:
        self._title(f"kubectl rollout undo ds/{NAME} --to-revision=1")
        first = (await self._revisions())[0]
        old_image = first.data["spec"]["template"]["spec"]["containers"][0]["image"]
        await self._view.client.patch(DAEMONSETS, NAME, first.data, NAMESPACE)
        await self._watch_rollout(old_image)
        numbers = [revision.revision for revision in await self._revisions()]
        await self._holds(lambda: numbers == [2, 3], "revision 1 is now the newest: 3")
        self._show()

    # --- looking and waiting ---

    def _pods(self) -> list[Pod]:
        return self._view.pods(NAME)

    def _pod_on(self, node: str) -> tuple[str, bool]:
        """The uid of the pod on a node and whether it is ready; no uid if there is none."""
        found = [pod for pod in self._pods() if pod.spec.node_name == node]
        return (found[0].metadata.uid, found[0].ready) if found else ("", False)

    def _ready_on(self) -> list[str]:
        return [pod.spec.node_name for pod in self._pods() if pod.ready]

    def _settled(self) -> bool:
        """Exactly one ready pod on every node, and the status of the DaemonSet says so."""
        daemonset = self._view.daemonset(NAMESPACE, NAME)
        nodes = sorted(self._view.nodes)
        return (
            daemonset is not None
            and [pod.spec.node_name for pod in self._pods()] == nodes
            and self._ready_on() == nodes
            and daemonset.status.observed_generation == daemonset.metadata.generation
            and daemonset.status.number_available == len(nodes)
            and daemonset.status.updated_number_scheduled == len(nodes)
        )

    def _updated(self, image: str) -> int:
        return sum(pod.spec.containers[0].image == image and pod.ready for pod in self._pods())

    async def _watch_rollout(self, image: str) -> None:
        """Wait for the end of a rolling update and draw its progress."""
        columns = (
            "  {task.description}",
            BarColumn(),
            "{task.completed}/{task.total} pods updated",
        )
        progress = Progress(*columns)
        bar = progress.add_task(image.rpartition("/")[2], total=len(self._view.nodes))

        def done() -> bool:
            updated = self._updated(image)
            progress.update(bar, completed=updated)
            return updated == len(self._view.nodes) and self._settled()

        with Live(progress, console=console, transient=not console.is_terminal):
            await self._view.until(done, f"rollout of {image}", STEP_TIMEOUT_S)
        self._tell(f"every node runs {image.rpartition('/')[2]}")

    async def _holds(self, condition: Callable[[], bool], what: str) -> None:
        with console.status(what):
            await self._view.until(condition, what, STEP_TIMEOUT_S)
        self._tell(what)

    async def _node(self, op: Op, *nodes: str, count: int = 0) -> list[str]:
        return list(await asyncio.to_thread(self._handle.node, op, *nodes, count=count))

    async def _patch(self, image: str, cause: str) -> JsonObject:
        containers = [{"name": NAME, "image": image}]
        patch = {
            "metadata": {"annotations": {CHANGE_CAUSE: cause}},
            "spec": {"template": {"spec": {"containers": containers}}},
        }
        return await self._view.client.patch(DAEMONSETS, NAME, patch, NAMESPACE)

    async def _revisions(self) -> list[ControllerRevision]:
        listed = await self._view.client.list(CONTROLLERREVISIONS, ControllerRevision, NAMESPACE)
        return sorted(listed.items, key=lambda revision: revision.revision)

    # --- telling ---

    def _title(self, command: str) -> None:
        self._steps += 1
        console.print()
        console.print(Rule(f"[bold]{self._steps}[/]  $ {command}", align="left", style="dim"))

    def _tell(self, what: str) -> None:
        console.print(f"  [green]✓[/] {what}")

    def _show(self) -> None:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in ("  NODE", "STATUS", "POD", "POD READY", "IMAGE"):
            table.add_column(column)
        ready = self._view.ready_nodes()
        pods = {pod.spec.node_name: pod for pod in self._pods()}
        for node in sorted(self._view.nodes):
            pod = pods.get(node)
            table.add_row(
                f"  {node}",
                "[green]Ready[/]" if node in ready else "[red]NotReady[/]",
                pod.metadata.name if pod else "-",
                _ready_text(pod),
                pod.spec.containers[0].image.rpartition("/")[2] if pod else "-",
            )
        console.print(table)


def _ready_text(pod: Pod | None) -> str:
    if pod is None:
        return "-"
    return "[green]yes[/]" if pod.ready else "[red]no[/]"


async def _steps(handle: ClusterHandle) -> None:
    async with handle.view() as view:
        nodes = set(handle.settings.node_names)
        await view.until(lambda: view.ready_nodes() >= nodes, "all nodes Ready", STEP_TIMEOUT_S)
        console.print(f"  [green]✓[/] {len(nodes)} nodes Ready, each a process of its own")
        await Demo(handle, view).run()


def show(speed: float) -> bool:
    """Tell the story, `speed` times as fast as the clock on the wall; False if it broke off."""
    logging.configure("demo", level="error")
    with tempfile.TemporaryDirectory(prefix="kubeherd-demo-") as temporary:
        directory = Path(temporary) / "herd"
        handle = ClusterHandle(
            directory, lifecycle.new_settings(ClusterOptions(speed=speed), nodes=5, seed=1)
        )
        console.print(Rule(f"$ kubeherd up --nodes 5 --speed {speed:g}", align="left", style="dim"))
        try:
            with handle:
                console.print(f"  [green]✓[/] API server at {handle.settings.server}")
                asyncio.run(_steps(handle))
                console.print()
                console.print(Rule("$ kubeherd down", align="left", style="dim"))
            if osproc.marked(directory):
                raise LauncherError("processes are left")
        except (TimeoutError, LauncherError, ApiError, TransportError) as error:
            console.print(f"  [red]✗ {error}[/]")
            return False
        console.print("  [green]✓[/] every process has ended")
        return True


def picture(speed: float, file: Path) -> bool:
    """As `show`, and what was shown as an SVG in `file`."""
    console.record, console.width = True, PICTURE_WIDTH
    holds = show(speed)
    drawn = console.export_svg(title="kubeherd demo")
    file.write_text(_FONT_FACE.sub("", drawn), encoding="utf-8")
    return holds
