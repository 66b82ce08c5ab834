"""``python -m kubeherd.dashboard``: the dashboard as a process of a cluster (`up --dashboard`)."""

import argparse
import sys
from pathlib import Path

import kubeherd.cluster.runtime.descriptors
import kubeherd.cluster.runtime.lean.aiohttp_server
import kubeherd.cluster.runtime.lean.structlog  # noqa: F401 - before all that imports structlog

# isort: split
from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.runtime import process
from kubeherd.cluster.runtime.process import Lifecycle, ProcessError
from kubeherd.cluster.runtime.together import together
from kubeherd.dashboard.running import show_cluster
from kubeherd.dashboard.web.server import listening
from kubeherd.following.live import source


def main(argv: list[str] | None = None) -> int:
    """Show the cluster until SIGTERM; the exit code. Who wants an address asks the socket."""
    parser = argparse.ArgumentParser(
        prog="python -m kubeherd.dashboard", description="Show one cluster in a browser."
    )
    parser.add_argument("--dir", type=Path, required=True, help="the cluster's directory")
    options = parser.parse_args(argv)

    async def serve(lifecycle: Lifecycle) -> None:
        try:
            showing = show_cluster(
                source(None, RunDir(options.dir)),
                listening(None),
                lambda _address: lifecycle.ready(),
                read_only=False,
            )
            await together(showing, lifecycle.stop.wait())
        except KubeherdError as error:
            raise ProcessError(str(error)) from error

    return process.run(serve, "dashboard")


if __name__ == "__main__":
    sys.exit(main())
