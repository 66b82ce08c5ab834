"""Renews the certificates of nodes that joined, each by the one that it has, before it ends.

As a kubelet does (`client.certificates`), but for all nodes of a directory in its supervisor: their
processes read what it writes. Invariants: a certificate is replaced by one that was issued, never
by nothing; a cluster that is away is asked again, with a growing delay, for as long as it takes.
"""

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime

import structlog

from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.cluster.client import certificates
from kubeherd.cluster.client.certificates import node_subject
from kubeherd.cluster.client.http.blocking import BlockingClient, BlockingTransport
from kubeherd.cluster.client.kubeconfig import KubeconfigError, load_kubeconfig
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.joining.nodes import REQUEST_TIMEOUT_S, write_identity
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

RETRY_BASE_S, RETRY_CAP_S = 2.0, 32.0
LOOK_INTERVAL_S = 3600.0
"""Real seconds after which it is looked again at the latest: nodes come, and clocks are set."""

_log = structlog.get_logger(__name__)


class Rotation:
    """Of one directory. `names` are its nodes, now; none, if it is not there any more."""

    def __init__(
        self, rundir: RunDir, names: Callable[[], Collection[str]], clock: Clock, rng: Rng
    ) -> None:
        self._rundir = rundir
        self._names = names
        self._clock = clock
        self._rng = rng
        self._retry_s: dict[str, float] = {}

    async def run(self) -> None:
        """Renew what is due, until cancelled."""
        while True:
            rest_s = await self.advance()
            await self._clock.sleep(rest_s)

    async def advance(self) -> float:
        """Renew each certificate that is due; seconds until the next one is."""
        rests_s = [await self._advance(name) for name in self._names()]
        return min([LOOK_INTERVAL_S, *rests_s])

    async def _advance(self, name: str) -> float:
        due = await asyncio.to_thread(self._due, name)
        if due is None:
            return LOOK_INTERVAL_S
        left_s = (due - self._clock.now()).total_seconds()
        if left_s > 0:
            return left_s
        try:
            await asyncio.to_thread(self._renew, name)
        except (KubeherdError, ValueError) as error:
            return self._failed(name, error)
        self._retry_s.pop(name, None)
        _log.info("certificate_renewed", node=name)
        return LOOK_INTERVAL_S

    def _failed(self, name: str, error: Exception) -> float:
        last_s = self._retry_s.get(name, RETRY_BASE_S / 2)
        delay_s = self._retry_s[name] = min(2 * last_s, RETRY_CAP_S)
        _log.warning("certificate_not_renewed", node=name, error=str(error), retry_s=delay_s)
        return delay_s * self._rng.uniform(1.0, 1.1)

    def _due(self, name: str) -> datetime | None:
        """When a node's certificate is to be renewed; None if it has none that can be read."""
        try:
            access = load_kubeconfig(self._rundir.node_kubeconfig(name))
            pem = access.certificate_pem
            return certificates.renewal_time(pem, self._rng.child(pem.hex()).uniform)
        except (KubeconfigError, ValueError):
            return None

    def _renew(self, name: str) -> None:
        access = load_kubeconfig(self._rundir.node_kubeconfig(name))
        with BlockingTransport(access) as transport:
            api = BlockingClient(transport, REQUEST_TIMEOUT_S)
            pair = certificates.obtain(api, node_subject(name))
        if name in self._names():
            write_identity(self._rundir, access, name, pair)
