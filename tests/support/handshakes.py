"""TLS handshakes in memory, between a cluster's API server and a client."""

import ssl
from collections.abc import Mapping

from kubeherd.cluster.client.http.tls import tls_context
from kubeherd.cluster.client.kubeconfig import ClusterAccess
from kubeherd.cluster.launcher.directory.rundir import RunDir


def peer(rundir: RunDir, access: ClusterAccess, name: str = "127.0.0.1") -> Mapping[str, object]:
    """The client's certificate as the server sees it; both sides check. ssl.SSLError if one does
    not like what it sees. `name`: by which the client knows the server."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(rundir.pki / "apiserver.crt", rundir.pki / "apiserver.key")
    server.load_verify_locations(rundir.pki / "ca.crt")
    server.verify_mode = ssl.CERT_REQUIRED
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    left = tls_context(access).wrap_bio(to_client, to_server, server_hostname=name)
    right = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (left, right):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = right.getpeercert()
    assert found
    return found
