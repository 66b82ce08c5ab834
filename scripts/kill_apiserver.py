"""Kill an API server with SIGKILL, again and again, under writers and watchers; check all they saw.

    python scripts/kill_apiserver.py                        2000 kills, a random seed
    python scripts/kill_apiserver.py --kills 100 --seed 7   the same decisions again
    python scripts/kill_apiserver.py --dir /tmp/x           keep the store and its log

Kills come while it serves, starts (reads its store back), makes a checkpoint, or stops in order.
At every start and at the end both collections are listed. After every `--check-every` kills the
writers rest, the watchers catch up, and everything that anybody was told is checked
(`kills.history`): no acknowledged write lost, none invented or done twice, no revision that goes
back or means two things, no watch with a gap or a duplicate, no list that contradicts the watches.
The seed fixes the decisions of killer and writers, not how the operating system mixes them.

Exit code 1, with what was wrong, if the server broke a promise; 2 for wrong usage.
"""

import asyncio
import contextlib
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import click
from kills.clients import RESOURCES, Client, Recorder, Writer, until_over
from kills.history import History, Outcome, problems
from kills.readers import Watcher, listing
from kills.server import Server, conclude, free_port, pick

from kubeherd.cluster.client.http.transport import HttpTransport, from_kubeconfig
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.runtime.rng import Rng

CATCH_UP_S = 30.0
CHECKPOINT_S = 1.5
LOOK_S = 0.0005


class Moment(StrEnum):
    """When to kill."""

    SERVING = "serving"
    STARTING = "starting"
    CHECKPOINT = "checkpoint"
    STOPPING = "stopping"


MOMENTS = {Moment.SERVING: 62, Moment.STARTING: 22, Moment.CHECKPOINT: 4, Moment.STOPPING: 12}
"""How often, of a hundred."""
SERVING_S = (0.005, 0.15)
STARTING_S = (0.0, 0.09)
STOPPING_S = (0.0, 0.03)


@dataclass
class Report:
    """What was done, and what was wrong."""

    kills: Counter[Moment] = field(default_factory=Counter)
    checkpoints: int = 0
    down_s: list[float] = field(default_factory=list)
    writes: Counter[str] = field(default_factory=Counter)
    events: int = 0
    lists: int = 0
    expired: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = ", ".join(f"{number} {moment}" for moment, number in self.kills.most_common())
        writes = ", ".join(f"{number} {what}" for what, number in self.writes.most_common())
        down_s = sorted(self.down_s) or [0.0]
        return (
            f"{self.kills.total()} kills ({kills}; {self.checkpoints} checkpoints hit)\n"
            f"writes: {writes}\n"
            f"{self.events} watch events, {self.lists} lists, {self.expired} watches expired\n"
            f"down: median {down_s[len(down_s) // 2]:.3f} s, longest {down_s[-1]:.3f} s"
        )


class Experiment:
    """One server, its clients, and the killer."""

    def __init__(self, server: Server, reader: HttpTransport, rng: Rng) -> None:
        self.server = server
        self.recorder = Recorder()
        self.report = Report()
        self.writers: list[Writer] = []
        self.watchers: list[Watcher] = []
        self._reader = reader
        self._rng = rng

    async def run(self, kills: int, check_every: int, progress: Callable[[str], None]) -> None:
        """Kill so often; ends early when something is wrong."""
        await self._start()
        await self._begin()
        self.recorder.writing.set()
        for number in range(1, kills + 1):
            moment = pick(self._rng, MOMENTS)
            await self._kill(moment)
            self.report.kills[moment] += 1
            await self._start()
            if number % check_every == 0 or number == kills:
                await self._check()
                progress(f"{number} kills, {self.recorder.outcomes[Outcome.DONE]} writes done")
                if self.report.wrong:
                    break

    async def _start(self) -> None:
        """A life that serves, and the lists that its first reader sees."""
        began_s = time.monotonic()
        await self.server.spawn()
        await self.server.ready()
        self.report.down_s.append(time.monotonic() - began_s)
        self.recorder.serving.set()
        for resource in RESOURCES:
            await listing(self._reader, self.recorder, resource)
            self.report.lists += 1

    async def _kill(self, moment: Moment) -> None:
        rng = self._rng
        match moment:
            case Moment.SERVING:
                await asyncio.sleep(rng.uniform(*SERVING_S))
            case Moment.CHECKPOINT:
                await self._checkpoint()
            case Moment.STOPPING:
                await asyncio.sleep(rng.uniform(*SERVING_S) / 2)
                self.server.signal(signal.SIGTERM)
                await asyncio.sleep(rng.uniform(*STOPPING_S))
            case Moment.STARTING:
                self.recorder.serving.clear()
                await self.server.kill()
                await self.server.spawn()
                await asyncio.sleep(rng.uniform(*STARTING_S))
        self.recorder.serving.clear()
        await self.server.kill()

    async def _checkpoint(self) -> None:
        """Wait until the database itself is written to, which only a checkpoint does."""
        before = self.server.store.stat().st_mtime_ns
        end_s = time.monotonic() + CHECKPOINT_S
        self._write_large(True)
        while time.monotonic() < end_s:
            if self.server.store.stat().st_mtime_ns != before:
                self.report.checkpoints += 1
                break
            await asyncio.sleep(LOOK_S)
        self._write_large(False)

    def _write_large(self, large: bool) -> None:
        for writer in self.writers:
            writer.large = large

    async def _check(self) -> None:
        """Let everybody come to rest, look at all of it, and begin a new history."""
        self.recorder.writing.clear()
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await asyncio.gather(*(writer.idle.wait() for writer in self.writers))
                newest = {r: (await listing(self._reader, self.recorder, r)) for r in RESOURCES}
                for watcher in self.watchers:
                    states = newest[watcher.resource].states.values()
                    await watcher.until(max((state.revision for state in states), default=0))
        except TimeoutError:
            self.report.wrong.append("stuck: writers or watchers do not come to rest")
        self.report.wrong += self.recorder.unexpected + problems(self.recorder.history)
        await self._begin()
        self.recorder.writing.set()

    async def _begin(self) -> None:
        """A new history, from what there is now, in which all watchers go on."""
        start = {r: (await listing(self._reader, self.recorder, r)) for r in RESOURCES}
        self.recorder.history = History(start)
        for watcher in self.watchers:
            watcher.begin(start[watcher.resource])


