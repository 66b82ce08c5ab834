"""The example operator (examples/operator-kopf) under faults: does it report on every DaemonSet in
the end, and how often does it say so?"""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

import kubernetes
from kubernetes.client import ApiException

from kubeherd.faults import Clients
from trials.faults import FAULTS, Hurting, Trial, World
from trials.mirroring import NAMESPACE

OPERATOR = Path(__file__).parents[2] / "examples" / "operator-kopf" / "daemonset_reports.py"
AGENTS = ("kopf/*", "OpenAPI-Generator/*")
"""What watches and patches, and what the handlers write with."""
FAULT_S = 3.0
STARTS_WITHIN_S = 100.0
EXPECTED = Counter(
    {"Reported before": 2, "Reported gone": 1, "Reported during": 1, "Goodbye gone": 1}
)
"""Events: of each reason and DaemonSet."""


def daemon_set(name: str) -> dict[str, Any]:
    """One that wants a report."""
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "app:1"}]},
    }
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return {"metadata": {"name": name, "labels": {"report": "yes"}}, "spec": spec}


class Reports:
    """What the operator is to do, and what it did."""

    def __init__(self, world: World) -> None:
        self._core = world.core
        self._apps: Any = kubernetes.client.AppsV1Api(world.api)

    def begin(self) -> None:
        """Before the fault."""
        for name in ("before", "gone"):
            self._apps.create_namespaced_daemon_set(NAMESPACE, daemon_set(name))

    def go_on(self) -> None:
        """Under the fault: a change, a creation, a deletion."""
        container = {"name": "main", "image": "app:2"}
        patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
        self._apps.patch_namespaced_daemon_set("before", NAMESPACE, patch)
        self._apps.create_namespaced_daemon_set(NAMESPACE, daemon_set("during"))
        self._apps.delete_namespaced_daemon_set("gone", NAMESPACE)

    def images(self) -> dict[str, str]:
        """Of the reports that there are, by DaemonSet."""
        found = self._core.list_namespaced_config_map(NAMESPACE).items
        ours = [one for one in found if one.metadata.name.endswith("-report")]
        return {one.metadata.name.removesuffix("-report"): one.data["image"] for one in ours}

    def daemon_sets(self) -> set[str]:
        """Their names."""
        return {one.metadata.name for one in self._apps.list_namespaced_daemon_set(NAMESPACE).items}

    def wrong(self) -> str:
        """What is not as it should be after the fault; "" if nothing."""
        images, there = self.images(), self.daemon_sets()
        wrong = []
        if images.get("before") != "app:2":
            wrong.append("before not changed")
        if "during" not in images:
            wrong.append("during not reported")
        if "gone" in there:
            wrong.append("gone kept by its finalizer")
        return ", ".join(wrong)

    def events(self) -> Counter[str]:
        """How often it said what of whom."""
        found = self._core.list_namespaced_event(NAMESPACE).items
        said = ((event.reason, event.involved_object.name) for event in found)
        return Counter(
            f"{reason} {name}" for reason, name in said if reason in ("Reported", "Goodbye")
        )

    def clear(self) -> None:
        """Everything goes, also what has a finalizer."""
        for name in self.daemon_sets():
            bare = {"metadata": {"finalizers": None}}
            self._apps.delete_namespaced_daemon_set(name, NAMESPACE)
            try:
                self._apps.patch_namespaced_daemon_set(name, NAMESPACE, bare)
            except ApiException as error:
                if error.status != 404:
                    raise
        self._core.delete_collection_namespaced_event(NAMESPACE)
        while self.images():
            time.sleep(0.05)


class Operator:
    """Its process."""

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        self._log = log
        command = [sys.executable, "-m", "kopf", "run", "--standalone", "--namespace", NAMESPACE]
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [*command, str(OPERATOR)],
                env=os.environ | {"KUBECONFIG": str(kubeconfig)},
                stdout=file,
                stderr=file,
            )

    def errors(self) -> Counter[str]:
        """What it complained of, by class of error."""
        found = Counter[str]()
        for line in self._log.read_text().splitlines():
            kind = line.partition(":")[0]
            if kind.endswith(("Error", "Exception")) and " " not in kind:
                found[kind.rpartition(".")[2]] += 1
            if "will retry" in line:
                found["repeats"] += 1
        if (code := self._process.poll()) is not None:
            found[f"exit {code}"] += 1
        return found

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)


async def until(holds: Any, timeout_s: float) -> float | None:
    """Real seconds until it holds; None: it does not within `timeout_s`."""
    began_s = time.monotonic()
    while not await asyncio.to_thread(holds):
        if time.monotonic() - began_s > timeout_s:
            return None
        await asyncio.sleep(0.05)
    return time.monotonic() - began_s


async def operator_trial(
    kubeconfig: Path, name: str, hurting: Hurting, world: World, log: Path
) -> Trial:
    """Hurt the operator by the faults of this name while it has work."""
    reports = Reports(world)
    await asyncio.to_thread(reports.begin)
    operator = Operator(kubeconfig, log)
    try:
        if await until(lambda: len(reports.images()) == 2, STARTS_WITHIN_S) is None:
            raise RuntimeError(f"the operator does not even work unhurt: {operator.errors()}")
        for effect in FAULTS[name]:
            for agent in AGENTS:
                await asyncio.to_thread(hurting.begin, effect, Clients(user_agent=agent))
        await asyncio.to_thread(reports.go_on)
        await asyncio.sleep(FAULT_S)
        meanwhile = await asyncio.to_thread(reports.wrong)
        await asyncio.to_thread(hurting.undo)
        after_s = await until(lambda: not reports.wrong(), 60)
        await until(lambda: not EXPECTED - reports.events(), 10)
        events = await asyncio.to_thread(reports.events)
        left = await asyncio.to_thread(reports.wrong)
        errors = dict(operator.errors())
    finally:
        operator.stop()
        await asyncio.to_thread(hurting.undo)
        await asyncio.to_thread(reports.clear)
    return Trial(
        client="operator-kopf",
        version=f"kopf {metadata.version('kopf')}",
        fault=name,
        meanwhile=meanwhile or "right",
        after_s=after_s,
        left=left,
        errors=errors,
        calls=[
            f"{what}: {events[what]} events" for what in EXPECTED if events[what] != EXPECTED[what]
        ],
    )
