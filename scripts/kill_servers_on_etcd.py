"""Kill, freeze and cut off API servers that share an etcd, and check all that was told.

    python scripts/kill_servers_on_etcd.py                        200 rounds, a random seed
    python scripts/kill_servers_on_etcd.py --rounds 20 --seed 7   the same decisions again
    python scripts/kill_servers_on_etcd.py --dir /tmp/x           keep etcd's data and the logs
    python scripts/kill_servers_on_etcd.py --cut proxy            without network namespaces

Three servers, each with a way of its own to etcd, which is on another host: in another network
namespace, behind a router that loses packets (`kills.cut_route`), where that can be had (iproute2,
and root); else behind TCP proxies. In a round a server is killed and started
again (perhaps killed once more as it starts), frozen, cut off from etcd in one direction or both,
or etcd is killed or frozen; in a fourth of the rounds two of it at once. Writers stay with their
server; readers and watchers go from server to server. After every `--check-every` rounds the
writers rest, the watchers catch up, etcd is asked what really happened, and all of it is checked
(`kills.history`): no acknowledged write lost, none invented or done twice, no update overwritten,
no revision that goes back or means two things, no read that shows less than anybody knew, no watch
with a gap or a duplicate on its way over the servers, no list at one revision that differs.
The seed fixes the decisions of killer and writers, not how the operating system mixes them.

Exit code 1, with what was wrong, if a server broke a promise; 2 for wrong usage.
"""

import asyncio
import contextlib
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
from kills import cut_route
from kills.clients import PAUSE_S, RESOURCES, Client, Recorder, Writer, until_over
from kills.cut_link import Cut
from kills.history import History, Listing, Outcome, Watch, problems
from kills.readers import Reader, Watcher, listing
from kills.server import PARENT, conclude
from kills.servers_on_etcd import Harm, Member, ServersOnEtcd, running

from kubeherd.cluster.client.http.transport import HttpTransport
from kubeherd.cluster.client.transport import (
    DEFAULT_TIMEOUT_S,
    Transport,
    TransportError,
    TransportResponse,
)
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.processes.etcd import binary
from kubeherd.cluster.runtime.rng import Rng

SERVERS = 3
WRITERS_EACH, READERS, WATCHERS = 2, 6, 6
CATCH_UP_S = 180.0
STREAM_S = 3
"""How long a watch stays with one server."""


class AnyServer:
    """A `Transport` whose every request goes to one of several servers, with connections kept."""

    def __init__(self, servers: Sequence[HttpTransport], rng: Rng) -> None:
        self._servers = servers
        self._rng = rng

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "",
        accept: str = "",
        fence: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> TransportResponse:
        """As `Transport.request`."""
        return await self._rng.choice(self._servers).request(
            method,
            path,
            query=query,
            body=body,
            content_type=content_type,
            accept=accept,
            fence=fence,
            timeout_s=timeout_s,
        )

    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> AsyncGenerator[bytes, None]:
        """As `Transport.stream`."""
        server = self._rng.choice(self._servers)
        return server.stream(path, query=query, accept=accept, timeout_s=timeout_s)

    async def close(self) -> None:
        """As `Transport.close`."""
        for server in self._servers:
            await server.close()


@dataclass
class Report:
    """What was done, and what was wrong."""

    harms: Counter[Harm] = field(default_factory=Counter)
    rounds: int = 0
    writes: Counter[Outcome] = field(default_factory=Counter)
    reads: int = 0
    events: int = 0
    lists: int = 0
    expired: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        harms = ", ".join(f"{number} x {harm}" for harm, number in self.harms.most_common())
        writes = ", ".join(f"{number} {what}" for what, number in self.writes.most_common())
        return (
            f"{self.rounds} rounds ({harms})\nwrites: {writes}\n{self.reads} gets, {self.lists}"
            f" lists, {self.events} watch events, {self.expired} watches expired"
        )


