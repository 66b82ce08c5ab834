"""A certificate and its key given to a TLS context from memory, where Python's ssl wants files."""

import os
import ssl


def load_chain(context: ssl.SSLContext, pem: bytes) -> None:
    """Use the certificate and the private key in `pem`; ssl.SSLError if they are none, or not each
    other's. Keys do not touch the disk: the file exists in memory only."""
    descriptor = os.memfd_create("kubeherd-certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
