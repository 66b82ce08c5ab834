"""Bootstrap tokens as the cluster's administrator makes, lists and deletes them.

As `kubeadm token` and `kubeadm init phase bootstrap-token` (v1.36): with the first token a cluster
gets what tokens need. Everything here blocks; ApiError for a refusal, TransportError without an
answer.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import msgspec

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import AlreadyExists, NotFound
from kubeherd.cluster.api.helpers import bootstraptoken
from kubeherd.cluster.api.helpers.bootstraptoken import USAGES, Token
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CONFIGMAPS, SECRETS
from kubeherd.cluster.client.http.blocking import BlockingClient, BlockingTransport
from kubeherd.cluster.client.kubeconfig import load_kubeconfig
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.profiles import kind

REQUEST_TIMEOUT_S = 10.0
_SELECTOR = f"type={bootstraptoken.SECRET_TYPE}"


class Listed(msgspec.Struct, frozen=True):
    """A token of the cluster."""

    token: str
    expires: str
    """RFC 3339; "" for one that is good until it is deleted."""
    usages: tuple[str, ...]
    groups: tuple[str, ...]
    description: str


@contextmanager
def administrator(rundir: RunDir) -> Iterator[BlockingClient]:
    """A client with all rights; LauncherError if there is no cluster of this directory's own."""
    if rundir.load_settings().joined:
        raise LauncherError(f"{rundir.root} has nodes of a cluster that is elsewhere: ask there")
    with BlockingTransport(load_kubeconfig(rundir.kubeconfig)) as transport:
        yield BlockingClient(transport, REQUEST_TIMEOUT_S)


def create(
    api: BlockingClient,
    server: kind.Server,
    token: Token | None,
    ttl: timedelta | None,
    description: str = "",
) -> Token:
    """Make a token, a new one if none is given, and what tokens need; `ttl` None: for ever.

    `server` is where others find the cluster. LauncherError if there is one with this ID.
    """
    _prepare(api, server)
    made = token or bootstraptoken.generate(secrets.choice)
    expires = None if ttl is None else datetime.now(UTC) + ttl
    secret = bootstraptoken.secret(made, expires, description=description)
    try:
        api.send("POST", SECRETS.path(bootstraptoken.NAMESPACE), secret)
    except AlreadyExists:
        raise LauncherError(f"there is a token with the ID {made.id} already") from None
    return made


def _prepare(api: BlockingClient, server: kind.Server) -> None:
    """Create what is missing; the cluster may be found elsewhere than when it was made."""
    for tree in kind.bootstrap_objects(server):
        resource = kinds.for_kind(tree["apiVersion"], tree["kind"])
        assert resource is not None  # noqa: S101 - a test looks through all of them
        namespace, name = tree["metadata"].get("namespace", ""), tree["metadata"]["name"]
        with suppress(AlreadyExists):
            api.send("POST", resource.path(namespace), tree)
            continue
        if resource is CONFIGMAPS:
            api.send("PATCH", resource.path(namespace, name), {"data": tree["data"]})


def listed(api: BlockingClient) -> list[Listed]:
    """All tokens, by ID."""
    path = SECRETS.path(bootstraptoken.NAMESPACE)
    found = api.send("GET", path, query={"fieldSelector": _SELECTOR})
    return sorted((_listed(tree) for tree in found["items"]), key=lambda one: one.token)


def _listed(tree: JsonObject) -> Listed:
    groups = bootstraptoken.datum(tree, "auth-extra-groups")
    token = (bootstraptoken.datum(tree, f"token-{part}") for part in ("id", "secret"))
    return Listed(
        ".".join(token),
        bootstraptoken.datum(tree, "expiration"),
        tuple(usage for usage in USAGES if bootstraptoken.is_for(tree, usage)),
        tuple(groups.split(",")) if groups else (),
        bootstraptoken.datum(tree, "description"),
    )


def delete(api: BlockingClient, token_id: str) -> None:
    """Delete a token; LauncherError if there is none with this ID."""
    name = bootstraptoken.secret_name(token_id)
    try:
        api.send("DELETE", SECRETS.path(bootstraptoken.NAMESPACE, name))
    except NotFound:
        raise LauncherError(f"there is no token with the ID {token_id}") from None
