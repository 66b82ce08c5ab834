"""Following everything that happens in etcd, over connections that come and go.

One watch of *all* keys: each revision then has an event, so it is known how far it is without
asking, whoever else uses this etcd. (The answer to a progress request cannot be relied on before
3.4.31 and 3.5.13, and etcd's own notes come every ten minutes.) It goes on at the revision after
the last complete one. A delete has the object's last state with it (`prev_kv`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import structlog

from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import Row, StoreError
from kubeherd.cluster.store.etcd.client import ANSWER_S, EtcdClient
from kubeherd.cluster.store.etcd.failures import judge
from kubeherd.cluster.store.etcd.grouping import Grouping, ToRow
from kubeherd.cluster.store.etcd.grpc.status import CallError
from kubeherd.cluster.store.etcd.member import Member
from kubeherd.cluster.store.etcd.messages import rpc
from kubeherd.cluster.store.sharedengine import Compacted, Progress

EVERYTHING = b"\0"
"""As the first key and as the end of a range: all keys."""

ALIVE_S = 3.0
"""Who asks a watch how far it is and gets no answer for so long looks for another member."""

_BACKOFF_S = 0.1
_BACKOFF_CAP_S = 2.0
_JITTER = 0.5
_BY_HAND = -1
"""The id in an answer to a progress request."""

_log = structlog.get_logger(__name__)


class Broken(StoreError):
    """The watch has ended; another can go on."""


class Watch:
    """One watch, on one member. `read` until it raises, then `cancel`."""

    def __init__(self, member: Member, after: int, to_row: ToRow) -> None:
        self.member = member
        self._grouping = Grouping(after, to_row)
        try:
            self._call = member.watch()
        except CallError as error:
            raise Broken(f"etcd at {member.endpoint}: {error.details}") from None
        self._messages = 0
        self._begun = False
        self._sound = member.found is not None and member.found.progress_is_sound

    async def open(self) -> int:
        """Start it; returns how far the member is. Broken, Compacted."""
        create = rpc.WatchCreateRequest(
            key=EVERYTHING,
            range_end=EVERYTHING,
            start_revision=self._grouping.revision + 1,
            progress_notify=True,
            prev_kv=True,
            fragment=True,
        )
        try:
            async with asyncio.timeout(ANSWER_S):
                self._call.write(rpc.WatchRequest(create_request=create).SerializeToString())
                created = await self._message()
        except TimeoutError:
            raise Broken(f"etcd at {self.member.endpoint} starts no watch in time") from None
        self._begun = True
        return int(created.header.revision)

    async def _message(self) -> Any:
        try:
            data = await self._call.read()
        except CallError as error:
            why = judge(error.code, error.details).why
            raise Broken(f"etcd at {self.member.endpoint}: {why}") from None
        if data is None:
            raise Broken(f"etcd at {self.member.endpoint} ended the watch")
        return self._looked_at(data)

    def _looked_at(self, data: bytes) -> Any:
        message = rpc.WatchResponse.FromString(data)
        self._messages += 1
        if message.canceled:
            raise self._cancelled(message)
        return message

    def _cancelled(self, message: Any) -> StoreError:
        oldest = message.compact_revision
        if oldest:
            return Compacted(f"etcd has forgotten what happened before revision {oldest}", oldest)
        self.member.forget()  # perhaps it does not know any more who we are
        why = judge("", message.cancel_reason).why
        return Broken(f"etcd at {self.member.endpoint} refuses a watch of all keys: {why}")

    async def read(self) -> Progress:
        """What happened next, as much of it as has come. Broken, Compacted."""
        rows: list[Row] = []
        revision = 0
        message = await self._message()
        while True:
            progress = self._progress(message)
            if progress is not None:
                rows.extend(progress.rows)
                revision = progress.revision
            data = self._call.take()
            if data is not None:
                message = self._looked_at(data)
            elif revision:
                return Progress(revision, rows)
            else:
                message = await self._message()

    def _progress(self, message: Any) -> Progress | None:
        if message.events:
            return self._grouping.events(message.events, fragment=message.fragment)
        if self._sound or message.watch_id != _BY_HAND:
            return self._grouping.nothing(message.header.revision)
        return None

    def ask(self) -> None:
        """Ask how far it is; if nothing at all comes in time, `read` raises Broken.

        Not before it is open: the answer would be taken for the first message, and the first one,
        which says how far etcd is, for news of what was shown.
        """
        if not self._begun:
            return
        asyncio.get_running_loop().call_later(ALIVE_S, self._cancel_if_silent, self._messages)
        request = rpc.WatchRequest(progress_request=rpc.WatchProgressRequest())
        self._call.write(request.SerializeToString())

    def _cancel_if_silent(self, messages: int) -> None:
        if self._messages == messages:
            self._call.cancel("it does not answer")

    def cancel(self) -> None:
        """End it."""
        self._call.cancel()


class Following:
    """What `SharedEngine.follow` is made of; there is one at a time."""

    def __init__(
        self, client: EtcdClient, rng: Rng, to_row: ToRow, newest: Callable[[], Awaitable[int]]
    ) -> None:
        self._client = client
        self._rng = rng
        self._to_row = to_row
        self._newest = newest
        self._watch: Watch | None = None

    async def events(self, after: int) -> AsyncIterator[Progress]:
        """As `SharedEngine.follow`."""
        attempt, broken = 0, False
        while True:
            watch = None
            try:
                watch = self._watch = Watch(await self._client.member(), after, self._to_row)
                await self._begin(watch, after)
                if broken:
                    broken = False
                    _log.info("etcd_watch_resumed", after=after, etcd=watch.member.endpoint)
                while True:
                    progress = await watch.read()
                    after, attempt = progress.revision, 0
                    yield progress
            except Compacted:
                raise
            except StoreError as error:
                if not broken:
                    broken = True
                    _log.warning("etcd_watch_broken", after=after, why=str(error))
            finally:
                self._watch = None
                if watch is not None:
                    self._client.avoid(watch.member)
                    watch.cancel()
            wait_s = min(_BACKOFF_CAP_S, _BACKOFF_S * 2 ** min(attempt, 8))
            await asyncio.sleep(self._rng.jittered(wait_s, _JITTER))
            attempt += 1

    async def _begin(self, watch: Watch, after: int) -> None:
        reached = await watch.open()
        if reached < after and (newest := await self._newest()) < after:
            raise Compacted(
                f"etcd is at revision {newest} and was at {after}: an older snapshot was restored"
            )

    def ask(self) -> None:
        """As `SharedEngine.ask_progress`."""
        if self._watch is not None:
            self._watch.ask()


async def oldest(client: EtcdClient) -> int:
    """The oldest revision at which etcd can be read. StoreError.

    It says so only to who wants to watch from an older one.
    """
    watch = Watch(await client.member(), 0, lambda _: None)
    try:
        await watch.open()
        async with asyncio.timeout(ANSWER_S):
            await watch.read()
    except Compacted as found:
        return found.revision
    except TimeoutError:
        raise Broken("etcd does not say how far back it can be read") from None
    finally:
        watch.cancel()
    return 1
