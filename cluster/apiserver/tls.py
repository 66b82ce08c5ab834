"""TLS: the server's certificate, and what a client hears whose own is refused.

OpenSSL verifies a client's certificate (chain, dates, usage) during the handshake, and nobody
without a good one gets past it under a name. Kubernetes lets the handshake succeed and answers 401;
Python's ssl cannot ask for a certificate without insisting that it be good. The nearest is that
the client learns the reason: asyncio and uvloop drop the alert of a handshake that fails, so here
it is sent before the connection ends, and the refusal is reported. Invariant: a handshake that
failed never completes.
"""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.runtime.process import ProcessError

Report = Callable[[ssl.SSLError], None]


class _Handshake(ssl.SSLObject):
    """One connection's TLS, which outlives a failed handshake until the client knows of it."""

    incoming: ssl.MemoryBIO
    report: Report
    _refused = False

    def do_handshake(self) -> None:
        """As in SSLObject; but a failure asks for more input, which makes the event loop send what
        is left to send, the alert. The client closes then, or the handshake's timeout does."""
        if not self._refused:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                self._refused = True
                self.report(error)
            else:
                return
        self.incoming.read()  # whatever else it sends is not kept
        raise ssl.SSLWantReadError


class ServerContext(ssl.SSLContext):
    """The server's side of TLS. `report` is called with the reason of each failed handshake."""

    sslobject_class = _Handshake
    report: Report = staticmethod(lambda _: None)

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        *args: Any,
        **kwargs: Any,
    ) -> ssl.SSLObject:
        handshake = super().wrap_bio(incoming, outgoing, *args, **kwargs)
        if isinstance(handshake, _Handshake):
            handshake.incoming = incoming
            handshake.report = self.report
        return handshake


def tls_context(pki: Path) -> ServerContext:
    """TLS with the server's certificate, asking clients for one of the cluster's authority.

    ProcessError if the files in `pki` are missing or broken.
    """
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    try:
        context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        context.load_verify_locations(pki / "ca.crt")
    except (OSError, ssl.SSLError) as error:
        raise ProcessError(f"cannot load the certificates in {pki}: {error}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def reason(error: ssl.SSLError) -> str:
    """Why a handshake failed, in OpenSSL's words: that of the certificate if it was one."""
    return getattr(error, "verify_message", "") or error.reason or str(error)
