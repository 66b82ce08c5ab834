"""Load an API server with writers and watchers of every kind, kill it, and check all they saw.

    python scripts/check_watches.py                          10 rounds of 6 kills, a random seed
    python scripts/check_watches.py --rounds 2 --seed 7      the same decisions again
    python scripts/check_watches.py --dir /tmp/x             keep the store and its log

The server remembers few events, so that old ones are compacted soon. Watchers list first, or ask
for the state as events, with a bookmark at its end or without; they select by namespace, name,
labels and the pods' node, read JSON, protobuf, Tables and metadata, stream or poll, are slow or
not, are ended by the server after seconds, killed with it, and resume. A round ends when all have
been told of the last writes; then every promise of `kubeherd.checks.watches` is checked.

Exit code 1, with what was wrong, if a promise was broken or nothing was there to check it against;
2 for wrong usage.
"""

import asyncio
import contextlib
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
from kills.clients import until_over
from kills.server import Server, conclude, free_port
from watches.clients import (
    NAMESPACES,
    RESOURCES,
    Plan,
    Recorder,
    Watcher,
    Writer,
    listed,
    path,
    plans,
)

from kubeherd.checks.watches import Promise, Verdict, unseen, verdicts
from kubeherd.checks.watchhistory import History
from kubeherd.cluster.client.http.transport import HttpTransport, from_kubeconfig
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.runtime.rng import Rng

HISTORY_EVENTS = 250
SPEED = 10.0
CATCH_UP_S = 40.0
WRITES = (5, 150)
"""How many are acknowledged between two kills, and before the end."""
STOPPING_S = 0.05
STOPPING = 0.2
"""The share of servers that are asked to stop before they are killed."""


@dataclass
class Report:
    """What was done and seen, and what was wrong."""

    kills: int = 0
    rounds: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    verdicts: dict[Promise, Verdict] = field(
        default_factory=lambda: {promise: Verdict() for promise in Promise}
    )
    wrong: list[str] = field(default_factory=list)

    def judge(self, recorder: Recorder) -> None:
        """Add what a round's history says."""
        self.rounds += 1
        self.seen += recorder.seen
        self.wrong += recorder.unexpected + unseen(recorder.history)
        for promise, verdict in verdicts(recorder.history).items():
            self.verdicts[promise].checked += verdict.checked
            self.wrong += [f"{promise}: {text}" for text in verdict.broken]

    @property
    def problems(self) -> list[str]:
        """What was wrong; a promise that was checked against nothing is wrong, too."""
        empty = [promise for promise, verdict in self.verdicts.items() if not verdict.checked]
        return [*self.wrong, *(f"{promise}: there was nothing to check" for promise in empty)]

    def __str__(self) -> str:
        seen = ", ".join(f"{number} {what}" for what, number in sorted(self.seen.items()))
        lines = [f"{self.rounds} rounds, {self.kills} kills", seen]
        lines += [
            f"{promise:13} checked {v.checked:9,} times" for promise, v in self.verdicts.items()
        ]
        return "\n".join(lines)


@dataclass
class Stage:
    """A server that can be started, and how its clients reach it."""

    server: Server
    transport: Callable[[], HttpTransport]
    rng: Rng
    report: Report = field(default_factory=Report)

    async def round(self, kills: int, writers: int, watchers: int) -> None:
        """One history: from a start that all know to an end that all have been told of."""
        recorder, rng = Recorder(HISTORY_EVENTS), self.rng.child(f"round {self.report.rounds}")
        reader = self.transport()
        start = {resource: await listed(reader, Plan(resource)) for resource in RESOURCES}
        recorder.history = History(start, recorder.window)
        recorder.newest = min(listing.revision for listing in start.values())
        recorder.serving.set()
        recorder.writing.set()
        pens = [Writer(self.transport(), recorder, rng.child(f"w{n}")) for n in range(writers)]
        eyes = [
            Watcher(f"watcher {number}", plan, self.transport(), recorder)
            for number, plan in enumerate(plans(watchers, rng))
        ]
        await until_over(self._fates(kills, recorder, pens, eyes, rng), [*pens, *eyes])
        self.report.judge(recorder)

    async def _fates(
        self, kills: int, recorder: Recorder, pens: list[Writer], eyes: list[Watcher], rng: Rng
    ) -> None:
        for _ in range(kills):
            await recorder.writes(rng.randint(*WRITES))
            if rng.random() < STOPPING:
                self.server.signal(signal.SIGTERM)
                await asyncio.sleep(rng.uniform(0, STOPPING_S))
            recorder.serving.clear()
            await self.server.kill()
            await self.server.spawn()
            await self.server.ready()
            recorder.serving.set()
            self.report.kills += 1
        await recorder.writes(2 * WRITES[1])
        recorder.rest()
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await asyncio.gather(*(pen.idle.wait() for pen in pens))
                ends = await self._ends(pens[0], recorder)
                for eye in eyes:
                    await eye.until(ends[eye.plan.resource, eye.plan.wanted.namespace])
        except TimeoutError:
            for eye in eyes:  # the checks say what they were not told
                if eye.watch is not None and not eye.watch.until:
                    eye.watch.until = recorder.newest
                    recorder.unexpected.append(f"{eye.name} is not told of the end: {eye.plan}")

    async def _ends(self, pen: Writer, recorder: Recorder) -> dict[tuple[str, str], int]:
        """The last write of each collection: every watcher of it selects its object."""
        ends = {}
        for resource in RESOURCES:
            for namespace in NAMESPACES:
                where = path(resource, namespace, "o0")
                await pen.send(resource, "DELETE", where, {"gracePeriodSeconds": 0})
                body = {
                    "metadata": {"name": "o0", "labels": {"colour": "red"}},
                    **({} if resource == "configmaps" else _ON_N1),
                }
                status = await pen.send(resource, "POST", path(resource, namespace), body)
                if status != 201:
                    raise RuntimeError(f"the last {resource} of {namespace}: {status}")
                ends[resource, namespace] = ends[resource, ""] = recorder.newest
        return ends


