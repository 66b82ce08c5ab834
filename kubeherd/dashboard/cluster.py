"""A cluster that lives, as the dashboard shows it and acts on it."""

import asyncio
from collections.abc import Mapping
from typing import Final

from kubeherd.cluster.api.version import KUBEHERD_VERSION
from kubeherd.cluster.cli.options import directory_given
from kubeherd.cluster.launcher import control
from kubeherd.cluster.launcher.control import Request
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.dashboard import actions
from kubeherd.dashboard.actions import Wanted
from kubeherd.dashboard.answers import Answer, Refused, json
from kubeherd.dashboard.app import Route
from kubeherd.dashboard.feed import Feed
from kubeherd.following.live import Source

_ANSWER_S: Final = 90.0


class Cluster:
    """One cluster; `read_only`: nothing is done to it."""

    def __init__(self, source: Source, feed: Feed, *, read_only: bool) -> None:
        self.feed = feed
        self._source = source
        self._read_only = read_only

    def facts(self) -> Mapping[str, object]:
        """See `app.Board`."""
        rundir = self._source.rundir
        return {
            "read_only": self._read_only,
            "live": True,
            "ours": rundir is not None,
            "title": str(rundir.root if rundir is not None else self._source.kubeconfig),
            "version": KUBEHERD_VERSION,
        }

    def routes(self) -> Mapping[str, Route]:
        """See `app.Board`."""
        return {}

    async def act(self, body: bytes) -> Answer:
        """See `app.Board`."""
        if self._read_only:
            raise Refused(403, "this dashboard only shows")
        wanted = actions.decode(body)
        rundir = self._source.rundir
        if rundir is None:
            raise Refused(403, "that can only be done to a cluster of kubeherd")
        command = actions.command(wanted, directory_given(rundir))
        if wanted.dry_run:
            return json({"command": command, "done": False, "text": ""})
        try:
            touched = await asyncio.to_thread(_ask, rundir, wanted)
        except LauncherError as error:
            raise Refused(409, str(error), command=command) from None
        return json({"command": command, "done": True, "text": ", ".join(touched)})


def _ask(rundir: RunDir, wanted: Wanted) -> tuple[str, ...]:
    request = Request(op=actions.OPS[wanted.action], nodes=wanted.names)
    request.check()
    touched: tuple[str, ...] = ()
    for reply in control.ask(rundir, request, _ANSWER_S):
        touched = reply.nodes
    return touched
