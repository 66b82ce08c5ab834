"""A trial of a client: it mirrors pods and calls a few times, is hurt while pods come and go, and
is healed. `clients_under_faults.py` runs them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import kubernetes
import msgspec
from kubernetes.client import ApiException

import kubeherd
from kubeherd.faults import Clients, Effect, effects
from kubeherd.faults.effects import Direction, Moment
from trials.mirroring import NAMESPACE, Client, Mirror, said

OBSERVER = "kubeherd-chaos/observer"
"""Nothing hurts this User-Agent."""
FAULT_S = 1.5
"""Real seconds: the first attempt of a call is given up, a second one is under way."""
PATIENCE_S = 60.0
"""For what nothing hurts, on a busy machine."""
WRITES = ("create", "update", "patch", "delete")

FAULTS: Mapping[str, Sequence[Effect]] = {
    "requests-lost": (effects.Partition(direction=Direction.REQUESTS),),
    "answers-lost": (effects.Partition(direction=Direction.ANSWERS),),
    "broken-after-writes": (effects.ApiDrop(moment=Moment.AFTER, verbs=WRITES),),
    "stale-lists": (
        effects.StaleList(all=True, revisions=20),
        effects.Expire(),
        effects.WatchEnd(),
    ),
    "expired": (effects.Expire(), effects.WatchEnd()),
}


class Hurting(msgspec.Struct):
    """Who begins and ends faults of clients."""

    begin: Callable[[Effect, Clients], object]
    undo: Callable[[], object]


class Trial(msgspec.Struct, kw_only=True):
    """How a client fared."""

    client: str
    version: str
    fault: str
    meanwhile: str
    """Its mirror at the end of the fault, against the cluster."""
    after_s: float | None
    """So long after healing its mirror was right; None: it never was."""
    left: str = ""
    """What was wrong with it then."""
    errors: Mapping[str, int]
    calls: Sequence[str]
    """What its own calls were answered."""

    def __str__(self) -> str:
        healed = "never" if self.after_s is None else f"after {self.after_s:.1f} s"
        errors = ", ".join(f"{name} {number}x" for name, number in self.errors.items()) or "-"
        calls = ", ".join(self.calls) or "-"
        return (
            f"| {self.client} | {self.version} | {self.fault} | {self.meanwhile} | "
            f"{healed}{self.left and ': ' + self.left} | {errors} | {calls} |"
        )


class World:
    """The cluster as it is, seen and changed by somebody whom no fault hurts."""

    def __init__(self, kubeconfig: Path) -> None:
        self.api = kubeherd.clients.kubernetes(kubeconfig)
        self.api.user_agent = OBSERVER
        self.core: Any = kubernetes.client.CoreV1Api(self.api)

    def pods(self) -> Mirror:
        """Name to uid."""
        found = self.core.list_namespaced_pod(NAMESPACE).items
        return {pod.metadata.name: pod.metadata.uid for pod in found}

    def make(self, *names: str) -> None:
        """Pods."""
        for name in names:
            spec = {"nodeName": "node-0", "containers": [{"name": "main", "image": "app:1"}]}
            self.core.create_namespaced_pod(NAMESPACE, {"metadata": {"name": name}, "spec": spec})

    def drop(self, *names: str) -> None:
        """Pods, at once."""
        for name in names:
            self.core.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=0)

    def clear(self) -> None:
        """All that a trial left."""
        self.drop(*self.pods())
        for name in ("made", "changed", "dropped"):
            with suppress(ApiException):
                self.core.delete_namespaced_config_map(name, NAMESPACE)

    def config_map(self, name: str) -> str:
        """Make a ConfigMap; its resourceVersion."""
        made = self.core.create_namespaced_config_map(NAMESPACE, config_map({"name": name}))
        return str(made.metadata.resource_version)


def difference(mirror: Mapping[str, str], truth: Mirror) -> str:
    """What is wrong with a mirror; "" if nothing."""
    missing = sorted(truth.keys() - mirror.keys())
    ghosts = sorted(mirror.keys() - truth.keys())
    old = sorted(name for name in truth if mirror.get(name, truth[name]) != truth[name])
    wrong = {"misses": missing, "still has": ghosts, "has an older": old}
    return ", ".join(f"{what} {' '.join(names)}" for what, names in wrong.items() if names)


async def until_right(client: Client, world: World, timeout_s: float) -> float | None:
    """Real seconds until the mirror is the truth; None: it is not within `timeout_s`."""
    began_s = time.monotonic()
    truth = await asyncio.to_thread(world.pods)
    while difference(client.mirror, truth):
        if time.monotonic() - began_s > timeout_s:
            return None
        await asyncio.sleep(0.02)
    return time.monotonic() - began_s


class Calls:
    """A create, a replace and a delete of ConfigMaps by a client, under the fault, and again after
    healing where that failed, as a careful program does it."""

    def __init__(self, client: Client, world: World) -> None:
        revision = world.config_map("changed")
        world.config_map("dropped")
        changed = {"name": "changed", "resourceVersion": revision}
        self._calls: Mapping[str, Callable[[], Awaitable[None]]] = {
            "create": lambda: client.create(config_map({"name": "made"})),
            "replace": lambda: client.replace(config_map(changed, "2")),
            "delete": lambda: client.delete("dropped"),
        }
        self.answers: dict[str, list[str]] = {what: [] for what in self._calls}

    async def make(self) -> None:
        """Those that are not done yet, at the same time."""
        open_ones = [what for what, answers in self.answers.items() if "done" not in answers]
        await asyncio.gather(*map(self._one, open_ones))

    async def _one(self, what: str) -> None:
        try:
            await self._calls[what]()
        except Exception as error:  # what it says is the result
            self.answers[what].append(said(error))
        else:
            self.answers[what].append("done")

    def told(self) -> list[str]:
        """In words."""
        return [f"{what}: {' then '.join(answers)}" for what, answers in self.answers.items()]


def config_map(metadata: Mapping[str, str], number: str = "1") -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"n": number}}


async def trial(
    client: Client, name: str, hurting: Hurting, world: World, heals_within_s: float
) -> Trial:
    """Hurt a client by the faults of this name while pods come and go."""
    await asyncio.to_thread(world.make, "kept", "goes-before", "goes", "again")
    calls = await asyncio.to_thread(Calls, client, world)
    await client.start()
    try:
        if await until_right(client, world, PATIENCE_S) is None:
            raise RuntimeError(f"{client.agent} does not even work unhurt: {client.errors}")
        await asyncio.to_thread(world.drop, "goes-before")
        await until_right(client, world, PATIENCE_S)
        for effect in FAULTS[name]:
            await asyncio.to_thread(hurting.begin, effect, Clients(user_agent=client.agent))
        calling = asyncio.create_task(calls.make())
        await asyncio.to_thread(world.drop, "goes", "again")
        await asyncio.to_thread(world.make, "comes", "again")
        await asyncio.sleep(FAULT_S)
        meanwhile = difference(client.mirror, await asyncio.to_thread(world.pods))
        await asyncio.to_thread(hurting.undo)
        after_s = await until_right(client, world, heals_within_s)
        left = difference(client.mirror, await asyncio.to_thread(world.pods))
        errors = dict(client.errors)
        await calling
        client.call_timeout_s = PATIENCE_S
        await calls.make()
    finally:
        await client.stop()
        await asyncio.to_thread(hurting.undo)
        await asyncio.to_thread(world.clear)
    return Trial(
        client=client.agent,
        version=client.version,
        fault=name,
        meanwhile=meanwhile or "right",
        after_s=after_s,
        left=left,
        errors=errors,
        calls=calls.told(),
    )
