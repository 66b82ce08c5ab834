"""What a request costs the API server, step by step: ``kubeherd bench --costs``.

An API server with its SQLite store serves over TLS in a process of its own; this one sends it one
kind of request after the other. Costs are CPU time of the server's process: of the thread that
serves by step (`steps`), the rest of it (HTTP, TLS, the event loop), and of the one that commits.
They change less than wall time does. What was spent is asked over the server's standard input: a
line is answered with a line, when the server has nothing left to do.
"""

import asyncio
import contextlib
import statistics
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
import orjson
import uvloop
from msgspec.structs import replace

from kubeherd.bench.measure import cluster
from kubeherd.bench.requests import AGENT, LEASES, Kind, Request, Who, kinds
from kubeherd.bench.steps import Meter, Step, metered
from kubeherd.bench.wire import JSON, Answer, Connection, connected, message
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.private import batch
from kubeherd.cluster.client.kubeconfig import ClusterAccess, load_kubeconfig
from kubeherd.cluster.launcher.directory.rundir import RunDir

if TYPE_CHECKING:
    from kubeherd.cluster.runtime.process import Lifecycle

REQUESTS: Final = 400
"""Of each kind in a round, `DEPTH` at a time."""
DEPTH: Final = 8
ROUNDS: Final = 3
BATCH: Final = 100
_FLEET: Final = "agent-0"
TIMEOUT_S: Final = 300.0
STOP_GRACE_PERIOD_S: Final = 20.0
IDLE_S: Final = 0.05
"""What is left to do after the last answer takes less."""


class Cost(msgspec.Struct):
    """Microseconds of CPU for one request."""

    request: str
    total_us: float
    """Of all the server's threads."""
    commit_us: float
    """Of those beside the one that serves."""
    rest_us: float
    """HTTP, TLS, tasks and the event loop."""
    steps_us: dict[Step, float]


def costs(requests: int = REQUESTS, rounds: int = ROUNDS) -> Iterator[Cost]:
    """The cost of each kind of request, from so many of each in so many rounds; RuntimeError if one
    could not be measured."""
    with cluster(nodes=2, nodes_per_agent=2) as handle:
        handle.down()
        yield from uvloop.run(_measure(handle.rundir, requests, rounds))


