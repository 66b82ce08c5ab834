"""One member of etcd: its connection, and what was found when it was last connected to."""

import ssl
from contextlib import suppress
from enum import Enum
from typing import Any, Final

import msgspec
import structlog

from kubeherd.cluster.api.etcd.keys import REGISTRY
from kubeherd.cluster.store.engine import StoreError
from kubeherd.cluster.store.etcd.grpc.calls import Messages
from kubeherd.cluster.store.etcd.grpc.channel import Channel, connect
from kubeherd.cluster.store.etcd.grpc.status import NOT_CARRIED_OUT, CallError
from kubeherd.cluster.store.etcd.messages import rpc
from kubeherd.cluster.store.etcd.target import EtcdTarget, address, is_tls

CONNECT_S = 3.0
"""How long connecting to one member may take."""

_METADATA: Final = (("hasleader", "true"),)
"""A member that has no leader says so at once, and ends its watches."""

_OLDEST = (3, 4, 0)
_LOSES_WRITES = (3, 5, 0), (3, 5, 3)
"""From, to: versions that may lose writes when they are killed (etcd issue 13766)."""

_log = structlog.get_logger(__name__)


class Call(Enum):
    """What a member can be asked for."""

    RANGE = "KV/Range", rpc.RangeResponse
    TXN = "KV/Txn", rpc.TxnResponse
    COMPACT = "KV/Compact", rpc.CompactionResponse
    GRANT = "Lease/LeaseGrant", rpc.LeaseGrantResponse
    STATUS = "Maintenance/Status", rpc.StatusResponse
    AUTHENTICATE = "Auth/Authenticate", rpc.AuthenticateResponse

    def __init__(self, name: str, answer: Any) -> None:
        self.path = f"/etcdserverpb.{name}"
        self.read = answer.FromString


WATCH = "/etcdserverpb.Watch/Watch"


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
    """See the module."""

    def __init__(self, endpoint: str, target: EtcdTarget) -> None:
        self.endpoint = endpoint
        self.found: Found | None = None
        self._target = target
        self._context = _context(endpoint, target)
        self._channel: Channel | None = None
        self._retired: list[Channel] = []

    @property
    def usable(self) -> bool:
        """Connected, and looked at since."""
        return self.found is not None and self._channel is not None and self._channel.ready

    def forget(self) -> None:
        """Look at it again, and say anew who we are, before it is asked again."""
        self.found = None

    async def ask(self, call: Call, request: Any, timeout_s: float) -> Any:
        """The answer. CallError."""
        if self._channel is None:
            raise CallError(NOT_CARRIED_OUT, "there is no connection to it")
        answer = await self._channel.ask(call.path, request.SerializeToString(), timeout_s)
        return call.read(answer)

    def watch(self) -> Messages:
        """A stream for the messages of watches. CallError."""
        if self._channel is None:
            raise CallError(NOT_CARRIED_OUT, "there is no connection to it")
        return self._channel.stream(WATCH)

    async def connect(self) -> Found:
        """Make it usable. CallError, Unfit."""
        channel = await self._connected()
        channel.introduce(_METADATA, ())
        if self._target.user:
            request = rpc.AuthenticateRequest(
                name=self._target.user, password=self._target.password
            )
            answer = await self.ask(Call.AUTHENTICATE, request, CONNECT_S)
            channel.introduce(_METADATA, [("token", answer.token)])
        self.found = await self._look()
        return self.found

    async def _connected(self) -> Channel:
        """A connection that takes calls. Each shows what our files are when it is made."""
        if self._channel is not None:
            if self._channel.ready:
                return self._channel
            self._channel.retire()
            self._retired = [one for one in (*self._retired, self._channel) if not one.closed]
            self._channel = None
        with suppress(StoreError):  # what was there before may still be good
            self._context = _context(self.endpoint, self._target)
        self._channel = await connect(address(self.endpoint), self._context, CONNECT_S)
        return self._channel

    async def _look(self) -> Found:
        try:
            status = await self.ask(Call.STATUS, rpc.StatusRequest(), CONNECT_S)
        except CallError as error:
            if error.code != "PERMISSION_DENIED":
                raise
            # Since 3.6 only root is told the version.
            request = rpc.RangeRequest(key=REGISTRY.encode(), keys_only=True)
            answer = await self.ask(Call.RANGE, request, CONNECT_S)
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

    def close(self) -> None:
        """End all that is under way with it."""
        for channel in (*self._retired, *filter(None, [self._channel])):
            channel.close()
        self._retired, self._channel = [], None


def _context(endpoint: str, target: EtcdTarget) -> ssl.SSLContext | None:
    """How a member is talked to over TLS; None: it is talked to in plain text. StoreError."""
    if not is_tls(endpoint):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    file = target.ca_file
    try:
        if file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(file)
        file = target.cert_file
        if file is not None:
            with file.open():  # else the error does not say which of the two
                pass
            file = target.key_file
            context.load_cert_chain(str(target.cert_file), file)
    except ssl.SSLError as error:
        raise StoreError(f"cannot use {file}: {error.reason or error}") from error
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror}") from error
    return context
