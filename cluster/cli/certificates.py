"""`kubeherd cert`: the certificates of a cluster, seen and renewed, whether it runs or not."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import click
from cryptography import x509
from cryptography.x509.oid import NameOID

from kubeherd.cluster.api import duration
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.cli.options import directory_given, directory_option, name_argument
from kubeherd.cluster.cli.output import columns, say, warn
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.pki import ClusterPki, inventory
from kubeherd.cluster.launcher.pki.authority import identity_of, utc_now
from kubeherd.cluster.launcher.pki.inventory import Found, Kind, State

_COLUMNS = ("NAME", "FOR", "WHO", "FROM", "UNTIL", "LEFT", "NAMES")
_GOOD = frozenset({State.GOOD, State.DUE})
_SHOWN = 5


def _names(rundir: RunDir) -> Iterable[str]:
    return [item.name for item in inventory.all_items(rundir, rundir.load_settings())]


@click.group()
def cert() -> None:
    """Show and renew the certificates of a cluster.

    A running cluster renews its certificates by itself, months before they end, and `kubeherd up`
    those of one that was down: these commands are for looking, and for impatience.
    """


@cert.command(
    "list",
    epilog="""\b
Examples:
  kubeherd cert list
  kubeherd cert list -o json | jq -r '.[] | select(.daysLeft < 30) | .name'
""",
)
@directory_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def list_(rundir: RunDir, output: str) -> None:
    """Show whom each certificate names, what it is for, and how long it is good."""
    now = utc_now()
    found = _look(rundir, now)
    if output == "json":
        click.echo(json.dumps([_document(one, now) for one in found], indent=2))
        return
    click.echo("\n".join(columns([_COLUMNS, *(_row(one, now) for one in found)])))
    for problem in _problems(found, directory_given(rundir)):
        warn(problem)


@cert.command(
    epilog="""\b
Examples:
  kubeherd cert renew apiserver
  kubeherd cert renew node-0 node-1
  kubeherd cert renew ca        the authority and all kubeconfigs; its key stays
  kubeherd cert renew --all
"""
)
@directory_option
@click.option("--all", "everything", is_flag=True, help="Renew every certificate.")
@name_argument(_names, many=True)
def renew(rundir: RunDir, everything: bool, names: tuple[str, ...]) -> None:
    """Renew certificates; `kubeherd cert list` has their names.

    All that are named are renewed, or none. Processes that run take them over within seconds and
    keep their connections. The old ones stay good until they end.
    """
    if bool(names) == everything:
        raise click.UsageError("name the certificates to renew, or use --all")
    settings = rundir.load_settings()
    for item in ClusterPki.of(rundir, settings).renew(settings, names):
        say(f"renewed {item.name}: good until {_date(inventory.read(item).not_valid_after_utc)}")


def _look(rundir: RunDir, now: datetime) -> list[Found]:
    """All certificates of a cluster; LauncherError if there is no cluster."""
    settings = rundir.load_settings()
    items = inventory.all_items(rundir, settings)
    if settings.has_own_etcd:
        items += inventory.etcd_items(rundir)
    authorities = {
        item.name: inventory.look(item, None, now).certificate
        for item in items
        if item.kind is Kind.AUTHORITY
    }
    return [inventory.look(item, authorities.get(item.issuer), now) for item in items]


def _problems(found: Sequence[Found], where: str) -> Iterator[str]:
    """A line for each way in which certificates are not good."""
    by_state: defaultdict[State, list[Found]] = defaultdict(list)
    for one in found:
        if one.state not in _GOOD:
            by_state[one.state].append(one)
    for state, some in by_state.items():
        names = [one.item.name for one in some]
        shown = ", ".join(names[:_SHOWN]) + (", ..." if names[_SHOWN:] else "")
        why = f" ({some[0].problem})" if some[0].problem else ""
        yield f"{state}: {shown}{why}; `kubeherd up` or `kubeherd cert renew --all{where}` renews"


def _row(found: Found, now: datetime) -> tuple[str, ...]:
    item, certificate = found.item, found.certificate
    if certificate is None:
        return item.name, item.kind, "-", "-", "-", found.state, ""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    left = duration.human((end - now).total_seconds()) if found.state in _GOOD else found.state
    names, addresses = _alternatives(certificate)
    return (
        item.name,
        item.kind,
        _who(certificate),
        _date(begin),
        _date(end),
        left,
        ",".join(names + addresses),
    )


def _who(certificate: x509.Certificate) -> str:
    identity = identity_of(certificate)
    return identity.user + (f" ({', '.join(identity.groups)})" if identity.groups else "")


def _document(found: Found, now: datetime) -> JsonObject:
    item, certificate = found.item, found.certificate
    document: JsonObject = {
        "name": item.name,
        "for": item.kind.value,
        "path": str(item.path),
        "state": found.state.value,
    }
    if certificate is None:
        return {**document, "problem": found.problem}
    identity, (names, addresses) = identity_of(certificate), _alternatives(certificate)
    issuers = certificate.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return {
        **document,
        "user": identity.user,
        "groups": list(identity.groups),
        "dnsNames": names,
        "ipAddresses": addresses,
        "issuer": str(issuers[0].value) if issuers else "",
        "notBefore": certificate.not_valid_before_utc.isoformat(),
        "notAfter": certificate.not_valid_after_utc.isoformat(),
        "daysLeft": (certificate.not_valid_after_utc - now).days,
    }


def _alternatives(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    """The DNS names and the addresses for which a certificate is good."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return [], []
    addresses = found.get_values_for_type(x509.IPAddress)
    return found.get_values_for_type(x509.DNSName), [str(address) for address in addresses]


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