async def _measure(rundir: RunDir, requests: int, rounds: int) -> list[Cost]:
    with TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "kubeherd.bench.costs", str(rundir.root),
            stdin=PIPE, stdout=PIPE, stderr=said,
        )  # fmt: skip
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await _Sender(rundir, process).run(requests, rounds)
        except (OSError, RuntimeError, TimeoutError, msgspec.DecodeError) as error:
            said.seek(0)
            text = said.read().decode(errors="replace").strip()[-500:]
            raise RuntimeError(f"costs could not be measured: {error!r} {text}") from error
        finally:
            if process.stdin is not None:
                process.stdin.close()
            await _ended(process)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """The server ends when nobody asks it any more; if it does not, it is killed."""
    try:
        async with asyncio.timeout(STOP_GRACE_PERIOD_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def markdown(found: Sequence[Cost]) -> Iterator[str]:
    """A table, a request a row, in whole microseconds."""
    used = [step for step in Step if any(one.steps_us.get(step, 0) >= 0.5 for one in found)]
    yield f"| request | total | {' | '.join(used)} | rest | commit |"
    yield "|---|" + "---:|" * (len(used) + 3)
    for one in found:
        cells = [one.total_us, *(one.steps_us.get(step, 0) for step in used)]
        cells += [one.rest_us, one.commit_us]
        yield f"| {one.request} | {' | '.join(f'{cell:.0f}' for cell in cells)} |"


class _Spent(msgspec.Struct, frozen=True):
    """CPU seconds: of the thread that serves, of the whole process, of each step since the question
    before."""

    thread_s: float
    process_s: float
    steps_s: dict[Step, float]


class _Sender:
    """Sends requests to a server, and asks it what it spent."""

    def __init__(self, rundir: RunDir, server: asyncio.subprocess.Process) -> None:
        self._rundir = rundir
        self._server = server
        self._host = ""
        self._connections: dict[Who, list[Connection]] = {}
        self._tokens: dict[Who, str] = {}
        self._leases: dict[str, JsonObject] = {}

    async def run(self, requests: int, rounds: int) -> list[Cost]:
        """Measure everything so often, after a round that warms up; of each the median."""
        for who, kubeconfig in {
            Who.PERSON: self._rundir.kubeconfig,
            Who.SCHEDULER: self._rundir.scheduler_kubeconfig,
            Who.KUBELET: self._rundir.fleet_kubeconfig(_FLEET),
        }.items():
            await self._connect(who, load_kubeconfig(kubeconfig))
        token = await self._token("daemon-set-controller")
        self._tokens[Who.CONTROLLER] = f"Authorization: Bearer {token}\r\n"
        nobody = replace(load_kubeconfig(self._rundir.kubeconfig), certificate_pem="", key_pem="")
        await self._connect(Who.CONTROLLER, nobody)
        found = [
            await self._round(range(number * requests, (number + 1) * requests))
            for number in range(rounds + 1)
        ]
        return [_median(list(same)) for same in zip(*found[1:], strict=True)]

    async def _look(self) -> None:
        """See the Leases as they are now, as those who renew them know them."""
        asked = Request("GET", LEASES).bytes_for(self._host)
        answer = await self._connections[Who.PERSON][0].send(asked)
        for one in orjson.loads(answer.body)["items"]:
            self._leases[one["metadata"]["name"]] = one

    async def _token(self, account: str) -> str:
        """A token of a controller's account, which may not be there yet."""
        path = "/api/v1/namespaces/kube-system/serviceaccounts"
        made: JsonObject = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account},
        }
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        person = self._connections[Who.PERSON][0]
        await person.send(Request("POST", path, made).bytes_for(self._host))
        answer = await person.send(
            Request("POST", f"{path}/{account}/token", asked).bytes_for(self._host)
        )
        return str(orjson.loads(answer.body)["status"]["token"])

    async def _connect(self, who: Who, access: ClusterAccess) -> None:
        url = urlsplit(access.server)
        await _listening(url.hostname or "", url.port or 443)
        self._host = url.netloc
        self._connections[who] = await connected(access, DEPTH)

    async def _round(self, numbers: range) -> list[Cost]:
        return [await self._measured(kind, numbers) for kind in kinds(self._leases)]

    async def _measured(self, kind: Kind, numbers: range) -> Cost:
        send = self._batches if kind.batched else self._singly
        await self._look()
        messages = send(kind, numbers)
        before = await self._spent()
        await self._sent(kind, messages)
        after = await self._spent()
        served_s = after.thread_s - before.thread_s
        total_s = after.process_s - before.process_s
        steps = after.steps_s
        each_us = 1e6 / len(numbers)
        return Cost(
            kind.name,
            total_s * each_us,
            max(total_s - served_s, 0.0) * each_us,
            (served_s - sum(steps.values())) * each_us,
            {step: spent * each_us for step, spent in steps.items()},
        )

    def _singly(self, kind: Kind, numbers: range) -> list[bytes]:
        return [
            kind.make(number).bytes_for(self._host, self._tokens.get(kind.by, ""))
            for number in numbers
        ]

    def _batches(self, kind: Kind, numbers: range) -> list[bytes]:
        made = [kind.make(number) for number in numbers]
        return [
            message(
                "POST",
                batch.PATH,
                self._host,
                batch.encode(
                    [
                        batch.BatchedRequest(
                            one.verb, one.path, {}, one.content_type, JSON, orjson.dumps(one.body)
                        )
                        for one in made[start : start + BATCH]
                    ]
                ),
                "application/msgpack",
                AGENT,
            )
            for start in range(0, len(made), BATCH)
        ]

    async def _sent(self, kind: Kind, messages: list[bytes]) -> None:
        connections = self._connections[kind.by]
        answers: list[Answer] = await asyncio.gather(
            *(
                connections[number % len(connections)].send(message)
                for number, message in enumerate(messages)
            )
        )
        for answer in answers:
            statuses = [answer.status]
            if kind.batched and answer.status == 200:
                statuses = [one.status for one in batch.decode_answers(answer.body)]
            if any(status >= 300 for status in statuses):
                raise RuntimeError(f"{kind.name}: {max(statuses)} {answer.body[:300]!r}")

    async def _spent(self) -> _Spent:
        """What the server has spent, now that it has answered."""
        server = self._server
        if server.stdin is None or server.stdout is None:
            raise RuntimeError("the server cannot be asked")
        server.stdin.write(b"\n")
        return msgspec.json.decode(await server.stdout.readline(), type=_Spent)


async def _listening(host: str, port: int) -> None:
    """Return when the server, which is about to start, listens; TimeoutError."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                return
            await asyncio.sleep(0.05)


def _median(same: Sequence[Cost]) -> Cost:
    def of(values: Iterator[float]) -> float:
        return round(statistics.median(values), 2)

    return Cost(
        same[0].request,
        of(one.total_us for one in same),
        of(one.commit_us for one in same),
        of(one.rest_us for one in same),
        {step: of(one.steps_us[step] for one in same) for step in Step},
    )


# --- the process that is measured ---


async def _answer(meter: Meter, lifecycle: "Lifecycle") -> None:
    """Tell what was spent, as often as asked; stop the server when nobody asks any more."""
    loop, questions = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(questions), sys.stdin)
    while await questions.readline():
        await asyncio.sleep(IDLE_S)
        spent = _Spent(time.thread_time(), time.process_time(), meter.spent_s())
        meter.reset()
        print(msgspec.json.encode(spent).decode(), flush=True)
    lifecycle.stop.set()


def main(root: Path) -> int:
    """Serve the cluster in this directory, and tell what requests cost."""
    from kubeherd.cluster.apiserver.__main__ import arguments, serve  # noqa: PLC0415 - not for all
    from kubeherd.cluster.runtime import process  # noqa: PLC0415

    port = urlsplit(load_kubeconfig(RunDir(root).kubeconfig).server).port
    options = arguments(["--dir", str(root), "--port", str(port)])

    async def measured(lifecycle: process.Lifecycle) -> None:
        meter = Meter()
        meter.reset()
        with metered(meter):
            async with asyncio.TaskGroup() as tasks:
                answering = tasks.create_task(_answer(meter, lifecycle))
                await serve(options, lifecycle)
                answering.cancel()

    return process.run(measured, "costs", log_level="error")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
