"""Imports aiohttp's server, as lean as `lean.aiohttp` the rest: for the process that serves."""

import sys

import kubeherd.cluster.runtime.lean.aiohttp  # noqa: F401 - first

if "aiohttp.web_server" not in sys.modules:
    from kubeherd.cluster.runtime.lean import attrs as lean_attrs
    from kubeherd.cluster.runtime.lean import standins as lean_standins

    lean_standins.load("aiohttp.web_server", ("html", "tempfile"), lean_attrs.load)
