"""The command line of an agent process."""

import argparse
from functools import cache
from pathlib import Path

from kubeherd.agents.node.addresses import MAX_PODS
from kubeherd.agents.node.nodestatus import NodeConfig
from kubeherd.cluster.api.objects import Taint

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_MIN_SPEED = 1e-3
_EXAMPLES = """examples:
  python -m kubeherd.agents --node node-1 --kubeconfig-dir .kubeherd/kubeconfigs
  python -m kubeherd.agents --node a --node b --fleet-kubeconfig FILE --taint db:NoSchedule
"""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The options; exits with 2 and a line that says what is wrong."""
    return command_line().parse_args(argv)


@cache
def command_line() -> argparse.ArgumentParser:
    """What reads the command line; made once for all processes that are forked from one."""
    parser = argparse.ArgumentParser(
        prog="python -m kubeherd.agents",
        description="Run fake Kubernetes nodes until SIGTERM.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--node",
        dest="nodes",
        action="append",
        required=True,
        metavar="NAME",
        help="name of a node; repeatable",
    )
    identity = parser.add_mutually_exclusive_group(required=True)
    identity.add_argument(
        "--kubeconfig-dir",
        type=Path,
        metavar="DIR",
        help="directory with NAME.kubeconfig, the identity of each node",
    )
    identity.add_argument(
        "--fleet-kubeconfig",
        type=Path,
        metavar="FILE",
        help="one identity for all nodes of the process",
    )
    _add_node_options(parser)
    parser.add_argument("--pod-log-dir", type=Path, metavar="DIR", help="write pod logs here")
    parser.add_argument(
        "--metrics-socket",
        type=Path,
        metavar="FILE",
        help="a Unix socket that answers with the metrics of this process",
    )
    parser.add_argument(
        "--faults-socket",
        type=Path,
        metavar="FILE",
        help="a Unix socket that is told what goes wrong on the nodes",
    )
    parser.add_argument(
        "--serve-kubelet",
        action="store_true",
        help="serve each node's kubelet API on loopback, for an API server that asks nodes for "
        "logs and exec; kubeherd's own does not",
    )
    parser.add_argument(
        "--reboot", action="store_true", help="the machines were rebooted: containers start anew"
    )
    parser.add_argument(
        "--json-only", action="store_true", help="use nothing that only kubeherd's server knows"
    )
    parser.add_argument(
        "--speed", type=_speed, default=1.0, help="nominal seconds per real second (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=None, help="seed of all chance")
    return parser


def _add_node_options(parser: argparse.ArgumentParser) -> None:
    repeatable = "for every node; repeatable"
    parser.add_argument(
        "--label", dest="labels", action="append", type=_pair, default=[], metavar="KEY=VALUE",
        help=repeatable,
    )  # fmt: skip
    parser.add_argument(
        "--annotation", dest="annotations", action="append", type=_pair, default=[],
        metavar="KEY=VALUE", help=repeatable,
    )  # fmt: skip
    parser.add_argument(
        "--taint", dest="taints", action="append", type=_taint, default=[],
        metavar="KEY[=VALUE]:EFFECT", help=repeatable,
    )  # fmt: skip
    parser.add_argument(
        "--pod-manifest-path", default="", metavar="DIR", help="the static pods of every node"
    )
    parser.add_argument("--cpu", default="8", help="of each node (default: 8)")
    parser.add_argument("--memory", default="32Gi", help="of each node (default: 32Gi)")
    parser.add_argument(
        "--pods", type=_pods, default=110, help="that fit on each node (default: 110)"
    )


def node_config(options: argparse.Namespace, name: str) -> NodeConfig:
    """The configuration of one of the nodes."""
    return NodeConfig(
        name=name,
        labels=dict(options.labels),
        annotations=dict(options.annotations),
        taints=tuple(options.taints),
        cpu=options.cpu,
        memory=options.memory,
        pods=options.pods,
        pod_manifest_path=options.pod_manifest_path,
    )


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form key=value")
    return key, value


def _taint(text: str) -> Taint:
    """As kubelet's --register-with-taints."""
    pair, colon, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    if not colon or not key or effect not in _EFFECTS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not of the form key[=value]:Effect ({', '.join(_EFFECTS)})"
        )
    return Taint(key=key, value=value, effect=effect)


def _pods(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= MAX_PODS:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1 and {MAX_PODS}")
    return int(text)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not speed >= _MIN_SPEED:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least {_MIN_SPEED:g}")
    return speed
