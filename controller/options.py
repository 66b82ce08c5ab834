"""The flags of the controller manager's process, named and read as kube-controller-manager's.

Source: Kubernetes v1.36, cmd/kube-controller-manager/app/options and component-base/config/options.
Durations are written as in Go (``15s``, ``1m30s``); a flag without a value means true.
"""

import argparse
import ssl
from collections.abc import Mapping
from pathlib import Path

import msgspec

from kubeherd.cluster.api import goduration
from kubeherd.cluster.api.goformat import parse_bool
from kubeherd.cluster.api.version import PRODUCT
from kubeherd.controller import registry
from kubeherd.controller.leader import KUBE_CONTROLLER_MANAGER, Election
from kubeherd.controller.manager import Factory, Keys

MIN_RENEW_REAL_S = 3.0
"""A renewal has at least so many real seconds, however fast the cluster's clock runs."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a controller manager was told. `election` None: act without a lease."""

    kubeconfig: str
    scheduler_kubeconfig: str
    """The identity of the scheduler; "" for that of the process."""
    speed: float
    seed: int | None
    controllers: Mapping[str, Factory]
    portable: bool
    election: Election | None
    use_accounts: bool
    root_ca_pem: bytes
    keys: Keys
    metrics_socket: Path | None
    faults_socket: Path | None

    @property
    def user_agent(self) -> str:
        """Of several managers with one identity each says which it is: faults of the API know it
        so. The name is that of its socket for faults."""
        name = "controller-manager" if self.faults_socket is None else self.faults_socket.stem
        return f"{PRODUCT} {name}"


def parse(argv: list[str] | None) -> Options:
    """The options of a command line; ends the process with a message if they make no sense."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        controllers = registry.select(arguments.controllers)
        return Options(
            kubeconfig=arguments.kubeconfig,
            scheduler_kubeconfig=arguments.scheduler_kubeconfig,
            speed=arguments.speed,
            seed=arguments.seed,
            controllers=controllers,
            portable=arguments.portable,
            election=_election(arguments, list(controllers)) if arguments.leader_elect else None,
            use_accounts=arguments.use_service_account_credentials,
            root_ca_pem=_root_ca(arguments.root_ca_file),
            keys=Keys(
                arguments.cluster_signing_cert_file,
                arguments.cluster_signing_key_file,
                arguments.service_account_private_key_file,
            ),
            metrics_socket=arguments.metrics_socket,
            faults_socket=arguments.faults_socket,
        )
    except ValueError as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kubeherd.controller", description="The controller manager as a process."
    )
    parser.add_argument("--kubeconfig", required=True, metavar="FILE")
    parser.add_argument(
        "--scheduler-kubeconfig", default="", metavar="FILE", help="the scheduler's own identity"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="nominal seconds per real second")
    parser.add_argument("--seed", type=int, default=None, help="seed of jitter and back-off")
    parser.add_argument(
        "--controllers", default="*", metavar="LIST", help='e.g. "*,-scheduler"; * means all'
    )
    _switch(parser, "--portable", False, "use only the JSON API of Kubernetes, nothing private")
    _add_credentials(parser)
    _add_election(parser)
    return parser


def _add_credentials(parser: argparse.ArgumentParser) -> None:
    files = {
        "--cluster-signing-cert-file": "the authority that signs CertificateSigningRequests; "
        "without it nothing is signed",
        "--cluster-signing-key-file": "the key of that authority",
        "--service-account-private-key-file": "signs the tokens in Secrets; without it they "
        "stay empty",
        "--root-ca-file": "what is published as kube-root-ca.crt and in the tokens' Secrets; "
        "without it the authority in the kubeconfig",
        "--metrics-socket": "a Unix socket that answers with the metrics of this process",
        "--faults-socket": "a Unix socket that is told what goes wrong in this process",
    }
    for flag, purpose in files.items():
        parser.add_argument(flag, type=Path, metavar="FILE", help=purpose)
    _switch(
        parser,
        "--use-service-account-credentials",
        False,
        "each controller acts as its own account in kube-system",
    )


def _add_election(parser: argparse.ArgumentParser) -> None:
    usual = KUBE_CONTROLLER_MANAGER
    _switch(parser, "--leader-elect", True, "act only while holding a Lease")
    parser.add_argument("--leader-elect-resource-namespace", default=usual.namespace)
    parser.add_argument(
        "--leader-elect-resource-name",
        help=f"{usual.name}; kube-scheduler, if the scheduler is all that runs",
    )
    parser.add_argument("--leader-elect-resource-lock", choices=("leases",), default="leases")
    for flag, default in (
        ("--leader-elect-lease-duration", usual.duration_s),
        ("--leader-elect-renew-deadline", usual.renew_deadline_s),
        ("--leader-elect-retry-period", usual.retry_period_s),
    ):
        parser.add_argument(flag, type=go_duration_s, default=default, metavar="DURATION")


def _switch(parser: argparse.ArgumentParser, flag: str, default: bool, purpose: str) -> None:
    """A boolean flag as Go's: ``--flag`` and ``--flag=true`` are the same."""
    parser.add_argument(
        flag,
        type=_go_bool,
        nargs="?",
        const=True,
        default=default,
        metavar="true|false",
        help=f"{purpose} (default {str(default).lower()})",
    )


def _go_bool(text: str) -> bool:
    given = parse_bool(text)
    if given is None:
        raise argparse.ArgumentTypeError(f'invalid boolean value "{text}"')
    return given


def go_duration_s(text: str) -> float:
    """Seconds of a duration as Go writes it (``1m30s``); argparse.ArgumentTypeError if none."""
    try:
        return goduration.nanoseconds(text) / 1e9
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _election(arguments: argparse.Namespace, controllers: list[str]) -> Election:
    """The election's terms; ValueError for ones under which a leader could not keep its lease."""
    usual = "kube-scheduler" if controllers == ["scheduler"] else KUBE_CONTROLLER_MANAGER.name
    terms = Election(
        namespace=arguments.leader_elect_resource_namespace,
        name=arguments.leader_elect_resource_name or usual,
        duration_s=arguments.leader_elect_lease_duration,
        renew_deadline_s=arguments.leader_elect_renew_deadline,
        retry_period_s=arguments.leader_elect_retry_period,
    )
    terms.check()
    return _keepable(terms, arguments.speed)


def _keepable(terms: Election, speed: float) -> Election:
    """The terms, stretched where at this speed a renewal would have less than three real seconds:
    a busy machine takes that long, and a lease lost each minute is no experiment."""
    stretch = MIN_RENEW_REAL_S * speed / terms.renew_deadline_s
    if stretch <= 1:
        return terms
    return msgspec.structs.replace(
        terms,
        duration_s=terms.duration_s * stretch,
        renew_deadline_s=terms.renew_deadline_s * stretch,
        retry_period_s=terms.retry_period_s * stretch,
    )


def _root_ca(file: Path | None) -> bytes:
    if file is None:
        return b""
    try:
        pem = file.read_bytes()
        ssl.create_default_context(cadata=pem.decode())
    except (OSError, ValueError, ssl.SSLError) as error:
        raise ValueError(f"error parsing root-ca-file at {file}: {error}") from error
    return pem
