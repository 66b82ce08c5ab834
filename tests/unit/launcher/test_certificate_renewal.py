"""Certificates are renewed before they end, at the start of a cluster and while it runs."""

import asyncio
import errno
import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import handshakes
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kubeherd.cluster.client.kubeconfig import load_kubeconfig
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.pki import Authority, ClusterPki, Identity, KeyPair, inventory
from kubeherd.cluster.launcher.pki.inventory import Item, State
from kubeherd.cluster.launcher.settings import Settings, add_nodes
from kubeherd.cluster.launcher.supervisor.renewal import Renewal

SETTINGS = add_nodes(Settings(port=6443), ["node-0", "node-1"])
NAMES = ["ca", "apiserver", "admin", "controller-manager", "scheduler", "node-0", "node-1"]
START = datetime(2026, 1, 1, tzinfo=UTC)


class Calendar:
    """A clock that shows the day it is told."""

    def __init__(self) -> None:
        self.days = 0.0
        self.minutes: asyncio.Queue[None] = asyncio.Queue()

    def now(self) -> datetime:
        return START + timedelta(days=self.days)

    async def sleep(self, _duration_s: float) -> None:
        await self.minutes.get()
        self.minutes.task_done()


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


def ensured(rundir: RunDir, calendar: Calendar) -> ClusterPki:
    """As `up` does it."""
    pki = ClusterPki.ensure(rundir, SETTINGS.server, SETTINGS.certified, calendar.now)
    pki.ensure_nodes(SETTINGS.node_names)
    return pki


def states(rundir: RunDir, calendar: Calendar) -> dict[str, State]:
    items = inventory.all_items(rundir, SETTINGS)
    authority = inventory.look(items[0], None, calendar.now()).certificate
    return {item.name: inventory.look(item, authority, calendar.now()).state for item in items}


def files(rundir: RunDir) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in rundir.root.rglob("*") if path.is_file()}


def changed(rundir: RunDir, before: dict[Path, bytes]) -> set[str]:
    after = files(rundir)
    return {path.name for path in after if after[path] != before.get(path)}


ALL_LEAVES = {
    "apiserver.crt",
    "kubeconfig",
    "controller-manager.kubeconfig",
    "scheduler.kubeconfig",
    "node-0.kubeconfig",
    "node-1.kubeconfig",
}


@pytest.mark.parametrize(
    ("days", "renewed"),
    [
        (0, set()),
        (250, set()),
        (260, ALL_LEAVES),  # seven tenths of a year
        (400, ALL_LEAVES),  # a cluster that has slept for a year
        (-1, {*ALL_LEAVES, "ca.crt"}),  # it was made when the clock was wrong
        (2500, ALL_LEAVES),
        (2600, {*ALL_LEAVES, "ca.crt"}),
        (4000, {*ALL_LEAVES, "ca.crt"}),
    ],
)
def test_what_is_due_is_renewed_when_a_cluster_starts(
    rundir: RunDir, calendar: Calendar, days: float, renewed: set[str]
) -> None:
    ensured(rundir, calendar)
    assert set(states(rundir, calendar).values()) == {State.GOOD}
    before, calendar.days = files(rundir), days
    ensured(rundir, calendar)
    assert changed(rundir, before) == renewed
    assert set(states(rundir, calendar).values()) == {State.GOOD}
    assert not list(rundir.root.rglob("*.tmp"))


def test_states_say_what_is_wrong(rundir: RunDir, calendar: Calendar) -> None:
    ensured(rundir, calendar)
    calendar.days = 300
    assert states(rundir, calendar)["apiserver"] is State.DUE
    calendar.days = 400
    assert states(rundir, calendar)["node-0"] is State.EXPIRED
    calendar.days = -1
    assert states(rundir, calendar)["ca"] is State.NOT_YET_VALID
    calendar.days = 0
    rundir.node_kubeconfig("node-0").unlink()
    rundir.node_kubeconfig("node-1").write_text("{}")
    other = Authority.create(calendar.now).issue_server()
    (rundir.pki / "apiserver.crt").write_bytes(other.certificate)
    found = states(rundir, calendar)
    assert [found[name] for name in ("node-0", "node-1", "apiserver")] == [
        State.MISSING, State.UNREADABLE, State.FOREIGN,
    ]  # fmt: skip
    ensured(rundir, calendar)
    assert set(states(rundir, calendar).values()) == {State.GOOD}


