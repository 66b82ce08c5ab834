"""``python -m kubeherd.cluster.apiserver``: one API server over the store in a run directory."""

import argparse
import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import kubeherd.cluster.runtime.descriptors
import kubeherd.cluster.runtime.lean.aiohttp_server
import kubeherd.cluster.runtime.lean.cryptography
import kubeherd.cluster.runtime.lean.structlog  # noqa: F401 - before all that imports structlog

# isort: split
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.apiserver import bootstrap
from kubeherd.cluster.apiserver.edge.http import HttpServer
from kubeherd.cluster.apiserver.edge.listener import connection_limit
from kubeherd.cluster.apiserver.edge.tls import ServerContext, tls_context
from kubeherd.cluster.apiserver.server import ApiServer, attrs_of
from kubeherd.cluster.apiserver.write.heavywork import SWITCH_INTERVAL_S
from kubeherd.cluster.runtime import process
from kubeherd.cluster.runtime.clock import Clock, LoopClock
from kubeherd.cluster.runtime.process import Lifecycle, ProcessError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.sockets.faultsocket import hurtable
from kubeherd.cluster.runtime.sockets.listening import taken
from kubeherd.cluster.runtime.sockets.scraping import scraped
from kubeherd.cluster.runtime.turns import Turns
from kubeherd.cluster.store.engine import Engine, MemoryEngine, StoreError
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.store import Store, running

if TYPE_CHECKING:
    from kubeherd.cluster.apiserver.recording.recording import Recording

_LOOPBACK = "127.0.0.1"
_NAME = "apiserver"


def arguments(argv: list[str]) -> argparse.Namespace:
    """Parse the command line; exits with 2 where it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m kubeherd.cluster.apiserver", description=__doc__
    )
    parser.add_argument("--dir", type=Path, required=True, help="the cluster's run directory")
    parser.add_argument("--port", type=int, default=6443, help="0 picks a free one")
    parser.add_argument(
        "--bind-address",
        default=_LOOPBACK,
        metavar="ADDRESS",
        help=f"where it listens (default {_LOOPBACK}: this machine only)",
    )
    _sharing_arguments(parser)
    parser.add_argument("--store", choices=("sqlite", "memory", "etcd"), default="sqlite")
    _etcd_arguments(parser)
    parser.add_argument("--speed", type=float, default=1.0, help="shortens every wait by this")
    parser.add_argument("--seed", type=int, default=None, help="makes chance repeatable")
    parser.add_argument(
        "--accept-loss-after",
        type=int,
        metavar="REVISION",
        help="go on with a damaged store that can be read up to this revision",
    )
    parser.add_argument(
        "--exec-local",
        action="store_true",
        help="commands of kubectl exec run as processes of this user",
    )
    parser.add_argument(
        "--audit-policy",
        type=Path,
        metavar="FILE",
        help="log requests as this policy (audit.k8s.io/v1) says",
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="add the history of the run to this file"
    )
    parser.add_argument(
        "--record-requests",
        action="store_true",
        help="with --record: requests and answers, too, not only what was written",
    )
    _replay_arguments(parser)
    return parser.parse_args(argv)


def _sharing_arguments(parser: argparse.ArgumentParser) -> None:
    """For one of several servers of a cluster."""
    parser.add_argument(
        "--name", default=_NAME, help="of this one among several: of its log and sockets"
    )
    parser.add_argument(
        "--front",
        type=Path,
        metavar="SOCKET",
        help="serve on the socket, too, that is given away here, as others do",
    )


def _replay_arguments(parser: argparse.ArgumentParser) -> None:
    """For a server that has no store, but a history to show."""
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="show this history, read only, as of its end"
    )
    parser.add_argument(
        "--replay-revision", type=int, metavar="REVISION", help="show it as of this revision"
    )
    parser.add_argument(
        "--replay-time", type=float, metavar="SECONDS", help="or as of so long after the epoch"
    )
    parser.add_argument(
        "--replay-speed", type=float, default=0.0, metavar="N", help="go on, N times as fast"
    )


def _etcd_arguments(parser: argparse.ArgumentParser) -> None:
    """Named as kube-apiserver's; a user and password are in ETCD_USER and ETCD_PASSWORD."""
    parser.add_argument(
        "--etcd-servers", default="", metavar="URL,...", help="with --store etcd: its members"
    )
    for name, what in (
        ("cafile", "the CA of etcd's certificates"),
        ("certfile", "our certificate to etcd"),
        ("keyfile", "its key"),
    ):
        parser.add_argument(f"--etcd-{name}", type=Path, metavar="FILE", help=what)


