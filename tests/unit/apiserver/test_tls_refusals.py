"""TLS: who is let in, and what those hear who are not."""

import asyncio
import contextlib
import ctypes
import json
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from cryptography import x509
from patience import PATIENCE_S
from throwawaypki import Authority
from wireserver import Served, request, serving

from kubeherd.cluster.apiserver.edge import leniency, tls


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "own") as server:
        yield server


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Served]:
    """A server on a Python whose OpenSSL cannot be told to finish such handshakes."""
    async with serving(tmp_path / "own", lenient=False) as server:
        yield server


def foreign(served: Served, tmp_path: Path, _patch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    return Authority(tmp_path / "other").identity("admin", "system:masters")


def expired(served: Served, tmp_path: Path, patch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    served.authority.life = timedelta(seconds=-1)
    return served.authority.identity("admin", "system:masters")


def future(served: Served, tmp_path: Path, patch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    served.authority.ahead = timedelta(hours=1)
    return served.authority.identity("admin", "system:masters")


def for_servers(served: Served, tmp_path: Path, _patch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    files = served.authority.directory / "pki"
    return files / "apiserver.crt", files / "apiserver.key"


Certificate = Callable[[Served, Path, pytest.MonkeyPatch], tuple[Path, Path]]
CERTIFICATES = [
    pytest.param(foreign, "UNKNOWN_CA", "unable to get local issuer certificate", id="foreign"),
    pytest.param(expired, "CERTIFICATE_EXPIRED", "certificate has expired", id="expired"),
    pytest.param(future, "BAD_CERTIFICATE", "certificate is not yet valid", id="not yet valid"),
    pytest.param(for_servers, "UNSUPPORTED_CERTIFICATE", "unsuitable certificate purpose",
                 id="for servers"),
]  # fmt: skip


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(("certificate", "alert", "logged"), CERTIFICATES)
async def test_a_bad_certificate_is_401_whatever_is_asked(
    served: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certificate: Certificate,
    alert: str,
    logged: str,
    version: ssl.TLSVersion,
) -> None:
    context = served.tls(*certificate(served, tmp_path, monkeypatch))
    context.maximum_version = version
    with structlog.testing.capture_logs() as logs:
        answer = await answered(served, context, "/version")
    assert answer.startswith(b"HTTP/1.1 401 ")
    status = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (status["kind"], status["reason"], status["message"]) == (
        "Status", "Unauthorized", "Unauthorized",
    )  # fmt: skip
    assert [(log["event"], log["reason"]) for log in logs] == [("tls_handshake_failed", logged)]


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_refused_certificate_does_not_come_back_by_a_resumed_session(
    served: Served, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """A resumed handshake shows no certificate, so nothing could be found wrong with it."""
    context = served.tls(*Authority(tmp_path / "other").identity("admin", "system:masters"))
    assert await asked_twice(served, context, version) == [(b"401", False), (b"401", True)]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_resumed_session_is_who_began_it(served: Served, version: ssl.TLSVersion) -> None:
    admin = served.tls(*served.authority.identity("admin", "system:masters"))
    assert await asked_twice(served, admin, version) == [(b"200", False), (b"200", True)]
    assert await asked_twice(served, served.tls(), version) == [(b"403", False), (b"403", True)]


async def test_a_resumed_session_is_refused_when_its_certificate_is_forgotten(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_MAX_SEEN", 0)
    admin = served.tls(*served.authority.identity("admin", "system:masters"))
    answers = await asked_twice(served, admin, ssl.TLSVersion.TLSv1_3)
    assert answers == [(b"200", False), (b"401", True)]


async def asked_twice(
    served: Served, context: ssl.SSLContext, version: ssl.TLSVersion
) -> list[tuple[bytes, bool]]:
    """Status, and whether the session was resumed, of two connections of one session."""
    context.maximum_version = version
    answers, session = [], None
    for _ in range(2):
        status, reused, session = await asyncio.to_thread(
            secrets_asked_for, served.port, context, session
        )
        answers.append((status, reused))
    return answers


def secrets_asked_for(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[bytes, bool, ssl.SSLSession | None]:
    """The status of a request with the session of an earlier connection, whether that was resumed,
    and this one's session."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as tls_socket,
    ):
        tls_socket.sendall(request(path="/api/v1/secrets"))
        status = tls_socket.recv(4096).split()[1]
        return status, bool(tls_socket.session_reused), tls_socket.session


async def test_good_certificates_and_none_are_served_beside_bad_ones(
    served: Served, tmp_path: Path
) -> None:
    bad = served.tls(*Authority(tmp_path / "other").identity("admin", "system:masters"))
    good = served.tls(*served.authority.identity("admin", "system:masters"))
    asked = [bad, good, served.tls()] * 8
    answers = await asyncio.gather(*(answered(served, c, "/api/v1/secrets") for c in asked))
    assert [answer[9:12] for answer in answers] == [b"401", b"200", b"403"] * 8


@pytest.mark.parametrize("missing", ["version", "library", "function"])
async def test_without_a_known_openssl_the_handshake_is_as_python_has_it(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    options = context.options
    if missing == "version":
        monkeypatch.setattr(leniency, "_LOOKED_AT", ())
    elif missing == "library":
        monkeypatch.setitem(sys.modules, "_ssl", object())
    else:
        monkeypatch.setattr(ctypes, "CDLL", lambda _path: object())
    assert leniency.install(context) is None
    assert context.options == options


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(("certificate", "alert", "logged"), CERTIFICATES)
async def test_a_bad_certificate_is_refused_with_an_alert_where_401_cannot_be_had(
    strict: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certificate: Certificate,
    alert: str,
    logged: str,
    version: ssl.TLSVersion,
) -> None:
    context = strict.tls(*certificate(strict, tmp_path, monkeypatch))
    context.maximum_version = version
    with structlog.testing.capture_logs() as logs, pytest.raises(ssl.SSLError) as raised:
        await answered(strict, context)
    assert alert in str(raised.value.reason)
    assert [(log["event"], log["reason"]) for log in logs] == [("tls_handshake_failed", logged)]


async def answered(served: Served, context: ssl.SSLContext, path: str = "/version") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=context)
    with contextlib.closing(writer):
        writer.write(request(path=path))
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()


async def test_many_refusals_are_one_line_in_the_log(strict: Served, tmp_path: Path) -> None:
    context = strict.tls(*Authority(tmp_path / "other").identity("admin", "system:masters"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            with pytest.raises(ssl.SSLError):
                await answered(strict, context)
    assert len(logs) == 1


async def test_a_certificate_that_expires_on_an_open_connection_is_401(served: Served) -> None:
    served.authority.life = timedelta(seconds=2)
    async with served.session("admin", "system:masters") as session, asyncio.timeout(PATIENCE_S):
        while True:
            async with session.get("/api/v1/namespaces") as response:
                body = await response.json()
                peer = response.connection and response.connection.transport
                if response.status != 200:
                    break
            await asyncio.sleep(0.05)
        assert peer is None or not peer.is_closing()
    assert (response.status, body["reason"], body["message"]) == (
        401, "Unauthorized", "Unauthorized",
    )  # fmt: skip


async def shown(served: Served) -> int:
    """The serial number of the certificate that a new connection sees."""
    context = ssl._create_unverified_context()
    _, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=context)
    with contextlib.closing(writer):
        peer = writer.get_extra_info("ssl_object").getpeercert(True)
    return x509.load_der_x509_certificate(peer).serial_number


async def test_a_renewed_certificate_is_shown_to_new_connections_and_old_ones_go_on(
    served: Served,
) -> None:
    first = await shown(served)
    async with served.admin() as session:
        async with session.get("/version") as response:
            assert response.status == 200
        served.authority.renew_server()
        second = await shown(served)
        assert second != first
        async with session.get("/version") as response:  # on the connection that was open
            assert response.status == 200
    (served.authority.directory / "pki" / "apiserver.key").write_text("no key")
    with structlog.testing.capture_logs() as logs:
        assert await shown(served) == await shown(served) == second
    assert [entry["event"] for entry in logs] == ["certificate_not_renewed"]
    served.authority.renew_server()
    assert await shown(served) not in (first, second)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
async def test_plain_http_gets_the_answer_of_go(served: Served, method: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    with contextlib.closing(writer):
        writer.write(request(method, Connection="keep-alive"))
        async with asyncio.timeout(5):
            answer = await reader.read()
    assert answer == (
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
    )


@pytest.mark.parametrize("sent", [b"SSH-2.0-x\r\n", b"\x80\x2e\x01", b"\0"])
async def test_what_is_neither_tls_nor_http_is_closed(served: Served, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    with contextlib.closing(writer):
        writer.write(sent)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
    async with served.admin() as session, session.get("/version") as response:
        assert json.loads(await response.read())["major"] == "1"
