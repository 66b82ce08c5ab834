"""One member of etcd: its channel, and what was found when it was last connected to."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec
import structlog

from kubeherd.cluster.api.etcd.keys import REGISTRY
from kubeherd.cluster.store.engine import StoreError
from kubeherd.cluster.store.etcd.messages import (
    AioRpcError,
    Channel,
    ChannelConnectivity,
    StatusCode,
    rpc,
    ssl_channel_credentials,
)
from kubeherd.cluster.store.etcd.target import EtcdTarget, address, is_tls

CONNECT_S = 3.0
"""How long connecting to one member may take."""

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # the server's answers are bounded by what we ask for
    ("grpc.max_send_message_length", -1),  # and it says itself what is too large
    ("grpc.keepalive_time_ms", 10_000),  # etcd forbids less than 5 s
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # else a minute, whatever the line above says
    ("grpc.http2.max_pings_without_data", 0),  # else two, and none after them
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.min_reconnect_backoff_ms", int(CONNECT_S * 1000)),  # how long an attempt may take
    ("grpc.enable_retries", 0),  # what is sent again is decided by us
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a connection of our own
)
_OLDEST = (3, 4, 0)
_LOSES_WRITES = (3, 5, 0), (3, 5, 3)
"""From, to: versions that may lose writes when they are killed (etcd issue 13766)."""

_Files: TypeAlias = tuple[bytes | None, bytes | None, bytes | None] | None
"""PEM: the authority of its certificate, our key, our certificate."""

_log = structlog.get_logger(__name__)


class Call(StrEnum):
    """What a member can be asked for, by its path."""

    RANGE = "/etcdserverpb.KV/Range"
    TXN = "/etcdserverpb.KV/Txn"
    COMPACT = "/etcdserverpb.KV/Compact"
    GRANT = "/etcdserverpb.Lease/LeaseGrant"


class Unfit(Exception):
    """A member that answers, but must not be asked; the text says why."""


class Found(msgspec.Struct, frozen=True):
    """What a member said of itself; no version if it does not tell us."""

    cluster_id: int
    version: tuple[int, ...]

    @property
    def progress_is_sound(self) -> bool:
        """Whether the answer to a progress request may be believed: older versions send it before
        events that it includes (etcd issues 15220, 17507; apiserver/pkg/storage/feature)."""
        return self.version >= (3, 5, 13) or (3, 4, 31) <= self.version < (3, 5, 0)


class Member:
    """See the module. `calls` take a request, a timeout in seconds and metadata, and raise
    AioRpcError, as `watch` does."""

    def __init__(self, endpoint: str, target: EtcdTarget) -> None:
        self.endpoint = endpoint
        self.metadata: tuple[tuple[str, str], ...] = ()
        self.found: Found | None = None
        self._target = target
        self._open(_files(endpoint, target))

    def _open(self, files: _Files) -> None:
        self._shown = files
        self._channel = _channel(self.endpoint, files)
        kv = rpc.KVStub(self._channel)
        self.calls: Mapping[Call, Any] = {
            Call.RANGE: kv.Range,
            Call.TXN: kv.Txn,
            Call.COMPACT: kv.Compact,
            Call.GRANT: rpc.LeaseStub(self._channel).LeaseGrant,
        }
        self.watch = rpc.WatchStub(self._channel).Watch
        self._status = rpc.MaintenanceStub(self._channel).Status
        self._authenticate = rpc.AuthStub(self._channel).Authenticate

    @property
    def usable(self) -> bool:
        """Connected, and looked at since."""
        return self.found is not None and self._channel.get_state() is ChannelConnectivity.READY

    def forget(self) -> None:
        """Look at it again, and say anew who we are, before it is asked again."""
        self.found = None

    async def connect(self) -> Found:
        """Make it usable. AioRpcError, Unfit."""
        await self._show_what_was_renewed()
        metadata = [("hasleader", "true")]
        if self._target.user:
            request = rpc.AuthenticateRequest(
                name=self._target.user, password=self._target.password
            )
            answer = await self._authenticate(request, timeout=CONNECT_S)
            metadata.append(("token", answer.token))
        self.metadata = tuple(metadata)
        self.found = await self._look()
        return self.found

    async def _show_what_was_renewed(self) -> None:
        """A channel shows what its files were when it was made, however often it connects."""
        if self._channel.get_state() is ChannelConnectivity.READY:
            return
        try:
            files = _files(self.endpoint, self._target)
        except StoreError:
            return  # what was there before may still be good
        if files != self._shown:
            old = self._channel
            self._open(files)
            await old.close(grace=CONNECT_S)

    async def _look(self) -> Found:
        try:
            status = await self._status(
                rpc.StatusRequest(), timeout=CONNECT_S, metadata=self.metadata
            )
        except AioRpcError as error:
            if error.code() is not StatusCode.PERMISSION_DENIED:
                raise
            # Since 3.6 only root is told the version.
            request = rpc.RangeRequest(key=REGISTRY.encode(), keys_only=True)
            answer = await self.calls[Call.RANGE](
                request, timeout=CONNECT_S, metadata=self.metadata
            )
            return Found(answer.header.cluster_id, ())
        return self._fit(status)

    def _fit(self, status: Any) -> Found:
        version = tuple(int(part) for part in status.version.partition("-")[0].split("."))
        if version < _OLDEST:
            raise Unfit(f"it is of version {status.version}; at least 3.4 is needed")
        if self.found is None:
            if _LOSES_WRITES[0] <= version < _LOSES_WRITES[1]:
                _log.warning("etcd_may_lose_writes", etcd=self.endpoint, version=status.version)
            for problem in status.errors:
                _log.warning("etcd_alarm", etcd=self.endpoint, problem=problem)
        return Found(status.header.cluster_id, version)

    async def close(self) -> None:
        """End all that is under way with it."""
        await self._channel.close()


def _channel(endpoint: str, files: _Files) -> Channel:
    if files is None:
        return rpc.insecure_channel(address(endpoint), options=_OPTIONS)
    return rpc.secure_channel(address(endpoint), ssl_channel_credentials(*files), options=_OPTIONS)


def _files(endpoint: str, target: EtcdTarget) -> _Files:
    """What is shown to a member; None: it is talked to in plain text. StoreError."""
    if not is_tls(endpoint):
        return None
    try:
        authority, key, certificate = (
            None if path is None else path.read_bytes()
            for path in (target.ca_file, target.key_file, target.cert_file)
        )
    except OSError as error:
        raise StoreError(f"cannot read {error.filename}: {error.strerror}") from error
    return authority, key, certificate
