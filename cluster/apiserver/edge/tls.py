"""TLS: the server's certificate, and what a client hears whose own is refused.

OpenSSL verifies a client's certificate (chain, dates, usage) during the handshake, and nobody
without a good one gets past it under a name. As in Kubernetes, a handshake with a bad one succeeds
and its requests are answered 401 (`cluster.apiserver.edge.leniency`). Where that cannot be had the
handshake fails and the client learns the reason: asyncio and uvloop drop the alert of a handshake
that fails, so here it is sent before the connection ends. Either way the refusal is reported.
A session that is resumed shows no certificate; what it was begun with counts if a whole handshake
of this server found it good.
The server's own certificate is renewed while it runs: each handshake is made with what the files
say now, as with Kubernetes' dynamic certificates.
Invariants: a certificate that was refused is never shown; a handshake that failed never completes;
files that are no certificate and its key are not taken, the last good ones stay in use.
"""

import ssl
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import structlog

from kubeherd.cluster.apiserver.edge.leniency import Verdict, install
from kubeherd.cluster.runtime.certificatechain import load_chain
from kubeherd.cluster.runtime.process import ProcessError

Report = Callable[[str], None]

_Stamps = tuple[tuple[int, int], ...]

_log = structlog.get_logger(__name__)

_MAX_SEEN = 20_000
"""Certificates of clients, as digests: one for each node and then some."""


class _Seen:
    """Digests of the certificates that whole handshakes found good, the last ones."""

    def __init__(self) -> None:
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def add(self, certificate: bytes) -> None:
        """Remember one; the one that was not used for longest makes room."""
        digest = sha256(certificate).digest()
        self._digests[digest] = None
        self._digests.move_to_end(digest)
        if len(self._digests) > _MAX_SEEN:
            self._digests.popitem(last=False)

    def __contains__(self, certificate: bytes) -> bool:
        return sha256(certificate).digest() in self._digests


class _Handshake(ssl.SSLObject):
    """One connection's TLS, which outlives a failed handshake until the client knows of it."""

    incoming: ssl.MemoryBIO
    report: Report
    verdict: Verdict | None
    seen: _Seen
    problem = ""
    """What is wrong with the client's certificate; "" if nothing is, or there is none."""
    _failed = False

    def do_handshake(self) -> None:
        """As in SSLObject; but a failure asks for more input, which makes the event loop send what
        is left to send, the alert. The client closes then, or the handshake's timeout does."""
        if not self._failed:
            try:
                self._step()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                self._failed = True
                self.report(_reason(error))
            else:
                self._recall()
                if self.problem:
                    self.report(self.problem)
                return
        self.incoming.read()  # whatever else it sends is not kept
        raise ssl.SSLWantReadError

    def _recall(self) -> None:
        """Remember a certificate that was found good; distrust that of a session if it was not."""
        certificate = None if self.problem else super().getpeercert(True)
        if certificate is None:
            return
        if self.session_reused and certificate not in self.seen:
            self.problem = "the session was resumed, and its certificate is not known here"
        else:
            self.seen.add(certificate)

    def _step(self) -> None:
        if self.verdict is None:
            super().do_handshake()
            return
        self.verdict.problem = ""
        try:
            super().do_handshake()
        finally:
            self.problem = self.problem or self.verdict.problem

    def getpeercert(self, binary_form: bool = False) -> Any:
        """As in SSLObject; nothing of a certificate that was refused."""
        return None if self.problem else super().getpeercert(binary_form)


class ServerContext(ssl.SSLContext):
    """The server's side of TLS. `report` is called with the reason of each refusal."""

    sslobject_class = _Handshake
    report: Report = staticmethod(lambda _: None)
    verdict: Verdict | None = None
    files: "_Files | None" = None
    """Where the server's certificate is read from, and again when it has been renewed."""

    def __init__(self, *_: object) -> None:
        self._seen = _Seen()

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        *args: Any,
        **kwargs: Any,
    ) -> ssl.SSLObject:
        if self.files is not None:
            self.files.renew(self)
        handshake = super().wrap_bio(incoming, outgoing, *args, **kwargs)
        if isinstance(handshake, _Handshake):
            handshake.incoming = incoming
            handshake.report = self.report
            handshake.verdict = self.verdict
            handshake.seen = self._seen
        return handshake


class _Files:
    """The files of the server's certificate, and what they were when they were read last.

    One look costs a few microseconds, a handshake a thousand.
    """

    def __init__(self, pki: Path) -> None:
        self._pair = (pki / "apiserver.crt", pki / "apiserver.key")
        self._authority = pki / "ca.crt"
        self._seen: _Stamps = ()

    def load(self, context: ssl.SSLContext) -> None:
        """Use the certificate and the authority that are in the files; OSError or ssl.SSLError, and
        then the context is as it was."""
        self._seen = self._look()
        chain = b"\n".join(path.read_bytes() for path in self._pair)
        authority = self._authority.read_text("ascii", "replace")
        # A context that took a certificate and not its key would be broken: try with another one.
        for one in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
            load_chain(one, chain)
            one.load_verify_locations(cadata=authority)

    def renew(self, context: ssl.SSLContext) -> None:
        """Load them again if they have changed."""
        if self._look() == self._seen:
            return
        try:
            self.load(context)
        except (OSError, ssl.SSLError) as error:
            _log.warning("certificate_not_renewed", file=str(self._pair[0]), error=str(error))
        else:
            _log.info("certificate_renewed", file=str(self._pair[0]))

    def _look(self) -> _Stamps:
        return tuple(_stamp(path) for path in (*self._pair, self._authority))


def _stamp(path: Path) -> tuple[int, int]:
    """What changes with a file; that of none for one that is not there."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino


def tls_context(pki: Path, *, lenient: bool = True) -> ServerContext:
    """TLS with the server's certificate, asking clients for one of the cluster's authority.

    `lenient`: who has another finishes the handshake all the same, if that can be had here.
    ProcessError if the files in `pki` are missing or broken.
    """
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    files = _Files(pki)
    try:
        files.load(context)
    except (OSError, ssl.SSLError) as error:
        raise ProcessError(f"cannot load the certificates in {pki}: {error}") from None
    context.files = files
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 1
    if lenient:
        context.verdict = install(context)
    return context


def problem_of(tls: object) -> str:
    """What is wrong with the certificate of the client at the other end of this TLS object."""
    return tls.problem if isinstance(tls, _Handshake) else ""


def _reason(error: ssl.SSLError) -> str:
    """Why a handshake failed, in OpenSSL's words: that of the certificate if it was one."""
    return getattr(error, "verify_message", "") or error.reason or str(error)
