"""Imports aiohttp without what the processes that use it do not need.

aiohttp makes a TLS context when it is imported, and reads all CAs of the system for it: 20 to 30 ms
of processor time for a context that nothing here uses, for each of our connections has one of its
own. Invariant: a connection that should come without one trusts nobody. Its value classes take as
long to be made by attrs (`lean.attrs`). And it loads what it needs for proxies and passwords from
the environment, cookies that are kept, names that are not ASCII, and forms: all of that together is
another tenth (`lean.standins`).
"""

import ssl
import sys

if "aiohttp.connector" not in sys.modules:
    from kubeherd.cluster.runtime.lean import attrs as lean_attrs
    from kubeherd.cluster.runtime.lean import standins as lean_standins

    _UNUSED = ("email.parser", "email.policy", "html", "idna", "netrc", "urllib.request")
    _whole = ssl.create_default_context
    ssl.create_default_context = lambda: ssl.SSLContext(  # type: ignore[assignment, misc]
        ssl.PROTOCOL_TLS_CLIENT
    )
    try:
        lean_standins.load("aiohttp", _UNUSED, lean_attrs.load)
    finally:
        ssl.create_default_context = _whole
