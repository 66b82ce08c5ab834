"""What the launcher tells a person when something cannot be done."""

from kubeherd.cluster.api.failure import KubeherdError


class LauncherError(KubeherdError):
    """A failure with one clear line; the CLI prints it on stderr and exits 1."""