class Experiment:
    """The servers, their clients, and what happens round by round."""

    def __init__(self, servers: ServersOnEtcd, readers: Sequence[Transport], rng: Rng) -> None:
        self.servers = servers
        self.recorder = Recorder()
        self.recorder.serving.set()
        self.report = Report()
        self.writers: list[Writer] = []
        self.readers: list[Reader] = []
        self.watchers: list[Watcher] = []
        self._each = readers
        self._rng = rng

    async def run(self, rounds: int, check_every: int, progress: Callable[[str], None]) -> None:
        """So many rounds; ends early when something is wrong."""
        await self._begin()
        for number in range(1, rounds + 1):
            chosen = self.servers.choose()
            await self.servers.hurt(chosen)
            await asyncio.sleep(self._rng.uniform(0, 0.3))
            self.report.harms.update(chosen.values())
            self.report.rounds = number
            if number % check_every == 0 or number == rounds:
                await self._check()
                done = self.recorder.outcomes[Outcome.DONE]
                progress(f"{number} rounds, {done} writes done, {self.report.reads} gets")
                if self.report.wrong:
                    break

    async def _check(self) -> None:
        """Let everybody come to rest, look at all of it, and begin a new history."""
        self.recorder.writing.clear()
        history = self.recorder.history
        try:
            async with asyncio.timeout(CATCH_UP_S):
                resting = [*(one.idle for one in self.writers), *(one.idle for one in self.readers)]
                await asyncio.gather(*(idle.wait() for idle in resting))
                await self._truth(history)
                for watcher in self.watchers:
                    await watcher.until(_newest(history, watcher.resource))
                await self._lists_everywhere()
        except TimeoutError:
            self.report.wrong.append("stuck: clients do not come to rest")
        self.report.wrong += self.recorder.unexpected + problems(history)
        self.report.reads += len(history.reads)
        self.report.lists += len(history.listings)
        await self._begin()

    async def _truth(self, history: History) -> None:
        """What etcd says that happened, as a watch that missed nothing."""
        since = min(listing.revision for listing in history.start.values())
        events, mark = await self.servers.etcd.events(since)
        for resource, start in history.start.items():
            later = [one for one in events[resource] if one.state.revision > start.revision]
            truth = Watch("etcd", resource, start.revision, start.states, later, mark)
            history.watches.append(truth)

    async def _lists_everywhere(self) -> None:
        """What every server has now, and what it says that there was at one revision."""
        for resource in RESOURCES:
            newest = (await self._list(self._each[0], resource)).revision
            exact = {"resourceVersion": str(newest), "resourceVersionMatch": "Exact"}
            for server in self._each:
                await self._list(server, resource)
            for server in self._each:
                await self._list(server, resource, exact)

    async def _list(
        self, server: Transport, resource: str, query: Mapping[str, str] | None = None
    ) -> Listing:
        while True:
            try:
                return await listing(server, self.recorder, resource, query)
            except TransportError:
                await asyncio.sleep(PAUSE_S)

    async def _begin(self) -> None:
        """A new history, from what there is now, in which all watchers go on. A write that was not
        answered may be carried out yet."""
        unknown = [
            write for write in self.recorder.history.writes if write.outcome is Outcome.UNKNOWN
        ]
        start = {r: await self._list(self._each[0], r) for r in RESOURCES}
        self.recorder.history = History(start, unknown)
        for watcher in self.watchers:
            watcher.begin(start[watcher.resource])
        self.recorder.writing.set()


def _newest(history: History, resource: str) -> int:
    """The revision of the last event of a resource, by etcd."""
    for watch in history.watches:
        if watch.name == "etcd" and watch.resource == resource and watch.events:
            return watch.events[-1].state.revision
    return history.start[resource].revision


