"""Certificates and kubeconfigs: whom they name, that they are reused, that nobody else can look."""

import handshakes
import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from kubeherd.cluster.client.kubeconfig import load_kubeconfig
from kubeherd.cluster.launcher import pki
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.pki import ADMIN, Authority, ClusterPki
from kubeherd.cluster.launcher.pki.kubeconfigs import to_yaml

SERVER = "https://127.0.0.1:6443"


def subject(pem: bytes) -> tuple[str, list[str]]:
    name = x509.load_pem_x509_certificate(pem).subject
    user = name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    groups = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(user), [str(group.value) for group in groups]


def test_each_kubeconfig_has_its_own_identity(rundir: RunDir):
    pki = ClusterPki.ensure(rundir, SERVER)
    pki.ensure_nodes(["node-0"])
    pki.ensure_fleets(["agent-0"])
    found = [
        subject(load_kubeconfig(path).certificate_pem)
        for path in (
            rundir.kubeconfig,
            rundir.controller_kubeconfig,
            rundir.scheduler_kubeconfig,
            rundir.node_kubeconfig("node-0"),
            rundir.fleet_kubeconfig("agent-0"),
        )
    ]
    assert found == [
        ("kubernetes-admin", ["system:masters"]),
        ("system:kube-controller-manager", []),
        ("system:kube-scheduler", []),
        ("system:node:node-0", ["system:nodes"]),
        ("kubeherd:agent:agent-0", ["kubeherd:fleet-agents"]),
    ]


def test_admin_kubeconfig_is_yaml_with_everything_embedded(rundir: RunDir):
    ClusterPki.ensure(rundir, SERVER)
    tree = yaml.safe_load(rundir.kubeconfig.read_text())
    assert tree["clusters"][0]["cluster"]["server"] == SERVER
    assert set(tree["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}


def test_nothing_secret_is_readable_by_others(rundir: RunDir):
    ClusterPki.ensure(rundir, SERVER).ensure_nodes(["node-0"])
    for path in rundir.root.rglob("*"):
        mode = path.stat().st_mode & 0o777
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_everything_is_reused(rundir: RunDir):
    ClusterPki.ensure(rundir, SERVER).ensure_nodes(["node-0"])
    before = {path: path.read_bytes() for path in rundir.root.rglob("*") if path.is_file()}
    ClusterPki.ensure(rundir, SERVER).ensure_nodes(["node-0"])
    assert before == {path: path.read_bytes() for path in before}


def test_another_port_renews_the_kubeconfigs_but_not_the_authority(rundir: RunDir):
    ClusterPki.ensure(rundir, SERVER)
    authority = (rundir.pki / "ca.crt").read_bytes()
    ClusterPki.ensure(rundir, "https://127.0.0.1:7000")
    assert load_kubeconfig(rundir.kubeconfig).server == "https://127.0.0.1:7000"
    assert (rundir.pki / "ca.crt").read_bytes() == authority


def server_names(rundir: RunDir) -> set[str]:
    found = x509.load_pem_x509_certificate((rundir.pki / "apiserver.crt").read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def test_the_server_certificate_follows_the_names_of_the_server(rundir: RunDir):
    ClusterPki.ensure(rundir, SERVER)
    usual = server_names(rundir)
    hosts = ("10.1.2.3", "fd00::1", "herd.example", "127.0.0.1")
    ClusterPki.ensure(rundir, SERVER, hosts)
    assert server_names(rundir) - usual == {"10.1.2.3", "fd00::1", "herd.example"}
    first = (rundir.pki / "apiserver.crt").read_bytes()
    ClusterPki.ensure(rundir, SERVER, hosts)
    assert (rundir.pki / "apiserver.crt").read_bytes() == first
    ClusterPki.ensure(rundir, SERVER)
    assert server_names(rundir) == usual


def test_damaged_node_kubeconfig_is_made_again(rundir: RunDir):
    pki = ClusterPki.ensure(rundir, SERVER)
    path = rundir.node_kubeconfig("node-0")
    path.write_bytes(b"")
    pki.ensure_nodes(["node-0"])
    assert load_kubeconfig(path).server == SERVER


def test_damaged_authority_is_reported_and_kept(rundir: RunDir):
    ClusterPki.ensure(rundir, SERVER)
    (rundir.pki / "ca.key").write_text("nonsense")
    with pytest.raises(LauncherError, match=r"certificate authority in .* is damaged"):
        ClusterPki.ensure(rundir, SERVER)
    assert (rundir.pki / "ca.key").read_text() == "nonsense"


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "localhost", "kubernetes.default.svc"])
def test_server_and_client_trust_each_other(rundir: RunDir, name: str):
    """A TLS handshake in memory, both sides checking, under every name of the server."""
    ClusterPki.ensure(rundir, SERVER)
    found = handshakes.peer(rundir, load_kubeconfig(rundir.kubeconfig), name)
    subject = found["subject"]
    assert isinstance(subject, tuple)
    assert (("commonName", "kubernetes-admin"),) in subject


@pytest.mark.parametrize(
    "user",
    ["system:node:node-0", "no", "Null", "y", "12", "1e3", "a: b", "- a", "#a", "a:", "é'\"\n", ""],
)
def test_the_yaml_of_a_kubeconfig_says_the_same(user: str):
    authority = Authority.create()
    pair = authority.issue_client(ADMIN)
    tree = pki.kubeconfig("https://127.0.0.1:20000", authority.certificate_pem, pair, user)
    assert yaml.safe_load(to_yaml(tree)) == tree
