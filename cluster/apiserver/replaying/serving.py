"""The process of ``--replay``: winds the history, serves, plays on."""

import argparse
import asyncio
import os

from kubeherd.cluster.apiserver.edge.http import HttpServer
from kubeherd.cluster.apiserver.edge.listener import connection_limit
from kubeherd.cluster.apiserver.edge.tls import tls_context
from kubeherd.cluster.apiserver.replaying.player import Moment, Player
from kubeherd.cluster.apiserver.replaying.readonly import ReadOnly
from kubeherd.cluster.apiserver.replaying.store import ReplayedStore
from kubeherd.cluster.apiserver.server import ApiServer, attrs_of
from kubeherd.cluster.runtime.clock import LoopClock, OffsetClock
from kubeherd.cluster.runtime.exits import when_ended
from kubeherd.cluster.runtime.process import Lifecycle, ProcessError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.together import together
from kubeherd.cluster.store.store import running


async def serve(options: argparse.Namespace, lifecycle: Lifecycle) -> None:
    """Serve a history until asked to stop. ProcessError for a file that is none, a moment that it
    does not have, a taken port."""
    # Not supervised: it ends with the command that started it.
    parent = os.getppid()
    when_ended(parent, lambda: os.getppid() == parent, lifecycle.stop.set)
    tls = tls_context(options.dir / "pki")
    clock, rng = OffsetClock(LoopClock()), Rng(options.seed).child("replay")
    what = f"this is a replay of {options.replay.name}"
    store = ReplayedStore(attrs_of, what)
    player = Player(options.replay, store, clock)
    try:
        await player.wind(Moment(options.replay_revision, options.replay_time))
    except (OSError, ValueError) as error:  # HistoryError, or an object that is none
        raise ProcessError(f"cannot replay: {error}") from None
    async with running(store):
        api = ApiServer(store, clock, rng, pki=options.dir / "pki")
        api.replay(ReadOnly(api, what))
        http = HttpServer(api, clock, rng.child("http"), max_connections=connection_limit())
        port = await http.start(options.bind_address, options.port, tls)
        api.server_address = f"{options.bind_address}:{port}"
        objects, size = store.weight()
        lifecycle.ready(
            url=f"https://{api.server_address}",
            port=port,
            at=player.now,
            revision=store.revision,
            objects=objects,
            bytes=size,
        )
        try:
            await together(_play(player, options.replay_speed), lifecycle.stop.wait())
        finally:
            await http.stop()
            api.close()


async def _play(player: Player, speed: float) -> None:
    """To the end, if time passes at all; then for ever."""
    if speed:
        try:
            await player.play(speed)
        except (OSError, ValueError) as error:
            raise ProcessError(f"cannot go on with the replay: {error}") from None
    await asyncio.Event().wait()
