"""The certificates of a cluster's own etcd: an authority of its own, kept good like the others."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.pki import ClusterPki, inventory
from kubeherd.cluster.launcher.pki.etcdpki import EtcdPki
from kubeherd.cluster.launcher.settings import Settings, StoreKind

SETTINGS = Settings(port=7001, store=StoreKind.ETCD, etcd_port=7002, etcd_peer_port=7003)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def certificate(rundir: RunDir, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((rundir.pki / f"{name}.crt").read_bytes())


def made(rundir: RunDir, now: datetime = NOW) -> list[str]:
    return [item.name for item in EtcdPki(rundir, lambda: now).keep()]


def test_only_its_own_authority_signs_who_may_talk_to_etcd(rundir: RunDir) -> None:
    pki = ClusterPki.ensure(rundir, SETTINGS.server, now=lambda: NOW)
    assert [item.name for item in pki.ensure_etcd()] == ["etcd-ca", "etcd", "etcd-client"]
    authority = certificate(rundir, "etcd-ca")
    for name in ("etcd-server", "etcd-client"):
        certificate(rundir, name).verify_directly_issued_by(authority)
        with pytest.raises(ValueError, match="ssuer"):
            certificate(rundir, name).verify_directly_issued_by(certificate(rundir, "ca"))
    assert {path.stat().st_mode & 0o777 for path in rundir.pki.glob("etcd-*")} == {0o600}
    assert pki.ensure_etcd() == []
    assert pki.next_due < NOW + timedelta(days=300)


def test_they_are_renewed_in_time_and_keep_their_keys(rundir: RunDir) -> None:
    assert made(rundir) == ["etcd-ca", "etcd", "etcd-client"]
    keys = [certificate(rundir, f"etcd-{name}").public_key() for name in ("server", "client")]
    assert made(rundir, NOW + timedelta(days=300)) == ["etcd", "etcd-client"]
    assert made(rundir, NOW + timedelta(days=3000)) == ["etcd-ca", "etcd", "etcd-client"]
    after = [certificate(rundir, f"etcd-{name}").public_key() for name in ("server", "client")]
    assert keys == after


def test_what_is_damaged_is_made_anew_but_never_an_authority(rundir: RunDir) -> None:
    made(rundir)
    (rundir.pki / "etcd-client.key").write_text("nonsense")
    assert made(rundir) == ["etcd-client"]
    (rundir.pki / "etcd-ca.key").write_text("nonsense")
    with pytest.raises(LauncherError, match=r"the certificate authority in .* is damaged"):
        EtcdPki(rundir)


def test_they_are_renewed_by_name_and_with_all_others(rundir: RunDir) -> None:
    pki = ClusterPki.ensure(rundir, SETTINGS.server)
    pki.ensure_etcd()
    before = certificate(rundir, "etcd-server")
    assert [item.name for item in pki.renew(SETTINGS, ["etcd"])] == ["etcd"]
    assert certificate(rundir, "etcd-server").serial_number != before.serial_number
    names = [item.name for item in pki.renew(SETTINGS, [])]
    assert names[-3:] == [item.name for item in inventory.etcd_items(rundir)]
