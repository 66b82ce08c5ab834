"""Several API servers on one etcd, each behind a link that can be cut, and what is done to them."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from kills.cut_link import BOTH, Cut, Direction, Link, Proxied
from kills.cut_route import routed
from kills.etcd_process import Etcd, EtcdHost
from kills.server import PARENT, Server, free_port, pick
from kubeherd.cluster.client.http.transport import HttpTransport, from_kubeconfig
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.runtime.rng import Rng

SERVES_WITHIN_S = 180.0
AGAIN_S = 0.3


class Harm(StrEnum):
    """What is done to one server, to etcd, or to the link between them."""

    KILL_SERVER = "kill a server"
    FREEZE_SERVER = "freeze a server"
    KILL_ETCD = "kill etcd"
    FREEZE_ETCD = "freeze etcd"
    CUT = "cut off a server"
    MUTE = "let etcd not hear a server"
    DEAF = "let a server not hear etcd"
    RESET = "reset a server's connections to etcd"


OFTEN: Mapping[Harm, int] = {
    Harm.KILL_SERVER: 22,
    Harm.FREEZE_SERVER: 20,
    Harm.KILL_ETCD: 10,
    Harm.FREEZE_ETCD: 8,
    Harm.CUT: 14,
    Harm.MUTE: 9,
    Harm.DEAF: 9,
    Harm.RESET: 8,
}
"""How often, of a hundred."""
TWO_AT_ONCE = 0.25
LASTS_S = (0.2, 1.5)
LASTS_LONG_S = (3.0, 7.0)
"""Longer than the deadline of a read that waits for what others wrote."""
LONG = 0.08
STARTING_S = (0.0, 0.3)


class Member:
    """One server, its link to etcd and the way of its clients to it."""

    def __init__(self, server: Server, link: Link, kubeconfig: Path) -> None:
        self.server = server
        self.link = link
        self._kubeconfig = kubeconfig

    def transport(self) -> HttpTransport:
        """A new client of this server."""
        return from_kubeconfig(self._kubeconfig)

    async def start(self) -> None:
        """Begin lives until one serves: a server that does not reach etcd ends, and whoever
        supervises it starts it again. RuntimeError if none does in time."""
        end_s = time.monotonic() + SERVES_WITHIN_S
        while True:
            await self.server.spawn()
            try:
                await self.server.ready()
            except RuntimeError:
                await self.server.kill()
                if time.monotonic() > end_s:
                    raise
                await asyncio.sleep(AGAIN_S)
            else:
                return


class ServersOnEtcd:
    """All of them, and who hurts them."""

    def __init__(self, etcd: Etcd, members: Sequence[Member], rng: Rng) -> None:
        self.etcd = etcd
        self.members = members
        self._rng = rng

    def choose(self) -> dict[int, Harm]:
        """What the next round does: to members by their number, to etcd as -1."""
        chosen: dict[int, Harm] = {}
        for _ in range(2 if self._rng.random() < TWO_AT_ONCE else 1):
            harm = pick(self._rng, OFTEN)
            whom = self._rng.randrange(len(self.members))
            chosen[-1 if harm in (Harm.KILL_ETCD, Harm.FREEZE_ETCD) else whom] = harm
        return chosen

    async def hurt(self, chosen: Mapping[int, Harm]) -> None:
        """Do it, and undo it; returns when everything runs again."""
        async with asyncio.TaskGroup() as tasks:
            for whom, harm in chosen.items():
                long = self._rng.random() < LONG
                lasts_s = self._rng.uniform(*(LASTS_LONG_S if long else LASTS_S))
                if whom < 0:
                    tasks.create_task(self._hurt_etcd(harm, lasts_s))
                else:
                    tasks.create_task(self._hurt_member(self.members[whom], harm, lasts_s))

    async def _hurt_etcd(self, harm: Harm, lasts_s: float) -> None:
        if harm is Harm.KILL_ETCD:
            await self.etcd.kill()
            await asyncio.sleep(lasts_s / 2)
            await self.etcd.start()
        else:
            self.etcd.signal(signal.SIGSTOP)
            await asyncio.sleep(lasts_s)
            self.etcd.signal(signal.SIGCONT)

    async def _hurt_member(self, member: Member, harm: Harm, lasts_s: float) -> None:
        match harm:
            case Harm.KILL_SERVER:
                await self._kill(member)
            case Harm.FREEZE_SERVER:
                member.server.signal(signal.SIGSTOP)
                await asyncio.sleep(lasts_s)
                member.server.signal(signal.SIGCONT)
            case Harm.RESET:
                member.link.reset()
            case _:
                cut = {Harm.MUTE: Direction.THERE, Harm.DEAF: Direction.BACK}.get(harm, BOTH)
                member.link.cut(cut)
                await asyncio.sleep(lasts_s)
                if self._rng.random() < 0.5:
                    member.link.reset()
                member.link.mend()

    async def _kill(self, member: Member) -> None:
        await member.server.kill()
        if self._rng.random() < 0.3:
            await member.server.spawn()
            await asyncio.sleep(self._rng.uniform(*STARTING_S))
            await member.server.kill()
        await member.start()


@contextlib.asynccontextmanager
async def running(
    directory: Path, count: int, rng: Rng, cut: Cut = Cut.PROXY, parent: Sequence[str] = PARENT
) -> AsyncIterator[ServersOnEtcd]:
    """etcd and so many servers with one CA, all serving. `parent`: see `Server`."""
    first = RunDir(directory / "apiserver-1")
    async with contextlib.AsyncExitStack() as stack:
        etcd, links = await stack.enter_async_context(_linked(directory / "etcd", count, cut))
        members = []
        for number, link in enumerate(links, 1):
            member = _member(directory / f"apiserver-{number}", first, link, parent)
            await member.server.open()
            stack.push_async_callback(member.server.close)
            members.append(member)
        for member in members:
            await member.start()
        yield ServersOnEtcd(etcd, members, rng)


@contextlib.asynccontextmanager
async def _linked(
    directory: Path, count: int, cut: Cut
) -> AsyncIterator[tuple[Etcd, Sequence[Link]]]:
    """etcd, which runs, and so many ways to it."""
    async with contextlib.AsyncExitStack() as stack:
        ports = free_port(), free_port()
        if cut is Cut.NETNS:
            routes = stack.enter_context(routed(count))
            etcd = Etcd(directory, *ports, EtcdHost(routes.addresses, routes.prefix))
        else:
            etcd = Etcd(directory, *ports)
        await etcd.start()
        stack.push_async_callback(etcd.kill)
        if cut is Cut.NETNS:
            yield etcd, routes.links(etcd.port)
            return
        proxies = [Proxied(etcd.port) for _ in range(count)]
        for proxy in proxies:
            await proxy.start()
            stack.push_async_callback(proxy.close)
        yield etcd, proxies


def _member(directory: Path, first: RunDir, link: Link, parent: Sequence[str]) -> Member:
    """A server's directory; the certificates are those of the first one."""
    port = free_port()
    rundir = RunDir(directory)
    rundir.prepare()
    if directory == first.root:
        ClusterPki.ensure(first, f"https://127.0.0.1:{port}")
    else:
        rundir.pki.rmdir()
        rundir.pki.symlink_to(first.pki)
    kubeconfig = directory / "client.kubeconfig"
    server = next(line for line in _lines(first) if "server:" in line)
    text = first.kubeconfig.read_text().replace(
        server, f"{server.partition('server:')[0]}server: https://127.0.0.1:{port}"
    )
    kubeconfig.write_text(text)
    kubeconfig.chmod(0o600)
    options = ["--store", "etcd", "--etcd-servers", link.url]
    return Member(Server(directory, port, options, parent=parent), link, kubeconfig)


def _lines(first: RunDir) -> list[str]:
    return first.kubeconfig.read_text().splitlines()
