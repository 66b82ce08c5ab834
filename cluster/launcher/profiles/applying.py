"""Gives a new cluster what its profile has, through the API, as its administrator.

Invariants: what exists is left alone, so that an application which was cut short is finished by the
next one; once it was complete (`kind.MARK`) nothing is made again, so that what a person changed or
deleted stays so. Everything here blocks; no request takes longer than the transport's time limit.
"""

from contextlib import suppress

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import (
    AlreadyExists,
    ApiError,
    ServiceUnavailable,
    TooManyRequests,
)
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS, NODES, PODS, Resource
from kubeherd.cluster.client.http.blocking import BlockingClient, BlockingTransport
from kubeherd.cluster.client.kubeconfig import load_kubeconfig
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher.directory.rundir import RunDir, write_private
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.profiles import kind
from kubeherd.cluster.launcher.profiles.availability import is_available
from kubeherd.cluster.launcher.settings import Settings

_DEPLOYMENTS = kinds.resource("apps", "v1", "deployments")


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
                api = BlockingClient(transport)
                if not self._applied:
                    self._late = self._apply(api)
                    self._applied = True
                self._late = [entry for entry in self._late if not _is_available(api, entry)]
        except (TransportError, ServiceUnavailable, TooManyRequests):
            return "the API server"
        except ApiError as error:
            raise LauncherError(f"the profile kind was refused: {error.message}") from error
        return self._late[0][2] if self._late else ""

    def _apply(self, api: BlockingClient) -> list[tuple[Resource, str, str]]:
        """Create what is missing, unless all was there before; what has to become available."""
        if api.find(*kind.MARK) is not None:
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


def _is_available(api: BlockingClient, entry: tuple[Resource, str, str]) -> bool:
    found = api.find(*entry)
    return found is not None and is_available(found)