@contextlib.asynccontextmanager
async def stage(
    directory: Path, writers: int, watchers: int, rng: Rng
) -> AsyncIterator[Experiment]:
    """A directory with certificates, a server that can be started, and its clients."""
    rundir = RunDir(directory)
    rundir.prepare()
    port = free_port()
    ClusterPki.ensure(rundir, f"https://127.0.0.1:{port}")
    server = Server(rundir.root, port)
    await server.open()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.close)

        def transport() -> HttpTransport:
            made = from_kubeconfig(rundir.kubeconfig)
            stack.push_async_callback(made.close)
            return made

        experiment = Experiment(server, transport(), rng.child("killer"))
        recorder = experiment.recorder
        for number in range(writers):
            name = f"w{number}"
            experiment.writers.append(Writer(name, transport(), recorder, rng.child(name)))
        for number in range(watchers):
            resource, polls = list(RESOURCES)[number % 2], number % 4 >= 2
            name = f"{'poll' if polls else 'stream'}-{number}-{resource}"
            experiment.watchers.append(Watcher(name, resource, transport(), recorder, polls=polls))
        yield experiment


async def experiment(
    directory: Path,
    *,
    kills: int,
    rng: Rng,
    writers: int = 4,
    watchers: int = 4,
    check_every: int = 50,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Run it; the report says what was wrong. RuntimeError if the server does not start again."""
    async with stage(directory, writers, watchers, rng) as running:
        clients: list[Client] = [*running.writers, *running.watchers]
        await until_over(running.run(kills, check_every, progress), clients)
        report = running.report
        report.writes.update({str(k): n for k, n in running.recorder.outcomes.items()})
        report.events = sum(watcher.events for watcher in running.watchers)
        report.expired = running.recorder.expired
        return report


@click.command(help=__doc__ and __doc__.replace("\n    python", "\n\n\b\n    python", 1))
@click.option("--kills", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--seed", type=int, help="Makes the same decisions.  [default: random]")
@click.option("--writers", type=click.IntRange(1), default=4, show_default=True)
@click.option("--watchers", type=click.IntRange(2), default=4, show_default=True)
@click.option("--check-every", type=click.IntRange(1), default=50, show_default=True)
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), help="Keep the store and the log here."
)
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def main(
    kills: int,
    seed: int | None,
    writers: int,
    watchers: int,
    check_every: int,
    directory: Path | None,
    quiet: bool,
) -> None:
    """See the module."""
    rng = Rng(seed)
    click.echo(f"seed {rng.root_seed}: {kills} kills, {writers} writers, {watchers} watchers")
    with tempfile.TemporaryDirectory(prefix="kubeherd-kills-") as temporary:
        report = asyncio.run(
            experiment(
                directory or Path(temporary) / "herd",
                kills=kills,
                rng=rng,
                writers=writers,
                watchers=watchers,
                check_every=check_every,
                progress=lambda text: None if quiet else click.echo(text, err=True),
            )
        )
    conclude(
        report,
        report.wrong,
        rng.root_seed,
        "nothing acknowledged was lost, nothing was invented, no watch has a gap",
    )


if __name__ == "__main__":
    main()
