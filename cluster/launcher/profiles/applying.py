"""Gives a new cluster what its profile has, through the API, as its administrator.

Invariants: what exists is left alone, so that an application which was cut short is finished by the
next one; once it was complete (`kind.MARK`) nothing is made again, so that what a person changed or
deleted stays so. Everything here blocks; no request takes longer than the transport's time limit.
"""

from contextlib import suppress

import msgspec

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import (
    AlreadyExists,
    ApiError,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
)
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS, NODES, PODS, Resource
from kubeherd.cluster.client.blocking import BlockingTransport
from kubeherd.cluster.client.kubeconfig import load_kubeconfig
from kubeherd.cluster.client.transport import JSON, TransportError, error_of
from kubeherd.cluster.launcher.directory.rundir import RunDir, write_private
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.profiles import kind
from kubeherd.cluster.launcher.profiles.availability import is_available
from kubeherd.cluster.launcher.settings import Settings

_DEPLOYMENTS = kinds.resource("apps", "v1", "deployments")
_MERGE = "application/merge-patch+json"


class KindProfile:
    """The profile `kind` of one cluster."""

    def __init__(self, rundir: RunDir, settings: Settings) -> None:
        self._rundir = rundir
        self._settings = settings
        self._applied = False
        self._late: list[tuple[Resource, str, str]] = []

    def prepare(self) -> None:
        """Write the manifests of the static pods; the PKI is there. LauncherError if it cannot."""
        try:
            self._rundir.manifests.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise LauncherError(f"cannot write {error.filename}: {error.strerror}") from error
        for name, manifest in kind.static_pods(self._server()).items():
            write_private(self._rundir.manifests / name, manifest, durable=False)

    def advance(self) -> str:
        """Go on once the nodes are there; returns what is waited for, "" when all is available.

        LauncherError if the server refuses an object. It may be away meanwhile.
        """
        try:
            with BlockingTransport(load_kubeconfig(self._rundir.kubeconfig)) as transport:
                api = _Api(transport)
                if not self._applied:
                    self._late = self._apply(api)
                    self._applied = True
                self._late = [entry for entry in self._late if not api.is_available(*entry)]
        except (TransportError, ServiceUnavailable, TooManyRequests):
            return "the API server"
        except ApiError as error:
            raise LauncherError(f"the profile kind was refused: {error.message}") from error
        return self._late[0][2] if self._late else ""

    def _apply(self, api: "_Api") -> list[tuple[Resource, str, str]]:
        """Create what is missing, unless all was there before; what has to become available."""
        if api.is_there(*kind.MARK):
            return []
        late: list[tuple[Resource, str, str]] = []
        if node := self._settings.control_plane:
            labels: JsonObject = {"metadata": {"labels": kind.CONTROL_PLANE_LABELS}}
            api.send("PATCH", NODES.path(name=node), labels)
            names = (name.removesuffix(".yaml") for name in kind.static_pods(self._server()))
            late += [(PODS, kind.SYSTEM, f"{name}-{node}") for name in names]
        for tree in kind.objects(self._server()):
            resource = kinds.for_kind(tree["apiVersion"], tree["kind"])
            assert resource is not None  # noqa: S101 - a test looks through all of them
            namespace = tree["metadata"].get("namespace", "")
            with suppress(AlreadyExists):
                api.send("POST", resource.path(namespace), tree)
            if resource in (DAEMONSETS, _DEPLOYMENTS):
                late.append((resource, namespace, tree["metadata"]["name"]))
        return late

    def _server(self) -> kind.Server:
        return kind.Server(self._settings.public_server, (self._rundir.pki / "ca.crt").read_bytes())


class _Api:
    """Requests as trees; ApiError for a refusal."""

    def __init__(self, transport: BlockingTransport) -> None:
        self._transport = transport

    def send(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        answer = self._transport.request(
            method,
            path,
            body=None if body is None else msgspec.json.encode(body),
            content_type=_MERGE if method == "PATCH" else JSON,
        )
        if answer.status >= 400:
            raise error_of(answer)
        tree: JsonObject = msgspec.json.decode(answer.body)
        return tree

    def is_there(self, resource: Resource, namespace: str, name: str) -> bool:
        try:
            self.send("GET", resource.path(namespace, name))
        except NotFound:
            return False
        return True

    def is_available(self, resource: Resource, namespace: str, name: str) -> bool:
        try:
            return is_available(self.send("GET", resource.path(namespace, name)))
        except NotFound:
            return False
