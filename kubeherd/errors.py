"""What kubeherd raises. Everything is a `KubeherdError`, whose text is for a person."""

from kubeherd.cluster.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher.errors import LauncherError

__all__ = [
    "AlreadyExists",
    "ApiError",
    "ConditionTimeout",
    "Conflict",
    "KubeherdError",
    "LauncherError",
    "MissingLibrary",
    "NotFound",
    "TransportError",
]


class ConditionTimeout(KubeherdError, TimeoutError):
    """What was waited for did not happen in time; the text ends with what was there instead."""


class MissingLibrary(KubeherdError, ImportError):
    """A client library is not installed; the text names the package to install."""
