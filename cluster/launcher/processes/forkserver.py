"""Starting a fork server (`python -m kubeherd.agents.spawner`) by fork and exec."""

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from kubeherd.cluster.runtime.files import LOG_FLAGS, LOG_MODE, spare

NO_SYSTEM_AUTHORITIES = {"SSL_CERT_FILE": os.devnull}
"""Each process is given its cluster's authority and trusts no other; aiohttp would read those of
the system when it is imported (20 ms, 2 MB)."""
_CONTROL_FD = 3
_COMMAND = (sys.executable, "-P", "-m", "kubeherd.agents.spawner", "--control-fd")


def execute(
    log: str | Path, environment: Mapping[str, str], *options: str, new_session: bool = False
) -> tuple[int, socket.socket]:
    """Start a fork server by fork and exec: its pid and our end of its control socket; OSError."""
    ours, theirs = socket.socketpair()
    try:
        with spare(theirs.fileno()) as control:
            pid = os.posix_spawn(
                sys.executable,
                [*_COMMAND, str(_CONTROL_FD), *options],
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, log, LOG_FLAGS, LOG_MODE),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                    (os.POSIX_SPAWN_DUP2, control, _CONTROL_FD),
                ],
                setsid=new_session,
            )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return pid, ours