def _audit(api: ApiServer, policy: Path, log: Path) -> None:
    from kubeherd.cluster.api import auditpolicy  # noqa: PLC0415 - off mostly

    try:
        api.audit(auditpolicy.load(policy.read_bytes()), log)
    except OSError as error:
        raise ProcessError(f"cannot audit: {error.filename}: {error.strerror}") from None
    except auditpolicy.PolicyError as error:
        raise ProcessError(f"{policy} is no audit policy: {error}") from None


def _engine(options: argparse.Namespace) -> Engine:
    path = options.dir / "store.db"
    if options.store == "memory":
        return _memory(path)
    from kubeherd.cluster.store.sqlite.engine import SqliteEngine  # noqa: PLC0415 - tests need none

    return SqliteEngine(path, options.accept_loss_after)


def _memory(start: Path) -> Engine:
    """Of a restored cluster, one that begins with what was restored."""
    if not start.exists():
        return MemoryEngine()
    from kubeherd.cluster.store.sqlite.seeded import SeededEngine  # noqa: PLC0415 - seldom

    return SeededEngine(start)


def _faults_socket(options: argparse.Namespace) -> Path | None:
    """Where the supervisor tells what goes wrong; a server that has none is told nothing."""
    run: Path = options.dir / "run"
    return run / f"{options.name}.faults" if run.is_dir() else None


def chance(seed: int | None, clock: Clock, name: str = _NAME) -> Rng:
    """The chance of one life of the server of this name.

    No two lives share it, not even with one seed: uids and generated names must never come again.
    """
    life = clock.now().isoformat()
    return Rng(seed).child(life if name == _NAME else f"{name} {life}")


