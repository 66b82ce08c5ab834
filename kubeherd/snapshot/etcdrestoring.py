"""The objects of a snapshot in the etcd of a new cluster: one of its own, or one that is given.

Its own runs for as long as that takes, in the directory where the cluster is built, with the ports
and the certificates that it will have.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kubeherd.cluster.launcher import addresses, plan
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.pki.etcdpki import EtcdPki
from kubeherd.cluster.launcher.processes import etcd
from kubeherd.cluster.launcher.processes.children import Child
from kubeherd.cluster.launcher.processes.osproc import MARKER_VARIABLE
from kubeherd.cluster.launcher.settings import Settings
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import StoreError
from kubeherd.snapshot import sharing
from kubeherd.snapshot.model import Snapshot, SnapshotError

if TYPE_CHECKING:
    from kubeherd.cluster.store.etcd.engine import EtcdEngine

_START_S: Final = 30.0
_STOP_S: Final = 10.0


async def fill_own(snapshot: Snapshot, rundir: RunDir, settings: Settings) -> int:
    """Make the etcd of a cluster that was never up; returns its revision. LauncherError if it does
    not start or ends early; StoreError."""
    url = addresses.url(addresses.LOOPBACK, settings.etcd_port)
    files = [rundir.pki / f"etcd-{file}" for file in ("ca.crt", "client.crt", "client.key")]
    EtcdPki(rundir).keep()
    spec = plan.etcd(settings, rundir)
    async with _serving(spec, rundir) as child:
        try:
            return await sharing.fill(_engine([url], files), snapshot)
        except (SnapshotError, StoreError):
            if not child.ended.is_set():
                raise
            raise SnapshotError(f"etcd ended: {_why(etcd.complaint(spec.log))}") from None


async def fill_given(snapshot: Snapshot, settings: Settings, finish: Callable[[], object]) -> int:
    """Fill the etcd that the settings name, then call `finish`, as `sharing.fill`."""
    named = (settings.etcd_cafile, settings.etcd_certfile, settings.etcd_keyfile)
    files = [Path(file) if file else None for file in named]
    return await sharing.fill(_engine(settings.etcd_endpoints, files), snapshot, finish)


def _engine(endpoints: Sequence[str], files: Sequence[Path | None]) -> "EtcdEngine":
    try:
        from kubeherd.cluster.store.etcd.engine import EtcdEngine  # noqa: PLC0415 - an extra
        from kubeherd.cluster.store.etcd.target import EtcdTarget  # noqa: PLC0415
    except ImportError as error:
        raise SnapshotError(
            f"--store etcd needs a package that is not installed ({error.name}): "
            "pip install 'kubeherd[etcd]'"
        ) from None
    user, password = (os.environ.get(f"ETCD_{word}", "") for word in ("USER", "PASSWORD"))
    ca, certificate, key = files
    target = EtcdTarget(tuple(endpoints), ca, certificate, key, user, password)
    return EtcdEngine(target, Rng())


@contextlib.asynccontextmanager
async def _serving(spec: plan.ProcessSpec, rundir: RunDir) -> AsyncIterator[Child]:
    try:
        child = etcd.start(spec, {**os.environ, MARKER_VARIABLE: str(rundir.root)})
    except OSError as error:
        raise SnapshotError(f"etcd could not start: {error.strerror or error}") from None
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                await etcd.announce(child, spec.port, rundir.pki)
        if not child.ready.is_set():
            raise SnapshotError(f"etcd could not start: {_why(child.failure)}")
        yield child
    finally:
        await _stop(child)


async def _stop(child: Child) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        child.send_signal(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await child.ended.wait()
                return


def _why(complaint: str) -> str:
    return complaint or "it does not say why"
