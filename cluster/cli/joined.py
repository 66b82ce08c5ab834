"""What a directory can tell of its nodes if their cluster is elsewhere: each node asks for itself,
because none may ask for another."""

import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

import msgspec

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.helpers import nodeutil
from kubeherd.cluster.api.kinds import NODES
from kubeherd.cluster.api.objects import Node
from kubeherd.cluster.cli.api import not_ready
from kubeherd.cluster.client.http.blocking import BlockingClient, BlockingTransport
from kubeherd.cluster.client.kubeconfig import KubeconfigError, load_kubeconfig
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher.directory.rundir import RunDir

REQUEST_TIMEOUT_S = 3.0
_AT_ONCE = 16
_LOOK_INTERVAL_S = 0.2


def look(rundir: RunDir, names: Collection[str]) -> dict[str, bool]:
    """Which of these nodes are Ready, as far as the cluster answers."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda name: (name, _is_ready(rundir, name)), names)
        return {name: ready for name, ready in found if ready is not None}


def _is_ready(rundir: RunDir, name: str) -> bool | None:
    try:
        with BlockingTransport(load_kubeconfig(rundir.node_kubeconfig(name))) as transport:
            tree = BlockingClient(transport, REQUEST_TIMEOUT_S).find(NODES, "", name)
    except (KubeconfigError, TransportError, ApiError):
        return None
    return None if tree is None else nodeutil.is_ready(msgspec.convert(tree, Node))


def wait_for_nodes(
    rundir: RunDir,
    names: Collection[str],
    timeout_s: float,
    progress: Callable[[int], None],
) -> None:
    """Wait until all these Nodes are Ready, telling how many are; LauncherError as `api`'s."""
    late, deadline_s = set(names), time.monotonic() + timeout_s
    while late:
        late -= {name for name, ready in look(rundir, late).items() if ready}
        progress(len(names) - len(late))
        if late and time.monotonic() > deadline_s:
            raise not_ready(late, timeout_s)
        if late:
            time.sleep(_LOOK_INTERVAL_S)
