"""Answering plain requests: alone in a task, in groups, or in the step in which they arrive.

Invariant: a client gets the answer that it would get from `edge.http`, which serves all other
requests.
"""

import asyncio
from collections.abc import Callable, Sequence

from kubeherd.cluster.api import errors
from kubeherd.cluster.apiserver.edge.heads import Heads
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse
from kubeherd.cluster.apiserver.edge.parameters import first_values
from kubeherd.cluster.apiserver.edge.plain import requests
from kubeherd.cluster.apiserver.edge.plain.connection import Gathered, PlainConnection
from kubeherd.cluster.apiserver.edge.responses import error_response
from kubeherd.cluster.apiserver.handlers.begun import ANSWER_US, BEGIN_US, Begun, settled
from kubeherd.cluster.apiserver.server import ApiServer


class PlainServer:
    """Serves an `ApiServer` to `PlainConnection`s."""

    def __init__(self, api: ApiServer, heads: Heads) -> None:
        self._api = api
        self._heads = heads

    async def answer(self, connection: PlainConnection, request: requests.Plain) -> bool:
        """Answer a plain request; whether the connection goes on."""
        try:
            if request.waits:
                connection.watching = asyncio.current_task()
            answer = await self._api.handle(self._api_request(connection, request))
        except errors.ApiError as error:
            answer = error_response(error)
        finally:
            connection.watching = None
        if not isinstance(answer, ApiResponse):  # a fault that has just begun breaks the connection
            connection.drop()
            return False
        head, ends = self._heads.plain(connection, answer)
        return await connection.send(head, answer.content) and not ends

    def _api_request(self, connection: PlainConnection, request: requests.Plain) -> ApiRequest:
        """The request for the API server; Unauthorized if the client shows nothing valid."""
        shown = request.headers.get("authorization")
        return ApiRequest(
            method=request.method,
            path=request.path,
            query=first_values(request.query),
            headers=request.headers,
            body=request.body,
            user=self._api.authenticator.user(connection.identity, shown),
            raw_query=request.query,
            peer=connection.peer,
        )

    async def answer_together(self, gathered: Sequence[Gathered]) -> None:
        """Answer a group of writes; those that are no short writes are answered alone."""
        turns = self._api.services.turns
        begun: list[tuple[PlainConnection, Begun]] = []
        for connection, request in gathered:
            if not turns.take(BEGIN_US):
                await turns.room(BEGIN_US)
            one = self._begin(connection, request)
            if one is None:
                connection.answer_alone(request)
            else:
                begun.append((connection, one))
        await settled(self._api.services.store, [one for _, one in begun])
        for connection, one in begun:
            if not turns.take(ANSWER_US):
                await turns.room(ANSWER_US)
            self._write(connection, one.answer)

    def _begin(self, connection: PlainConnection, request: requests.Plain) -> Begun | None:
        """Begin a write; None if it must be answered alone."""
        if connection.writing_paused:
            return None  # alone, its answer can wait until the client has read
        try:
            return self._api.begin(self._api_request(connection, request))
        except errors.ApiError:
            return None
        except Exception as error:  # a bug, which is met and told again when it is alone
            connection.log_exception(exc_info=error)
            return None

    def read(self, connection: PlainConnection, request: requests.Plain) -> bool:
        """As `Reader`, while there are writes. Without writes tasks are the cheaper way for reads:
        those that arrive together share the steps of the event loop."""
        if request.query or connection.writing_paused or not self._api.services.turns.busy:
            return False
        try:
            answer = self._api.read(self._api_request(connection, request))
        except errors.ApiError:
            return False
        if not isinstance(answer, ApiResponse):
            return False
        self._write(connection, lambda: answer)
        return True

    def _write(self, connection: PlainConnection, answer: Callable[[], ApiResponse]) -> None:
        """Write a small answer without waiting for the client to read it. A connection on which
        that fails, or what came meanwhile, ends alone: others of its group wait for theirs."""
        try:
            told = answer()
            head, ends = self._heads.plain(connection, told)
            connection.answered(goes_on=connection.write(head, told.content) and not ends)
        except Exception as error:  # a bug: the connection ends
            connection.log_exception(exc_info=error)
            connection.drop()
