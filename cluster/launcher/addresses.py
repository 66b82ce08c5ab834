"""Addresses of the API server: where it listens, and by which others find it.

Addresses are written as `ipaddress` writes them. Invariant: nothing here names an address beyond
loopback unless somebody has asked for one.
"""

import re
import socket
from typing import Final

from kubeherd.cluster.launcher.errors import LauncherError

LOOPBACK: Final = "127.0.0.1"
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not bound
_ROUTES = ((socket.AF_INET, ("192.0.2.1", 9)), (socket.AF_INET6, ("2001:db8::1", 9)))
"""Addresses for documentation (RFC 5737, RFC 3849), to ask for the route to: nothing is sent."""
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9][-a-z0-9]{0,62}(\.[a-z0-9][-a-z0-9]{0,62})*")
_NUMBERS = re.compile(r"[0-9.]*")


def is_wildcard(listen: str) -> bool:
    """Whether this means all addresses of the machine."""
    return listen in _WILDCARDS


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach this address."""
    return host in ("::1", "localhost") or bool(
        host.startswith("127.") and _NUMBERS.fullmatch(host)
    )


def url(host: str, port: int) -> str:
    """The URL of an API server; `host` is an address or a name."""
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def check_listen(text: str) -> str:
    """An address to listen on; LauncherError if it is none."""
    import ipaddress  # noqa: PLC0415 - most clusters listen where all do

    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise LauncherError(
            f'cannot listen on "{text}": give an IP address of this machine, or 0.0.0.0 for all'
        ) from None


def check_host(text: str) -> str:
    """An address or a DNS name of an API server; LauncherError if it is neither, or names no
    particular machine."""
    import ipaddress  # noqa: PLC0415 - as above

    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        if _HOST_NAME.fullmatch(text) and not _NUMBERS.fullmatch(text):
            return text
        raise LauncherError(f'"{text}" is neither an IP address nor a DNS name') from None
    if address.is_unspecified or address.is_multicast:
        raise LauncherError(f"no API server can be reached at {text}")
    return str(address)


def of_this_machine() -> str:
    """The address by which other machines most likely reach this one: that of its route to the
    world. LauncherError if it has none."""
    for family, somewhere in _ROUTES:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(somewhere)
                return str(probe.getsockname()[0])
        except OSError:
            continue
    raise LauncherError(
        "this machine has no route to others, which would tell its address: give it with "
        "--advertise-address"
    )


def why_not(listen: str, port: int) -> str:
    """Why nothing can listen there now, "" if it can."""
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((listen, port))
    except OSError as error:
        return error.strerror or str(error)
    return ""