async def serve(options: argparse.Namespace, lifecycle: Lifecycle) -> None:
    """Open the store, serve until asked to stop, commit what is staged, close.

    ProcessError for a taken port, missing certificates, a store that cannot be opened or takes no
    write when it has to, and one whose last write has an unknown outcome: whoever starts this
    process again has it read back.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if options.replay is not None:
        await _replay(options, lifecycle)
        return
    tls = tls_context(options.dir / "pki")
    clock = LoopClock(options.speed)
    rng = chance(options.seed, clock, options.name)
    try:
        recording = None if options.record is None else _recording(options, clock)
        turns = Turns()
        store = _store(options, rng.child("store"), recording, turns)
        async with running(store):
            api = _api(options, store, clock, rng.child("apiserver"), turns)
            if recording is not None:
                _record(api, store, recording, requests=options.record_requests)
            await _answer(api, clock, rng.child("audit"), (options, lifecycle, tls))
        if recording is not None:
            recording.end()
    except* (StoreError, ProcessError, ApiError) as group:
        raise ProcessError(str(group.exceptions[0])) from None


async def _replay(options: argparse.Namespace, lifecycle: Lifecycle) -> None:
    from kubeherd.cluster.apiserver.replaying import serving  # noqa: PLC0415 - few do

    try:
        await serving.serve(options, lifecycle)
    except* ProcessError as group:
        raise ProcessError(str(group.exceptions[0])) from None


def _recording(options: argparse.Namespace, clock: Clock) -> "Recording":
    """What records the history of the run."""
    from kubeherd.cluster.apiserver.recording.recording import Recording  # noqa: PLC0415 - off mostly
    from kubeherd.history import Began  # noqa: PLC0415

    began = Began(at=0.0, source="cluster", seed=options.seed or 0, speed=options.speed)
    return Recording(options.record, clock, began)


def _record(api: ApiServer, store: Store, recording: "Recording", *, requests: bool) -> None:
    try:
        recording.opened(store)
    except OSError as error:
        raise ProcessError(f"cannot record: {error.filename}: {error.strerror}") from None
    except ValueError as error:  # HistoryError, or a line that is none of a history
        raise ProcessError(f"cannot record: {error}") from None
    api.record(recording.recorder, requests=requests)


def _store(
    options: argparse.Namespace, rng: Rng, recording: "Recording | None", turns: Turns
) -> Store:
    if options.store == "etcd":
        return _shared_store(options, rng, recording)
    engine = _engine(options)
    if recording is None:
        return LocalStore(engine, attrs_of, rng=rng, turns=turns)
    from kubeherd.cluster.store.followed import FollowedStore  # noqa: PLC0415 - off mostly

    return FollowedStore(engine, attrs_of, recording.recorder, rng=rng, turns=turns)


def _shared_store(options: argparse.Namespace, rng: Rng, recording: "Recording | None") -> Store:
    try:
        from kubeherd.cluster.store.etcd.engine import EtcdEngine  # noqa: PLC0415 - an extra
        from kubeherd.cluster.store.etcd.target import EtcdTarget  # noqa: PLC0415
    except ImportError as error:
        raise ProcessError(
            f"--store etcd needs a package that is not installed ({error.name}): "
            "pip install 'kubeherd[etcd]'"
        ) from None
    from kubeherd.cluster.store.shared import SharedStore  # noqa: PLC0415 - for etcd only

    target = EtcdTarget(
        tuple(filter(None, options.etcd_servers.split(","))),
        options.etcd_cafile,
        options.etcd_certfile,
        options.etcd_keyfile,
        os.environ.get("ETCD_USER", ""),
        os.environ.get("ETCD_PASSWORD", ""),
    )
    engine = EtcdEngine(target, rng.child("etcd"))
    if recording is None:
        return SharedStore(engine, attrs_of, rng=rng)
    from kubeherd.cluster.store.followed import FollowedSharedStore  # noqa: PLC0415 - off mostly

    return FollowedSharedStore(engine, attrs_of, recording.recorder, rng=rng)


def _api(
    options: argparse.Namespace, store: Store, clock: Clock, rng: Rng, turns: Turns
) -> ApiServer:
    api = ApiServer(
        store,
        clock,
        rng,
        pod_log_dir=options.dir / "logs" / "pods",
        pki=options.dir / "pki",
        run_dir=options.dir / "run",
        exec_local=options.exec_local,
        turns=turns,
    )
    if options.audit_policy is not None:
        log = "audit.log" if options.name == _NAME else f"audit-{options.name}.log"
        _audit(api, options.audit_policy, options.dir / "logs" / log)
    return api


async def _answer(
    api: ApiServer,
    clock: Clock,
    rng: Rng,
    process: tuple[argparse.Namespace, Lifecycle, ServerContext],
) -> None:
    """Serve until asked to stop."""
    options, lifecycle, tls = process
    await api.bootstrap()
    http = HttpServer(api, clock, rng, max_connections=connection_limit())
    port = await http.start(options.bind_address, options.port, tls)
    own = _address(options.bind_address, port)
    metrics: Path | None = None
    if options.front is None:
        api.server_address = own
    else:
        front = _front(options.front)
        api.server_address = _address(*front.getsockname()[:2])
        http.share(front, tls)
        metrics = options.front.parent / f"{options.name}.metrics"
    background = asyncio.create_task(api.run(), name="maintenance")
    try:
        async with hurtable(_faults_socket(options), api.hurt), scraped(metrics, api.families):
            lifecycle.ready(url=f"https://{own}", port=port)
            await lifecycle.stop.wait()
    finally:
        await http.stop()
        api.close()
        background.cancel()
        await asyncio.gather(background, return_exceptions=True)


def warm_up() -> None:
    """Load what every API server loads as it starts (`agents.spawner`)."""
    import encodings.ascii  # noqa: F401, PLC0415 - of what is decoded first

    bootstrap.warm_up(LoopClock().now())


def _front(path: Path) -> socket.socket:
    try:
        return taken(path)
    except OSError as error:
        why = error.strerror or error
        raise ProcessError(f"no socket to listen on is given away at {path}: {why}") from None


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def main(argv: list[str] | None = None) -> int:
    """The exit code of the process."""
    options = arguments(sys.argv[1:] if argv is None else argv)
    if not options.speed >= 1e-3:
        print("--speed must be at least 0.001", file=sys.stderr)
        return process.ExitCode.USAGE
    return process.run(lambda lifecycle: serve(options, lifecycle), options.name)


if __name__ == "__main__":
    sys.exit(main())
