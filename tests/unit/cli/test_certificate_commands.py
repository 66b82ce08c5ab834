"""`kubeherd cert` and `kubeherd kubeconfig`, on the directory of a cluster that is stopped."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from msgspec import structs

from kubeherd.cluster.api.errors import Unauthorized
from kubeherd.cluster.cli.main import main
from kubeherd.cluster.client.kubeconfig import load_kubeconfig
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.pki import Authority, ClusterPki
from kubeherd.cluster.launcher.pki.authority import identity_of, utc_now
from kubeherd.cluster.launcher.settings import Settings, add_nodes

SETTINGS = add_nodes(Settings(port=6443), ["node-0"])
YEAR = timedelta(days=365)


@pytest.fixture
def rundir(tmp_path: Path) -> RunDir:
    """Of a cluster that was made today."""
    return made(tmp_path, timedelta(0))


def made(directory: Path, ago: timedelta) -> RunDir:
    rundir = RunDir(directory / "herd")
    rundir.prepare()
    rundir.save_settings(SETTINGS)
    pki = ClusterPki.ensure(rundir, SETTINGS.server, SETTINGS.certified, lambda: utc_now() - ago)
    pki.ensure_nodes(SETTINGS.node_names)
    return rundir


def run(rundir: RunDir, *words: str) -> Result:
    command, rest = (words[:2], words[2:]) if words[0] == "cert" else (words[:1], words[1:])
    return CliRunner().invoke(main, [*command, "--dir", str(rundir.root), *rest])


def files(rundir: RunDir) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in rundir.root.rglob("*") if path.is_file()}


def test_a_list_says_who_what_for_and_how_long(rundir: RunDir) -> None:
    answer = run(rundir, "cert", "list")
    assert answer.exit_code == 0, answer.output
    head, *rows = answer.stdout.splitlines()
    assert head.split() == ["NAME", "FOR", "WHO", "FROM", "UNTIL", "LEFT", "NAMES"]
    own = x509.load_pem_x509_certificate(load_kubeconfig(rundir.kubeconfig).certificate_pem)
    since, until = f"{own.not_valid_before_utc:%Y-%m-%d}", f"{own.not_valid_after_utc:%Y-%m-%d}"
    assert timedelta(0) < utc_now() - own.not_valid_before_utc < timedelta(hours=1)
    admin = ["admin", "client", "kubernetes-admin", "(system:masters)", since, until, "364d"]
    assert [row.split() for row in rows][2] == admin
    assert "127.0.0.1" in rows[1]
    assert answer.stderr == ""


def test_a_list_for_programs(rundir: RunDir) -> None:
    found = {
        one["name"]: one for one in json.loads(run(rundir, "cert", "list", "-o", "json").stdout)
    }
    assert list(found) == [
        "ca", "apiserver", "admin", "controller-manager", "scheduler", "node-0",
    ]  # fmt: skip
    assert found["apiserver"]["for"] == "server"
    assert "127.0.0.1" in found["apiserver"]["ipAddresses"]
    node = found["node-0"]
    assert (node["user"], node["groups"]) == ("system:node:node-0", ["system:nodes"])
    assert (node["state"], node["daysLeft"], node["issuer"]) == ("good", 364, "kubernetes")


def test_a_list_says_what_has_expired_and_how_to_renew_it(tmp_path: Path) -> None:
    rundir = made(tmp_path, YEAR * 2)
    answer = run(rundir, "cert", "list")
    assert answer.exit_code == 0
    assert sum("expired" in row.split() for row in answer.stdout.splitlines()) == 5
    assert answer.stderr.startswith(
        "warning: expired: apiserver, admin, controller-manager, scheduler, node-0; `kubeherd up`"
    )
    assert run(rundir, "cert", "renew", "--all").exit_code == 0
    assert run(rundir, "cert", "list").stderr == ""


def test_a_list_of_what_is_not_there(rundir: RunDir) -> None:
    rundir.scheduler_kubeconfig.unlink()
    (rundir.pki / "apiserver.crt").write_text("nonsense")
    found = {
        one["name"]: one for one in json.loads(run(rundir, "cert", "list", "-o", "json").stdout)
    }
    assert (found["scheduler"]["state"], found["scheduler"]["problem"]) == (
        "missing", "there is no such file",
    )  # fmt: skip
    assert found["apiserver"]["state"] == "unreadable"


def test_renewed_are_those_that_are_named(rundir: RunDir) -> None:
    before = files(rundir)
    answer = run(rundir, "cert", "renew", "node-0", "apiserver")
    until = f"{utc_now() + YEAR:%Y-%m-%d}"
    assert answer.stderr.splitlines() == [
        f"renewed apiserver: good until {until}",
        f"renewed node-0: good until {until}",
    ]
    after = files(rundir)
    changed = {path.name for path in after if after[path] != before[path]}
    assert changed == {"apiserver.crt", "node-0.kubeconfig"}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["cert", "renew"], 2, "Error: name the certificates to renew, or use --all"),
        (["cert", "renew", "--all", "ca"], 2, "Error: name the certificates to renew, or use"),
        (["cert", "renew", "x"], 1, 'Error: there is no certificate "x": there are ca, apiserver'),
        (["kubeconfig", "--group", "g"], 2, "Error: --group needs --user"),
        (["kubeconfig", "--user", ""], 2, "Error: --user needs a name"),
        (
            ["kubeconfig", "--user", "u", "--group", "system:masters"],
            2,
            "Error: members of system:masters may do everything",
        ),
        (["kubeconfig", "--user", "u", "--duration", "1x"], 2, "'1x' is no length of time"),
        (["kubeconfig", "--user", "u", "--duration", "-1h"], 2, "is not between a minute and"),
        (["kubeconfig", "--user", "u" * 65], 1, "Error: no certificate can name 'uuu"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_changes_nothing(
    rundir: RunDir, words: list[str], code: int, told: str
) -> None:
    before = files(rundir)
    answer = run(rundir, *words)
    assert answer.exit_code == code
    assert told in answer.stderr.splitlines()[-1]
    assert answer.stdout == ""
    assert files(rundir) == before


@pytest.mark.parametrize("words", [["cert", "renew", "--all"], ["kubeconfig", "--user", "u"]])
def test_without_the_authoritys_key_nothing_is_signed(rundir: RunDir, words: list[str]) -> None:
    (rundir.pki / "ca.key").unlink()
    before = files(rundir)
    answer = run(rundir, *words)
    assert answer.exit_code == 1
    assert answer.stderr == (
        "Error: cannot read the certificate authority: "
        f"{rundir.pki / 'ca.key'}: No such file or directory\n"
    )
    assert files(rundir) == before


def test_where_there_is_no_cluster(tmp_path: Path) -> None:
    for words in (["cert", "list"], ["cert", "renew", "--all"], ["kubeconfig"]):
        answer = run(RunDir(tmp_path / "nothing"), *words)
        assert (answer.exit_code, answer.stderr) == (
            1, f"Error: no cluster in {tmp_path / 'nothing'}\n",
        )  # fmt: skip


def test_the_administrators_kubeconfig_is_printed_or_copied(rundir: RunDir, tmp_path: Path) -> None:
    assert run(rundir, "kubeconfig").stdout == rundir.kubeconfig.read_text()
    copy = tmp_path / "copy"
    answer = run(rundir, "kubeconfig", "-o", str(copy))
    assert (answer.stdout, answer.stderr) == ("", f"wrote {copy}\n")
    assert copy.read_text() == rundir.kubeconfig.read_text()
    assert copy.stat().st_mode & 0o777 == 0o600


def test_a_kubeconfig_for_another_person(rundir: RunDir, tmp_path: Path) -> None:
    path = tmp_path / "jane"
    path.write_text("an old one, readable for all")
    groups = ("--group", "devs", "--group", "ops", "--group", "devs")
    answer = run(
        rundir, "kubeconfig", "--user", "jane", *groups, "--duration", "90d", "-o", str(path)
    )
    assert answer.exit_code == 0, answer.output
    assert "kubectl create clusterrolebinding jane" in answer.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    access = load_kubeconfig(path)
    certificate = x509.load_pem_x509_certificate(access.certificate_pem)
    identity = identity_of(certificate)
    assert (identity.user, identity.groups) == ("jane", ("devs", "ops"))
    assert access.server == SETTINGS.server
    left = certificate.not_valid_after_utc - utc_now()
    assert timedelta(days=89) < left <= timedelta(days=90)
    authority = x509.load_pem_x509_certificate((rundir.pki / "ca.crt").read_bytes())
    certificate.verify_directly_issued_by(authority)


def test_a_superuser_is_made_if_that_is_meant_and_never_outlives_the_authority(
    rundir: RunDir, tmp_path: Path
) -> None:
    path, many = tmp_path / "root", ("--duration", "20000d")
    masters = ("--group", "system:masters", "--allow-system-masters")
    assert run(rundir, "kubeconfig", "--user", "r", *masters, *many, "-o", str(path)).exit_code == 0
    certificate = x509.load_pem_x509_certificate(load_kubeconfig(path).certificate_pem)
    authority = x509.load_pem_x509_certificate((rundir.pki / "ca.crt").read_bytes())
    assert certificate.not_valid_after_utc == authority.not_valid_after_utc


def test_a_folder_that_is_not_there_is_told_before_anything_is_made(rundir: RunDir) -> None:
    answer = run(rundir, "kubeconfig", "--user", "jane", "-o", "/nowhere/jane")
    assert answer.exit_code == 2
    assert "the folder '/nowhere' does not exist" in answer.stderr


def test_another_authoritys_certificates_are_named(rundir: RunDir) -> None:
    (rundir.pki / "apiserver.crt").write_bytes(Authority.create().issue_server().certificate)
    answer = run(rundir, "cert", "list")
    assert "warning: not of this authority: apiserver" in answer.stderr


def test_a_directory_of_nodes_that_joined_has_their_certificates_only(rundir: RunDir) -> None:
    joined = "https://10.0.0.1:6443"
    rundir.save_settings(structs.replace(SETTINGS, joined=joined))
    (rundir.pki / "ca.key").unlink()
    (rundir.pki / "ca.crt").unlink()
    found = json.loads(run(rundir, "cert", "list", "-o", "json").stdout)
    assert [(one["name"], one["state"]) for one in found] == [("node-0", "good")]
    for words in (["cert", "renew", "--all"], ["kubeconfig"], ["kubeconfig", "--user", "u"]):
        answer = run(rundir, *words)
        assert answer.exit_code == 1
        assert answer.stderr.startswith(f"Error: the nodes in {rundir.root} joined {joined}: its ")


def test_credentials_that_are_refused_are_told_in_a_line(
    rundir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: RunDir) -> Settings:
        raise Unauthorized("Unauthorized")

    monkeypatch.setattr(RunDir, "load_settings", refused)
    answer = run(rundir, "cert", "list")
    assert (answer.exit_code, answer.stderr) == (
        1,
        "Error: the API server does not accept these credentials: they have ended, or are of "
        "another cluster (`kubeherd cert list` shows certificates)\n",
    )
