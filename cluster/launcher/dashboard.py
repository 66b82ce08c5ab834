"""Asking the dashboard of a cluster for an address that lets one more browser in.

It answers on a Unix socket that only its user can open: the address is a secret, and belongs into
no log and no command line.
"""

import socket
from typing import Final

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.runtime.sockets.unixsockets import socket_address

_TIMEOUT_S: Final = 10.0
_MAX_BYTES: Final = 4096


def address(rundir: RunDir) -> str:
    """A new one; "" if the cluster has no dashboard that runs. LauncherError if it is silent."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(_TIMEOUT_S)
        try:
            with socket_address(rundir.dashboard_socket) as place:
                asking.connect(place)
            with asking.makefile("rb") as answer:
                return answer.read(_MAX_BYTES).decode().strip()
        except (FileNotFoundError, ConnectionRefusedError):
            return ""
        except OSError as error:
            raise LauncherError(f"the dashboard does not answer: {error}") from error
