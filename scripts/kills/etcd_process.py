"""An etcd that is killed and frozen, and what it says itself about all that was written.

It is asked over its HTTP gateway, not with the code that is tested.
"""

import asyncio
import base64
import json
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from kills.clients import token_of
from kills.history import Change, Event, Key, State
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.launcher.processes.etcd import binary

START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0
LOOK_S = 0.02
MARK = b"/mark"
PREFIXES = {b"/registry/configmaps/default/": "configmaps", b"/registry/minions/": "nodes"}
_EVERYTHING = b"\0"


@dataclass(frozen=True)
class EtcdHost:
    """Where it runs."""

    addresses: Sequence[str] = ("127.0.0.1",)
    """Who asks what really happened uses the first."""
    prefix: Sequence[str] = ()
    """What starts a process there."""


_LOOPBACK = EtcdHost()


class Etcd:
    """One member, one process after the other, which listens at all addresses of its host."""

    def __init__(
        self, directory: Path, port: int, peer_port: int, host: EtcdHost = _LOOPBACK
    ) -> None:
        self.port = port
        self._url = f"http://{host.addresses[0]}:{port}"
        self._urls = ",".join(f"http://{address}:{port}" for address in host.addresses)
        self._peer_url = f"http://127.0.0.1:{peer_port}"
        self._directory = directory
        self._prefix = host.prefix
        self._process: asyncio.subprocess.Process

    async def start(self) -> None:
        """Begin a life, and wait until it answers."""
        self._directory.mkdir(parents=True, exist_ok=True)
        options = {
            "name": "one",
            "data-dir": self._directory / "data",
            "listen-client-urls": self._urls,
            "advertise-client-urls": self._url,
            "listen-peer-urls": self._peer_url,
            "initial-advertise-peer-urls": self._peer_url,
            "initial-cluster": f"one={self._peer_url}",
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        with (self._directory / "etcd.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._prefix, binary(), *flags, stdout=log, stderr=log
            )
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await self._answers():  # noqa: ASYNC110 - another process tells nobody
                await asyncio.sleep(LOOK_S)

    async def _answers(self) -> bool:
        if self._process.returncode is not None:
            raise RuntimeError(f"etcd ended: see {self._directory / 'etcd.log'}")
        try:
            await self._ask("range", {"key": _encoded(MARK)})
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone; what it has on disk stays."""
        if self._process.returncode is None:
            self._process.kill()
        await asyncio.wait_for(self._process.wait(), END_TIMEOUT_S)

    async def mark(self) -> int:
        """Write what no API server shows; its revision is newer than all that was written."""
        answer = await self._ask("put", {"key": _encoded(MARK), "value": ""})
        return int(answer["header"]["revision"])

    async def events(self, after: int) -> tuple[Mapping[str, Sequence[Event]], int]:
        """All that happened to each resource after a revision, and until which one."""
        mark = await self.mark()
        found: dict[str, list[Event]] = {resource: [] for resource in PREFIXES.values()}
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            async for event in self._watch(after + 1):
                if int(event["kv"]["mod_revision"]) >= mark:
                    break
                key = _key(base64.b64decode(event["kv"]["key"]))
                if key is not None:
                    found[key[0]].append(_event(key, event))
        return found, mark

    async def _watch(self, first: int) -> AsyncIterator[JsonObject]:
        body = {
            "key": _encoded(_EVERYTHING),
            "range_end": _encoded(_EVERYTHING),
            "start_revision": str(first),
            "prev_kv": True,
        }
        async with (
            aiohttp.ClientSession(read_bufsize=2**24) as session,
            session.post(f"{self._url}/v3/watch", json={"create_request": body}) as response,
        ):
            async for line in response.content:
                result = json.loads(line)["result"]
                if result.get("canceled"):
                    raise RuntimeError(f"etcd does not tell its history: {result}")
                for event in result.get("events", ()):
                    yield event

    async def _ask(self, what: str, body: JsonObject) -> JsonObject:
        timeout = aiohttp.ClientTimeout(ANSWER_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
            session.post(f"{self._url}/v3/kv/{what}", json=body) as response,
        ):
            answer: JsonObject = await response.json(content_type=None)
            return answer


def _encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _key(name: bytes) -> Key | None:
    for prefix, resource in PREFIXES.items():
        if name.startswith(prefix):
            return resource, name.removeprefix(prefix).decode()
    return None


def _event(key: Key, event: JsonObject) -> Event:
    """An event as a watcher of an API server has to be told it."""
    kv = event["kv"]
    gone = event.get("type") == "DELETE"
    tree = json.loads(base64.b64decode((event["prev_kv"] if gone else kv)["value"]))
    change = Change.ADDED if kv.get("version") == "1" else Change.MODIFIED
    revision = int(kv["mod_revision"])
    state = State(revision, token_of(key[0], tree), tree["metadata"]["uid"])
    return Event(Change.DELETED if gone else change, key, state)
