"""A machine that joins believes nobody but the cluster that it was invited to."""

import base64
import gc
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kubeherd.cluster.api.helpers import bootstraptoken
from kubeherd.cluster.api.helpers.bootstraptoken import Token
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.joining import authorities, discovery
from kubeherd.cluster.launcher.joining.discovery import Invitation
from kubeherd.cluster.launcher.pki import Authority

TOKEN = Token("abcdef", "0123456789abcdef")
KUBECONFIG = "clusters: [{{cluster: {{certificate-authority-data: {}}}}}]"


class Server:
    """Answers every request with `body`; remembers what it was shown."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.body: bytes = b""
        self.status = 200
        self.shown: list[str | None] = []
        self.authority = authority
        pair = authority.issue_server()
        (directory / "server.pem").write_bytes(pair.certificate + pair.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "server.pem")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.shown.append(self.headers.get("Authorization"))
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.http.server_port}"

    def says(self, *authorities: Authority, token: Token = TOKEN) -> None:
        """It is a cluster with these authorities, and this token has signed that."""
        pem = b"".join(authority.certificate_pem for authority in authorities)
        content = KUBECONFIG.format(base64.b64encode(pem).decode())
        data = {
            "kubeconfig": content,
            f"jws-kubeconfig-{token.id}": bootstraptoken.signature(content, token),
        }
        self.body = json.dumps({"data": data}).encode()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(discovery, "SIGNATURE_TIMEOUT_S", 0.0)
    made = Server(tmp_path, Authority.create())
    thread = threading.Thread(target=made.http.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


def refused(server: Server, why: str, authority: Authority | None = None) -> None:
    """Discovery ends with this in one line, and the token was not shown."""
    pem = (authority or server.authority).certificate_pem
    invitation = Invitation(server.url, TOKEN, authorities.hashes_of(pem)[0])
    with pytest.raises(LauncherError, match=why) as caught:
        discovery.trusted(invitation)
    assert "\n" not in str(caught.value)
    assert TOKEN.secret not in str(caught.value)
    assert set(server.shown) <= {None}


def test_the_cluster_that_was_meant_is_trusted(server: Server) -> None:
    server.says(server.authority)
    pem = server.authority.certificate_pem
    found = discovery.trusted(Invitation(server.url, TOKEN, authorities.hashes_of(pem)[0]))
    assert (found.server, found.ca_pem, found.token) == (server.url, pem, TOKEN.text)
    assert server.shown == [None, None]


def test_an_authority_with_another_hash_is_not_trusted_even_if_the_token_has_signed_it(
    server: Server,
) -> None:
    server.says(server.authority)
    refused(server, "this is another cluster, or the hash is wrong", Authority.create())


def test_no_authority_is_trusted_that_another_invited_one_put_beside_the_right_one(
    server: Server,
) -> None:
    server.says(server.authority, meant := Authority.create())
    refused(server, "the certificate of https://.* is not good for that address", meant)


def test_the_right_authority_is_not_enough_for_a_server_without_its_certificate(
    server: Server,
) -> None:
    server.says(other := Authority.create())
    refused(server, "the certificate of https://.* is not good for that address", other)


def test_what_the_token_has_not_signed_is_not_trusted(server: Server) -> None:
    server.says(server.authority, token=Token("abcdef", "another-one-0000"))
    refused(server, "the token abcdef has another secret")
    server.says(server.authority, token=Token("bcdefg", TOKEN.secret))
    refused(server, "does not know the token abcdef")


NONSENSE: list[tuple[bytes, str]] = [
    (b"", "is no API server"),
    (b"hello", "is no API server"),
    (b"\xff", "is no API server"),
    (b"[]", "does not know the token"),
    (b'{"data": 5}', "does not know the token"),
    (b'{"data": {"kubeconfig": 5, "jws-kubeconfig-abcdef": 7}}', "does not know the token"),
    (b'{"data": {"jws-kubeconfig-abcdef": "\xc3\xa9"}}', "has another secret"),
]


@pytest.mark.parametrize(("body", "why"), NONSENSE)
def test_nonsense_is_no_cluster(server: Server, body: bytes, why: str) -> None:
    server.body = body
    refused(server, why)


def test_a_signed_text_without_an_authority_is_no_cluster(server: Server) -> None:
    for content in ("", "[", "a: b", KUBECONFIG.format("eA==")):
        signature = bootstraptoken.signature(content, TOKEN)
        data = {"kubeconfig": content, "jws-kubeconfig-abcdef": signature}
        server.body = json.dumps({"data": data}).encode()
        refused(server, "does not say which authority it has")


@pytest.mark.parametrize(
    ("status", "why"), [(404, "lets nobody join"), (403, "lets nobody join"), (500, "refused")]
)
def test_a_refusal_is_told(server: Server, status: int, why: str) -> None:
    server.status, server.body = status, b"{}"
    refused(server, why)


def test_an_answer_without_end_is_not_read(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MAX_BYTES", 1000)
    server.body = b"x" * 2000
    refused(server, "does not answer: .* more than 1000 bytes")
    gc.collect()  # what was not closed warns here, and a warning fails the test
