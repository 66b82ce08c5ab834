"""The TLS context of an identity. Keys never touch the disk."""

import os
import ssl

from kubeherd.cluster.client.kubeconfig import ClusterAccess


def tls_context(access: ClusterAccess) -> ssl.SSLContext:
    """The TLS context for an identity; ssl.SSLError for certificates that are none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if access.skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif access.ca_pem:
        context.load_verify_locations(cadata=access.ca_pem.decode("ascii"))
    else:
        context.load_default_certs()
    if access.certificate_pem:
        _load_client_certificate(context, access.certificate_pem + b"\n" + access.key_pem)
    return context


def _load_client_certificate(context: ssl.SSLContext, pem: bytes) -> None:
    """`load_cert_chain` reads files only: give it one that exists in memory only."""
    descriptor = os.memfd_create("kubeherd-client-certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
