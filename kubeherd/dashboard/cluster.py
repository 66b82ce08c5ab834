"""A cluster that lives, as the dashboard shows it and acts on it."""

import asyncio
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import ApiError, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.version import KUBEHERD_VERSION
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.discovery import watchable
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.dashboard import diff, objects, requests, tails
from kubeherd.dashboard.actions import asked as actions
from kubeherd.dashboard.actions.asked import Commands
from kubeherd.dashboard.actions.carryingout import Actor
from kubeherd.dashboard.actions.kubectl import Kubectl
from kubeherd.dashboard.objects import Key
from kubeherd.dashboard.showing import Showing, moment
from kubeherd.dashboard.web.answers import Answer, Refused, json
from kubeherd.dashboard.web.app import Query, Route
from kubeherd.following.live import Source
from kubeherd.history import Verb
from kubeherd.history.records import Object

MAX_LINES: Final = 5000
_USUAL_LINES: Final = 500
_MAX_AUDITED: Final = 20_000


class Cluster:
    """One cluster; `read_only`: nothing is done to it."""

    def __init__(
        self,
        source: Source,
        showing: Showing,
        client: ApiClient,
        clock: Clock,
        *,
        read_only: bool,
    ) -> None:
        self.feed = showing.feed
        self._rundir = source.rundir
        self._showing = showing
        self._client = client
        self._read_only = read_only
        self._source = source
        self._actor = Actor(source.rundir, Kubectl(client, clock), lambda: showing.feed.herd)
        self._custom: dict[str, Resource] = {}

    def facts(self) -> Mapping[str, object]:
        """See `app.Board`."""
        return {
            "read_only": self._read_only,
            "live": True,
            "ours": self._rundir is not None,
            "title": self._showing.title,
            "version": KUBEHERD_VERSION,
        }

    @cached_property
    def _commands(self) -> Commands:
        from kubeherd.cluster.cli.options import directory_given  # noqa: PLC0415 - memory

        directory = directory_given(self._rundir) if self._rundir is not None else ""
        return Commands(
            directory, str(self._source.kubeconfig.absolute()), self._rundir is not None
        )

    def routes(self) -> Mapping[str, Route]:
        """See `app.Board`."""
        return {
            **self._showing.routes(),
            "/api/object": self._object,
            "/api/diff": self._diff,
            "/api/log": self._log,
            "/api/requests": self._requests,
        }

    async def act(self, body: bytes) -> Answer:
        """See `app.Board`."""
        if self._read_only:
            raise Refused(403, "this dashboard only shows")
        wanted = actions.decode(body)
        self._actor.check(wanted)
        command = self._commands.of(wanted)
        if wanted.dry_run:
            return json({"command": command, "done": False, "text": ""})
        try:
            text = await self._actor.act(wanted)
        except Refused as refused:
            raise Refused(refused.status, str(refused), command=command) from None
        return json({"command": command, "done": True, "text": text})

    # --- objects ---

    async def _object(self, query: Query) -> Answer:
        key, at = objects.asked(query), moment(query)
        tree = await (self._now(key) if at is None else self._then(key, at))
        return json(objects.shown(key, tree))

    async def _now(self, key: Key) -> JsonObject:
        """An object as it is; Refused."""
        try:
            resource = await self._resource(key.resource)
            return await self._client.request("GET", resource.path(key.namespace, key.name))
        except NotFound as error:
            raise Refused(404, error.message) from None
        except ApiError as error:
            raise Refused(502, error.message) from None
        except TransportError as error:
            raise Refused(502, str(error)) from None

    async def _then(self, key: Key, at: float) -> Object:
        """An object as it was. One of which nothing has been told since the beginning is still as
        it was. Refused."""
        moments = self._showing.moments
        names = (key.resource, key.namespace, key.name)
        past = await self._showing.aside(moments.object(*names, at))
        if past is not None and past.gone:
            raise Refused(404, f"{key.resource} {key.name} was no more")
        if past is not None:
            return past.object
        later = await self._showing.aside(moments.next_write(*names, at))
        if later is None:
            return await self._now(key)
        if later.verb is Verb.CREATE and not later.restored:
            raise Refused(404, f"{key.resource} {key.name} was not there yet")
        raise self._showing.forgotten()

    async def _resource(self, name: str) -> Resource:
        for resource in kinds.ALL:
            if resource.group_resource == name:
                return resource
        if name not in self._custom:
            self._custom = {one.group_resource: one for one in await watchable(self._client)}
        if name not in self._custom:
            raise Refused(404, f"there is no resource {name}")
        return self._custom[name]

    async def _diff(self, query: Query) -> Answer:
        before, after = diff.asked(query, self.feed.herd)
        trees = [await self._now(key) for key in (before, after)]
        return json({"lines": await self._showing.aside(lambda: diff.unified(*trees))})

    # --- what processes and pods say, and what is asked ---

    async def _log(self, query: Query) -> Answer:
        lines = min(int(moment(query, "lines") or _USUAL_LINES), MAX_LINES)
        if lines <= 0:
            raise Refused(400, "lines is no number of lines")
        if pod := query.get("pod", ""):
            return await self._pod_log(pod, query.get("container", ""), lines)
        path = _log_of(self._rundir, query.get("process", ""))
        try:
            return json(await asyncio.to_thread(tails.tail, path, lines))
        except OSError as error:
            raise Refused(404, f"{path.name}: {error.strerror}") from None

    async def _pod_log(self, pod: str, container: str, lines: int) -> Answer:
        namespace, _, name = pod.partition("/")
        if not (objects.is_name(namespace) and objects.is_name(name)):
            raise Refused(400, "which pod? pod=NAMESPACE/NAME")
        query = {"tailLines": str(lines + 1), "limitBytes": str(tails.MAX_BYTES)}
        if container:
            query["container"] = container
        path = kinds.PODS.path(namespace, name, "log")
        try:
            answer = await self._client.send("GET", path, query=query)
        except (ApiError, TransportError) as error:
            missing = isinstance(error, NotFound)
            raise Refused(404 if missing else 502, str(error)) from None
        found = answer.body.decode(errors="replace").splitlines()
        return json(tails.Tail(found[-lines:], len(found) > lines))

    async def _requests(self, _query: Query) -> Answer:
        return json(await self._showing.aside(lambda: _audited(self._rundir)))


def _log_of(rundir: RunDir | None, name: str) -> Path:
    """The log of a process, or of the process of a node; Refused."""
    if rundir is None:
        raise Refused(404, "the logs of its processes are not here")
    settings = rundir.load_settings()
    if name in settings.node_names:
        return rundir.log(settings.agent_of(name))
    if name not in {path.stem for path in rundir.logs.glob("*.log")}:
        raise Refused(404, f'there is no process "{name}"')
    return rundir.log(name)


def _audited(rundir: RunDir | None) -> requests.Requests:
    """What the audit logs of a cluster tell."""
    if rundir is None:
        return requests.Requests("none", "the audit log of a cluster that is elsewhere is not here")
    lines: list[str] = []
    for path in sorted(rundir.logs.glob("audit*.log")):
        lines += tails.tail(path, _MAX_AUDITED).lines
    if not lines and not rundir.load_settings().audit_policy:
        return requests.Requests("none", requests.HINT)
    return requests.summary(lines)