@contextlib.asynccontextmanager
async def stage(servers: ServersOnEtcd, watchers: int, rng: Rng) -> AsyncIterator[Experiment]:
    """The clients of servers that run."""
    async with contextlib.AsyncExitStack() as stack:

        def transport(member: Member) -> HttpTransport:
            made = member.transport()
            stack.push_async_callback(made.close)
            return made

        def any_server(name: str) -> AnyServer:
            return AnyServer([transport(one) for one in servers.members], rng.child(name))

        each = [transport(one) for one in servers.members]
        made = Experiment(servers, each, rng.child("pauses"))
        recorder = made.recorder
        for number, member in enumerate([*servers.members] * WRITERS_EACH):
            name = f"w{number}"
            made.writers.append(Writer(name, transport(member), recorder, rng.child(name)))
        for number in range(READERS):
            name = f"r{number}"
            made.readers.append(Reader(any_server(name), recorder, rng.child(name)))
        for number in range(watchers):
            resource, polls = list(RESOURCES)[number % 2], number % 4 >= 2
            name = f"{'poll' if polls else 'stream'}-{number}-{resource}"
            way = any_server(name)
            made.watchers.append(
                Watcher(name, resource, way, recorder, polls=polls, stream_s=STREAM_S)
            )
        yield made


async def experiment(
    directory: Path,
    *,
    rounds: int,
    rng: Rng,
    cut: Cut = Cut.PROXY,
    servers: int = SERVERS,
    watchers: int = WATCHERS,
    check_every: int = 10,
    progress: Callable[[str], None] = lambda _: None,
    parent: Sequence[str] = PARENT,
) -> Report:
    """Run it; the report says what was wrong. `parent`: see `kills.server.Server`.

    RuntimeError, TimeoutError if a server or etcd does not start again.
    """
    async with (
        running(directory, servers, rng.child("harm"), cut, parent) as hurt,
        stage(hurt, watchers, rng) as made,
    ):
        clients: list[Client] = [*made.writers, *made.readers, *made.watchers]
        await until_over(made.run(rounds, check_every, progress), clients)
        made.report.writes.update(made.recorder.outcomes)
        made.report.events = sum(watcher.events for watcher in made.watchers)
        made.report.expired = made.recorder.expired
        return made.report


@click.command(help=__doc__ and __doc__.replace("\n    python", "\n\n\b\n    python", 1))
@click.option("--rounds", type=click.IntRange(1), default=200, show_default=True)
@click.option("--seed", type=int, help="Makes the same decisions.  [default: random]")
@click.option("--check-every", type=click.IntRange(1), default=10, show_default=True)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    help="Keep etcd's data and the logs here.",
)
@click.option(
    "--cut",
    type=click.Choice(list(Cut)),
    help="How ways to etcd are cut.  [default: netns, where that is possible]",
)
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def main(
    rounds: int,
    seed: int | None,
    check_every: int,
    directory: Path | None,
    cut: Cut | None,
    quiet: bool,
) -> None:
    """See the module."""
    try:
        binary()
    except LauncherError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    rng = Rng(seed)
    cut = _possible(cut)
    click.echo(f"seed {rng.root_seed}: {rounds} rounds, {SERVERS} servers, cut by {cut}")
    with tempfile.TemporaryDirectory(prefix="kubeherd-rounds-") as temporary:
        report = asyncio.run(
            experiment(
                directory or Path(temporary),
                rounds=rounds,
                rng=rng,
                cut=cut,
                check_every=check_every,
                progress=lambda text: None if quiet else click.echo(text, err=True),
            )
        )
    conclude(
        report,
        report.wrong,
        rng.root_seed,
        "nothing acknowledged was lost, overwritten or hidden; no watch has a gap",
    )


def _possible(wanted: Cut | None) -> Cut:
    """How to cut; says so where it is not as it should be, and leaves if it was asked for."""
    if wanted == Cut.PROXY:
        return Cut.PROXY
    why = cut_route.impossible()
    if why and wanted:
        click.echo(f"{why} (--cut {Cut.PROXY} needs none)", err=True)
        sys.exit(1)
    if why:
        click.echo(f"{why}: cut by proxies", err=True)
    return Cut.PROXY if why else Cut.NETNS


if __name__ == "__main__":
    main()
