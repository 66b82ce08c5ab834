"""The `kubeherd` command: its groups, its version, and what a failure looks like.

Invariants: exit code 0 done, 1 failed with one line on standard error, 2 wrong usage, 128 and the
number of the signal that interrupted it (130 for Ctrl-C); no traceback reaches a user
(KUBEHERD_DEBUG=1 shows it to a developer).
"""

import os
import sys
from typing import Any

import kubeherd.cluster.runtime.descriptors  # noqa: F401 - before anything is opened
from kubeherd.cluster.cli import interrupts  # from here on Ctrl-C is quiet: loading takes a while

# isort: split
import click

from kubeherd.cluster.api.errors import ApiError, Unauthorized
from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.cluster.api.version import KUBEHERD_VERSION, KUBERNETES_VERSION
from kubeherd.cluster.cli.lazy import LazyGroup
from kubeherd.cluster.cli.lifecycle import down, up
from kubeherd.cluster.cli.logs import logs
from kubeherd.cluster.cli.nodes import node
from kubeherd.cluster.cli.output import interrupted
from kubeherd.cluster.cli.status import status

_LAZY = {
    "bench": "kubeherd.bench.command:bench",
    "cert": "kubeherd.cluster.cli.certificates:cert",
    "chaos": "kubeherd.chaos.command:chaos",
    "check": "kubeherd.chaos.checking.command:check",
    "completion": "kubeherd.cluster.cli.completion:completion",
    "dashboard": "kubeherd.dashboard.command:dashboard",
    "demo": "kubeherd.demo.command:demo",
    "fault": "kubeherd.cluster.cli.faults.commands:fault",
    "faults": "kubeherd.cluster.cli.faults.listing:faults",
    "join": "kubeherd.cluster.cli.join:join",
    "kubeconfig": "kubeherd.cluster.cli.kubeconfigs:kubeconfig",
    "record": "kubeherd.recording.command:record",
    "replay": "kubeherd.replay.command:replay",
    "simulate": "kubeherd.chaos.simulate:simulate",
    "speed": "kubeherd.cluster.cli.speed:speed",
    "snapshot": "kubeherd.snapshot.command:snapshot",
    "timeline": "kubeherd.timeline.command:timeline",
    "token": "kubeherd.cluster.cli.token:token",
    "watch": "kubeherd.watch.command:watch",
}
_VERSION_TEXT = f"kubeherd {KUBEHERD_VERSION}, serves Kubernetes {KUBERNETES_VERSION}"

_EPILOG = """\b
Examples:
  kubeherd demo
  kubeherd up --nodes 5
  export KUBECONFIG=$PWD/.kubeherd/kubeconfig
  kubectl get nodes
  kubeherd node kill node-2
  kubeherd status
  kubeherd down
"""


class _OneLineErrors(LazyGroup):
    """Turns every failure into one line on standard error and exit code 1, or that of a signal."""

    def main(self, *args: Any, **extra: Any) -> Any:
        interrupts.loading()
        try:
            return super().main(*args, **extra)
        finally:
            interrupts.loaded()

    def invoke(self, ctx: click.Context) -> Any:
        interrupts.loaded()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise interrupted("interrupted") from None
        except BrokenPipeError:  # who reads what is printed (head, less) has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return None
        except Unauthorized as error:
            raise click.ClickException(
                "the API server does not accept these credentials: they have ended, or are of "
                "another cluster (`kubeherd cert list` shows certificates)"
            ) from error
        except ApiError as error:
            raise click.ClickException(f"the API server refused: {_one_line(error)}") from error
        except KubeherdError as error:
            raise click.ClickException(_one_line(error)) from error
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if os.environ.get("KUBEHERD_DEBUG"):
                raise
            what = f"{type(error).__name__}: {_one_line(error)}"
            raise click.ClickException(f"{what} (KUBEHERD_DEBUG=1 shows where)") from error


@click.group(
    cls=_OneLineErrors,
    lazy=_LAZY,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(KUBEHERD_VERSION, message=_VERSION_TEXT)
def main() -> None:
    """A Kubernetes-compatible cluster of real processes on this machine.

    The API server, the controller manager and one agent per node run in the background; pods are
    fake, everything else behaves like Kubernetes. All of a cluster lies in one directory.
    """


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


for _command in (up, down, status, node, logs):
    main.add_command(_command)

interrupts.loaded()


def run() -> None:
    """The program `kubeherd`."""
    try:
        main()
    finally:
        interrupts.done()


if __name__ == "__main__":
    run()