def test_a_renewed_authority_keeps_its_key_and_all_that_it_signed(rundir: RunDir) -> None:
    pki = ClusterPki.ensure(rundir, SETTINGS.server, SETTINGS.certified)
    pki.ensure_nodes(SETTINGS.node_names)
    copy = load_kubeconfig(rundir.kubeconfig)
    key = (rundir.pki / "ca.key").read_bytes()
    names = [item.name for item in pki.renew(SETTINGS, ["ca"])]
    assert names == [name for name in NAMES if name != "apiserver"]
    assert (rundir.pki / "ca.key").read_bytes() == key
    fresh = load_kubeconfig(rundir.kubeconfig)
    assert fresh.ca_pem == (rundir.pki / "ca.crt").read_bytes() != copy.ca_pem
    handshakes.peer(rundir, fresh)
    handshakes.peer(rundir, copy)


def signed_by_another(rundir: RunDir, calendar: Calendar) -> None:
    """The directory's CA is an intermediate one."""
    pair = KeyPair((rundir.pki / "ca.crt").read_bytes(), (rundir.pki / "ca.key").read_bytes())
    old = x509.load_pem_x509_certificate(pair.certificate)
    root = Authority.create(calendar.now)
    root_key = serialization.load_pem_private_key(root.key_pair().key, None)
    builder = x509.CertificateBuilder(
        issuer_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")]),
        subject_name=old.subject,
        public_key=old.public_key(),
        serial_number=7,
        not_valid_before=old.not_valid_before_utc,
        not_valid_after=old.not_valid_after_utc,
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    made = builder.sign(root_key, old.signature_hash_algorithm)  # type: ignore[arg-type]
    (rundir.pki / "ca.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))


def test_an_authority_of_somebody_else_is_not_renewed(rundir: RunDir, calendar: Calendar) -> None:
    ensured(rundir, calendar)
    signed_by_another(rundir, calendar)
    calendar.days = 3000
    ensured(rundir, calendar)  # due, and good for two years
    assert states(rundir, calendar)["ca"] is State.DUE
    calendar.days = 4000
    before = files(rundir)
    with pytest.raises(LauncherError, match=r"ca\.crt ends on 2035-12-30 and is signed by another"):
        ensured(rundir, calendar)
    assert files(rundir) == before


@pytest.mark.parametrize("missing", ["apiserver.key", "apiserver.crt"])
def test_half_a_pair_is_made_whole(rundir: RunDir, calendar: Calendar, missing: str) -> None:
    ensured(rundir, calendar)
    (rundir.pki / missing).unlink()
    ensured(rundir, calendar)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(rundir.pki / "apiserver.crt", rundir.pki / "apiserver.key")


def test_the_server_keeps_its_key(rundir: RunDir, calendar: Calendar) -> None:
    pki = ensured(rundir, calendar)
    key = (rundir.pki / "apiserver.key").read_bytes()
    before = files(rundir)
    assert [item.name for item in pki.renew(SETTINGS, ["apiserver"])] == ["apiserver"]
    assert changed(rundir, before) == {"apiserver.crt"}
    assert (rundir.pki / "apiserver.key").read_bytes() == key


def test_a_persons_changes_of_the_administrators_kubeconfig_stay(
    rundir: RunDir, calendar: Calendar
) -> None:
    ensured(rundir, calendar)
    tree = yaml.safe_load(rundir.kubeconfig.read_text())
    tree["contexts"][0]["context"]["namespace"] = "shop"
    tree["contexts"][0]["name"] = "mine"
    tree["current-context"] = "mine"
    tree["clusters"].append({"name": "other", "cluster": {"insecure-skip-tls-verify": True}})
    tree["preferences"] = {}
    rundir.kubeconfig.write_text(yaml.safe_dump(tree))
    before = rundir.kubeconfig.read_text()
    ensured(rundir, calendar)
    assert rundir.kubeconfig.read_text() == before
    calendar.days = 300
    ensured(rundir, calendar)
    found = yaml.safe_load(rundir.kubeconfig.read_text())
    assert found["users"] != tree["users"]
    assert {**found, "users": 0, "clusters": 0} == {**tree, "users": 0, "clusters": 0}
    assert found["clusters"] == tree["clusters"]
    assert load_kubeconfig(rundir.kubeconfig).namespace == "shop"


def test_a_kubeconfig_that_lost_its_user_is_made_anew(rundir: RunDir, calendar: Calendar) -> None:
    ensured(rundir, calendar)
    tree = yaml.safe_load(rundir.kubeconfig.read_text())
    rundir.kubeconfig.write_text(yaml.safe_dump({**tree, "users": []}))
    ensured(rundir, calendar)
    assert load_kubeconfig(rundir.kubeconfig).certificate_pem


# --- on command ---


def test_all_are_renewed_and_nothing_else_is_touched(rundir: RunDir, calendar: Calendar) -> None:
    pki = ensured(rundir, calendar)
    before = files(rundir)
    assert [item.name for item in pki.renew(SETTINGS, [])] == NAMES
    assert changed(rundir, before) == {*ALL_LEAVES, "ca.crt"}
    assert set(states(rundir, calendar).values()) == {State.GOOD}


def test_with_an_ended_authority_nothing_can_be_signed_before_it_is_renewed(
    rundir: RunDir, calendar: Calendar
) -> None:
    ensured(rundir, calendar)
    calendar.days = 4000
    pki = ClusterPki.of(rundir, SETTINGS, calendar.now)
    with pytest.raises(LauncherError, match="the certificate authority ended on 2035-12-30"):
        pki.person(SETTINGS, Identity("jane"), timedelta(days=1))
    assert "ca" in [item.name for item in pki.renew(SETTINGS, ["apiserver"])]
    assert states(rundir, calendar)["apiserver"] is State.GOOD


def full(_descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_every_file_as_it_was(
    rundir: RunDir, calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki = ensured(rundir, calendar)
    before = files(rundir)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LauncherError, match=r"cannot write .*/pki/ca\.crt: No space left"):
        pki.renew(SETTINGS, [])
    assert files(rundir) == before


def test_a_name_that_there_is_not_renews_nothing(rundir: RunDir, calendar: Calendar) -> None:
    pki = ensured(rundir, calendar)
    before = files(rundir)
    with pytest.raises(LauncherError, match='no certificate "node-7": there are ca, apiserver'):
        pki.renew(SETTINGS, ["apiserver", "node-7"])
    assert files(rundir) == before


def unreadable(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("ca.key", Path.unlink, r"cannot read the certificate authority: .*ca\.key: No such file"),
        ("ca.crt", Path.unlink, r"cannot read the certificate authority: .*ca\.crt: No such file"),
        ("ca.key", unreadable, r"cannot read the certificate authority: .*ca\.key: Is a directory"),
        ("ca.key", lambda path: path.write_text("x"), "certificate authority in .* is damaged"),
        (
            "ca.key",
            lambda path: path.write_bytes(Authority.create().key_pair().key),
            "is damaged: the key does not belong to the certificate",
        ),
    ],
)
def test_an_authority_that_cannot_sign_is_told_and_left_alone(
    rundir: RunDir,
    calendar: Calendar,
    name: str,
    damage: Callable[[Path], object],
    told: str,
) -> None:
    ensured(rundir, calendar)
    damage(rundir.pki / name)
    before = files(rundir)
    for use in (
        lambda: ClusterPki.of(rundir, SETTINGS),
        lambda: ClusterPki.ensure(rundir, SETTINGS.server),
    ):
        with pytest.raises(LauncherError, match=told):
            use()
    assert files(rundir) == before


# --- while the cluster runs ---


async def test_a_running_cluster_renews_what_is_due(
    rundir: RunDir, calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki = ensured(rundir, calendar)
    looks: asyncio.Queue[int] = asyncio.Queue()
    keep = pki.keep

    def counted(settings: Settings) -> list[Item]:
        renewed = keep(settings)
        loop.call_soon_threadsafe(looks.put_nowait, len(renewed))
        return renewed

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(pki, "keep", counted)
    renewal = Renewal(pki, lambda: SETTINGS, calendar, asyncio.Lock(), lambda: True)  # type: ignore[arg-type]
    running = asyncio.create_task(renewal.run())

    async def minute() -> None:
        calendar.minutes.put_nowait(None)
        await calendar.minutes.join()

    calendar.days = 250
    await minute()
    await minute()
    assert looks.empty()  # nothing is due: the files are not even read
    calendar.days = 300
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        await minute()
        await minute()
    await minute()
    assert await looks.get() == len(NAMES) - 1
    assert set(states(rundir, calendar).values()) == {State.GOOD}
    await minute()
    calendar.days = 550
    await minute()
    await minute()
    assert looks.empty()
    calendar.days = 560
    await minute()
    assert await looks.get() == len(NAMES) - 1
    running.cancel()
