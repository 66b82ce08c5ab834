"""What the launcher tells a person when something cannot be done."""


class LauncherError(Exception):
    """A failure with one clear line; the CLI prints it on stderr and exits 1."""
