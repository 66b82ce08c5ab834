"""The TLS context of an identity. Keys never touch the disk.

A program opens a connection for each watch: all but the first resume the session of an earlier one
(RFC 8446, 2.2), which spares both sides the certificates, more than half of a handshake's CPU.
"""

import ssl

from kubeherd.cluster.client.kubeconfig import ClusterAccess
from kubeherd.cluster.runtime.certificatechain import load_chain


class _Connection(ssl.SSLObject):
    """One connection's TLS."""

    def do_handshake(self) -> None:
        """As in SSLObject; what finished can be resumed."""
        super().do_handshake()
        if isinstance(self.context, _ResumingContext):
            self.context.latest = self


class _ResumingContext(ssl.SSLContext):
    """Offers each new connection the last session that a server gave a ticket for.

    A server that does not know the ticket (another one, or one that started anew) makes a whole
    handshake of it.
    """

    sslobject_class = _Connection
    latest: ssl.SSLObject | None = None
    """The connection whose handshake finished last: its ticket comes later, with the first data."""
    _session: ssl.SSLSession | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        made = self.latest.session if self.latest else None
        if made is not None and made.has_ticket:
            self._session, self.latest = made, None
        return super().wrap_bio(
            incoming, outgoing, server_side, server_hostname, session or self._session
        )


def tls_context(access: ClusterAccess) -> ssl.SSLContext:
    """The TLS context for an identity; ssl.SSLError for certificates that are none."""
    context = _ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    if access.skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif access.ca_pem:
        context.load_verify_locations(cadata=access.ca_pem.decode("ascii"))
    else:
        context.load_default_certs()
    if access.certificate_pem:
        load_chain(context, access.certificate_pem + b"\n" + access.key_pem)
    return context