_ON_N1 = {
    "spec": {
        "nodeName": "n1",
        "automountServiceAccountToken": False,
        "containers": [{"name": "c", "image": "i"}],
    }
}


@contextlib.asynccontextmanager
async def stage(directory: Path, rng: Rng) -> AsyncIterator[Stage]:
    """A directory with certificates, a server that runs, and the namespaces."""
    rundir = RunDir(directory)
    rundir.prepare()
    port = free_port()
    ClusterPki.ensure(rundir, f"https://127.0.0.1:{port}")
    options = ("--speed", str(SPEED))
    server = Server(rundir.root, port, options, history_events=HISTORY_EVENTS)
    await server.open()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.close)

        def transport() -> HttpTransport:
            made = from_kubeconfig(rundir.kubeconfig)
            stack.push_async_callback(made.close)
            return made

        await server.spawn()
        await server.ready()
        pen = Writer(transport(), Recorder(HISTORY_EVENTS), rng)
        for name in NAMESPACES:
            await pen.send("", "POST", "/api/v1/namespaces", {"metadata": {"name": name}})
            account = {"metadata": {"name": "default"}}
            await pen.send("", "POST", path("serviceaccounts", name), account)
        yield Stage(server, transport, rng)


async def experiment(
    directory: Path,
    *,
    rng: Rng,
    rounds: int = 1,
    kills: int = 6,
    writers: int = 4,
    watchers: int = 24,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Run it; the report says what was wrong. RuntimeError if the server does not start again."""
    async with stage(directory, rng) as running:
        for number in range(rounds):
            await running.round(kills, writers, watchers)
            progress(f"round {number + 1}: {running.report.seen['events']} events")
            if running.report.wrong:
                break
        return running.report


@click.command(help=__doc__ and __doc__.replace("\n    python", "\n\n\b\n    python", 1))
@click.option("--rounds", type=click.IntRange(1), default=10, show_default=True)
@click.option("--kills", type=click.IntRange(0), default=6, show_default=True, help="Per round.")
@click.option("--seed", type=int, help="Makes the same decisions.  [default: random]")
@click.option("--writers", type=click.IntRange(1), default=4, show_default=True)
@click.option("--watchers", type=click.IntRange(4), default=24, show_default=True)
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), help="Keep the store and the log here."
)
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def main(
    rounds: int,
    kills: int,
    seed: int | None,
    writers: int,
    watchers: int,
    directory: Path | None,
    quiet: bool,
) -> None:
    """See the module."""
    rng = Rng(seed)
    click.echo(f"seed {rng.root_seed}: {rounds} rounds, {writers} writers, {watchers} watchers")
    with tempfile.TemporaryDirectory(prefix="kubeherd-watches-") as temporary:
        report = asyncio.run(
            experiment(
                directory or Path(temporary) / "herd",
                rng=rng,
                rounds=rounds,
                kills=kills,
                writers=writers,
                watchers=watchers,
                progress=lambda text: None if quiet else click.echo(text, err=True),
            )
        )
    conclude(report, report.problems, rng.root_seed, "every watch was " + ", ".join(Promise))


if __name__ == "__main__":
    main()
