"""The dashboard of a cluster that lives, asked as its page asks it; no browser."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import kubeherd
from kubeherd.cluster.launcher.directory.rundir import RunDir

pytestmark = pytest.mark.integration

COMMAND = [sys.executable, "-m", "kubeherd"]
TIMEOUT_S = 60.0
AGENT = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "agent", "namespace": "default"},
    "spec": {
        "selector": {"matchLabels": {"app": "agent"}},
        "template": {
            "metadata": {"labels": {"app": "agent"}},
            "spec": {"containers": [{"name": "c", "image": "agent:1"}]},
        },
    },
}
WORKLOAD = "DaemonSet default/agent"


class Page:
    """What a browser does that has the cookie."""

    def __init__(self, http: aiohttp.ClientSession, base: str, headers: dict[str, str]) -> None:
        self._http, self._base, self._headers = http, base, headers

    async def get(self, path: str) -> Any:
        async with self._http.get(self._base + path, headers=self._headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def refused(self, path: str) -> tuple[int, str]:
        async with self._http.get(self._base + path, headers=self._headers) as answer:
            return answer.status, (await answer.json())["error"]

    async def act(self, **wanted: object) -> tuple[int, dict[str, Any]]:
        async with self._http.post(
            f"{self._base}/api/action", headers=self._headers, json=wanted
        ) as answer:
            return answer.status, await answer.json()

    async def done(self, **wanted: object) -> str:
        status, answer = await self.act(**wanted)
        assert (status, answer.get("done")) == (200, True), answer
        return str(answer["command"])

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        """Follow the stream until a state or a change fulfils this."""
        async with (
            asyncio.timeout(TIMEOUT_S),
            self._http.get(f"{self._base}/api/stream", headers=self._headers) as answer,
        ):
            async for line in answer.content:
                if line.startswith(b"data: ") and holds(json.loads(line[6:])):
                    return


@asynccontextmanager
async def entered(url: str) -> AsyncIterator[Page]:
    """A page that has used this address up."""
    base = url.partition("/?")[0]
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=2**22
    ) as http:
        async with http.get(url, allow_redirects=False) as answer:
            headers = {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}
        page = Page(http, base, headers)
        headers["X-Kubeherd-Csrf"] = (await page.get("/api/session"))["csrf"]
        yield page


def tile(seen: dict[str, Any], name: str) -> dict[str, Any]:
    return next((one for one in seen.get("nodes", ()) if one["name"] == name), {})


def test_a_cluster_is_shown_and_acted_on(kubeherd_cluster: kubeherd.Cluster):
    cluster = kubeherd_cluster
    first, second = cluster.node_names[:2]
    cluster.apply(AGENT)
    cluster.wait_rolled_out("agent")

    async def story(url: str) -> None:
        async with entered(url) as page:
            await follows_a_kill(page, first)
            await rolls_out_and_back(page, cluster)
            await hurts_and_heals(page, second, f"node-{len(cluster.node_names)}")

    command = [*COMMAND, "dashboard", "--dir", str(cluster.directory), "--no-open", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            asyncio.run(story(process.stdout.readline().strip()))
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIMEOUT_S) == 0
        finally:
            process.kill()


async def follows_a_kill(page: Page, name: str) -> None:
    killed = asyncio.create_task(page.until(lambda seen: tile(seen, name).get("process") == "down"))
    assert (await page.done(action="kill", node=name)).startswith(f"kubeherd node kill {name} ")
    await killed
    assert (await page.act(action="kill", node="nobody"))[0] == 404
    await page.done(action="start", node=name)
    await page.until(lambda seen: bool(tile(seen, name)) and "process" not in tile(seen, name))
    log = await page.get(f"/api/log?process={name}&lines=1")
    assert json.loads(log["lines"][0])["event"] == "ready"


async def rolls_out_and_back(page: Page, cluster: kubeherd.Cluster) -> None:
    def images() -> str:
        spec = cluster.get("DaemonSet", "agent")["spec"]["template"]["spec"]
        return str(spec["containers"][0]["image"])

    await page.done(action="set-image", workload=WORKLOAD, image="agent:2", dry_run=False)
    assert images() == "agent:2"
    cluster.wait_rolled_out("agent")
    await page.until(
        lambda seen: any(len(one.get("revisions", ())) == 2 for one in seen.get("rollouts", ()))
    )
    diff = await page.get("/api/diff?workload=DaemonSet%20default/agent&from=1&to=2")
    assert ["+", "  - image: agent:2"] in diff["lines"]
    await page.done(action="roll-back", workload=WORKLOAD)
    assert images() == "agent:1"
    oldest = (await page.get("/api/range"))["oldest"]
    agent = f"/api/object?resource=daemonsets.apps&namespace=default&name=agent&t={oldest + 0.001}"
    then = await page.get(agent)
    assert then["spec"]["template"]["spec"]["containers"][0]["image"] == "agent:1"


async def hurts_and_heals(page: Page, name: str, added: str) -> None:
    await page.done(action="cordon", node=name)
    await page.until(lambda seen: tile(seen, name).get("cordoned") is True)
    await page.done(action="drain", node=name)
    await page.done(action="uncordon", node=name)
    await page.done(action="partition", node=name)
    await page.until(lambda seen: tile(seen, name).get("faults") == ["partition"])
    assert (await page.done(action="heal", fault="partition")).startswith("kubeherd fault undo")
    oldest = (await page.get("/api/range"))["oldest"]
    await page.done(action="add-nodes", count=1)
    await page.until(lambda seen: bool(tile(seen, added)))
    status, why = await page.refused(f"/api/object?resource=nodes&name={added}&t={oldest + 0.001}")
    assert (status, why) == (404, f"nodes {added} was not there yet")
    assert (await page.refused("/api/log?pod=x"))[0] == 400
    status, answer = await page.act(action="speed", speed=99999)
    assert (status, answer["error"]) == (400, "a speed is from 0.001 to 10000")
    assert (await page.done(action="speed", speed=5)).startswith("kubeherd speed 5 ")
    await page.until(lambda seen: seen["speed"] == 5)


def test_a_dashboard_that_is_a_process_of_the_cluster(tmp_path: Path):
    rundir = RunDir(tmp_path / "c")

    def run(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [*COMMAND, *words, "--dir", str(rundir.root)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + (done.stderr if code else "")

    async def look(url: str) -> None:
        async with entered(url) as page:
            assert len((await page.get("/api/state"))["nodes"]) == 1
            assert (await page.get("/api/session"))["live"] is True

    try:
        shown = run("up", "--nodes", "1", "--store", "memory", "--speed", "20", "--dashboard")
        asyncio.run(look(shown.split()[-1]))
        asyncio.run(look(run("dashboard", "--url").strip()))
        assert "has a dashboard" in run("dashboard", code=1)
        assert "token" not in rundir.log("dashboard").read_text()
    finally:
        run("down")
    assert not rundir.dashboard_socket.exists()
