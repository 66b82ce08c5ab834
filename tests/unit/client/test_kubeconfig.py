"""Kubeconfig files: everything that clusters write, and clear words for the rest."""

import base64
import json
from pathlib import Path

import pytest
import yaml

from kubeherd.cluster.client.kubeconfig import KubeconfigError, load_kubeconfig


def config(user: dict[str, object], cluster: dict[str, object] | None = None) -> dict[str, object]:
    return {
        "current-context": "main",
        "contexts": [
            {"name": "main", "context": {"cluster": "c", "user": "u", "namespace": "dev"}},
            {"name": "broken", "context": {"cluster": "missing", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": "https://h:1/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
    }


def write(tmp_path: Path, tree: object) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_embedded_credentials_are_decoded(tmp_path: Path) -> None:
    data = base64.b64encode(b"PEM").decode()
    tree = config(
        {"client-certificate-data": data, "client-key-data": data},
        {"certificate-authority-data": data, "tls-server-name": "kubernetes"},
    )
    access = load_kubeconfig(write(tmp_path, tree))
    assert (access.server, access.namespace) == ("https://h:1", "dev")
    assert access.ca_pem == access.certificate_pem == access.key_pem == b"PEM"
    assert access.tls_server_name == "kubernetes"
    assert "PEM" not in repr(access).replace("ca_pem=b'PEM'", "")


def test_files_count_from_the_kubeconfig_and_json_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"CA")
    (tmp_path / "token").write_text("t0ken\n")
    path = tmp_path / "kubeconfig"
    tree = config({"tokenFile": "token"}, {"certificate-authority": "ca.crt"})
    path.write_text(json.dumps(tree))
    access = load_kubeconfig(path)
    assert (access.ca_pem, access.token) == (b"CA", "t0ken")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "neither YAML nor JSON"),
        ("- 1", "not a mapping"),
        ("{}", 'no "" in its contexts'),
        (json.dumps(config({"exec": {"command": "x"}})), "exec credentials are not supported"),
        (json.dumps(config({"client-key-data": "!"})), "client-key-data is not base64"),
        (json.dumps(config({"client-key": "nokey.pem"})), r"nokey\.pem: No such file"),
        (json.dumps({**config({}), "clusters": [{"name": "c"}]}), "incomplete"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(KubeconfigError, match=words) as caught:
        load_kubeconfig(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_wrong_context(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="cannot read kubeconfig"):
        load_kubeconfig(tmp_path / "none")
    with pytest.raises(KubeconfigError, match='no "missing" in its clusters'):
        load_kubeconfig(write(tmp_path, config({})), "broken")
