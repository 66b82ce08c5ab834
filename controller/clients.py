"""With which identity each controller of the process writes: one connection pool an identity.

The process' own is for the caches, the election, and whoever has no other; the scheduler may have a
kubeconfig of its own, the other controllers their service accounts (`accounts`). All of them count
together, and say in their User-Agent which process they are.
"""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from kubeherd.cluster.client.batching import BatchingTransport, ProcessSlots
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import HttpTransport, from_kubeconfig
from kubeherd.cluster.client.transport import Transport
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.controller import registry
from kubeherd.controller.options import Options

if TYPE_CHECKING:
    from kubeherd.controller.accounts import AccountClients


class Clients:
    """The clients of one process; `closing` closes them. KubeconfigError for a file that cannot be
    used."""

    def __init__(self, options: Options, clock: Clock, closing: AsyncExitStack) -> None:
        self._options = options
        self._clock = clock
        self._closing = closing
        self._slots = ProcessSlots()
        self.http = from_kubeconfig(options.kubeconfig, user_agent=options.user_agent)
        self.own = self._client(self.http)
        self._scheduler = self.own
        if options.scheduler_kubeconfig:
            http = from_kubeconfig(options.scheduler_kubeconfig, user_agent=options.user_agent)
            self._scheduler = self._client(http)
        self._accounts = self._account_clients() if options.use_accounts else None

    def of(self, controller: str) -> ApiClient:
        """The client with which a controller writes."""
        if controller == registry.SCHEDULER:
            return self._scheduler
        return self.own if self._accounts is None else self._accounts.client(controller)

    def _client(self, http: HttpTransport) -> ApiClient:
        http.measures = self.http.measures
        private = not self._options.portable
        transport: Transport = BatchingTransport(http, self._slots) if private else http
        self._closing.push_async_callback(transport.close)
        return ApiClient(transport, self._clock, private_features=private)

    def _account_clients(self) -> "AccountClients":
        from kubeherd.controller.accounts import AccountClients, anonymous  # noqa: PLC0415

        http = HttpTransport(anonymous(self.http.access), user_agent=self._options.user_agent)
        http.measures = self.http.measures
        self._closing.push_async_callback(http.close)
        slots = None if self._options.portable else self._slots
        return AccountClients(self.own, http, self._clock, slots)
