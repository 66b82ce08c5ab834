"""A Kubernetes-compatible cluster that fits in a virtualenv.

This is all of the public interface (docs/python-api.md), apart from the command `kubeherd`, the
pytest plugin (docs/pytest.md) and `kubeherd.simulation`; everything else may change. Names are
imported when they are first used: `import kubeherd` alone costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubeherd import clients, faults
    from kubeherd.asynchronous import AsyncCluster
    from kubeherd.blocking import Cluster
    from kubeherd.conditions import is_ready, is_rolled_out
    from kubeherd.errors import (
        AlreadyExists,
        ApiError,
        ConditionTimeout,
        Conflict,
        KubeherdError,
        LauncherError,
        MissingLibrary,
        NotFound,
        TransportError,
    )
    from kubeherd.facts import Process

__all__ = [
    "AlreadyExists",
    "ApiError",
    "AsyncCluster",
    "Cluster",
    "ConditionTimeout",
    "Conflict",
    "KubeherdError",
    "LauncherError",
    "MissingLibrary",
    "NotFound",
    "Process",
    "TransportError",
    "clients",
    "faults",
    "is_ready",
    "is_rolled_out",
]

_HOMES = {
    "AsyncCluster": "asynchronous",
    "Cluster": "blocking",
    "Process": "facts",
    "is_ready": "conditions",
    "is_rolled_out": "conditions",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("clients", "faults"):
        return import_module(f"kubeherd.{name}")
    return getattr(import_module(f"kubeherd.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
