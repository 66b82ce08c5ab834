"""The `kubeherd` command within the process of the test.

One of its own takes a third of a second of processor time until it does anything: it is for tests
of signals, descriptors, locales and of what an installed program is.
"""

from pathlib import Path
from subprocess import CompletedProcess

from click.testing import CliRunner

from kubeherd.cluster.cli.main import main


def kubeherd(directory: Path, *args: str) -> CompletedProcess[str]:
    """What the command did to the cluster in a directory; a surprise is raised."""
    environment = {"KUBEHERD_DIR": str(directory), "KUBEHERD_SPEED": "20"}
    result = CliRunner().invoke(main, args, env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return CompletedProcess(args, result.exit_code, result.stdout, result.stderr)
