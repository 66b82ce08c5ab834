"""OpenSSL told to finish a handshake whose client certificate it has refused, and to say so.

Kubernetes lets such a handshake succeed and answers each request with 401, as Go's TLS can
(`RequestClientCert`); Python's ssl has no way to ask for that. So the verify callback is set in
OpenSSL itself, on the SSL_CTX that a context of CPython begins with. OpenSSL verifies exactly as
before; the callback only hears of what it found wrong. Invariant: whoever finishes a whole
handshake although the certificate was refused is known by `Verdict.problem`; a session that is
resumed shows no certificate again, so whether it was good is remembered (`apiserver.edge.tls`).
Where this CPython or its OpenSSL is not one that was looked at, `install` returns None and the
handshake fails, as Python's ssl has it.
"""

import ctypes
import ssl
import sys
from typing import Final

_LOOKED_AT: Final = ((3, 11), (3, 12), (3, 13))
"""Versions of CPython whose `PySSLContext` (Modules/_ssl.c) begins with the SSL_CTX."""

_VERIFY_PEER: Final = 1
_SET_SESSION_CACHE_MODE: Final = 44
_SESSION_CACHE_OFF: Final = 0
_GO_ON: Final = 1
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)


class Verdict:
    """What OpenSSL has found in the handshake step under way. One per context: the steps of all
    its connections run on one event loop, each to its end."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.problem = ""
        self._error = library.X509_STORE_CTX_get_error
        self._error.argtypes, self._error.restype = (ctypes.c_void_p,), ctypes.c_int
        self._text = library.X509_verify_cert_error_string
        self._text.argtypes, self._text.restype = (ctypes.c_long,), ctypes.c_char_p
        self.callback = _Callback(self._found)

    def _found(self, valid: int, store: int) -> int:
        if not valid and not self.problem:
            self.problem = self._text(self._error(store)).decode("ascii", "replace")
        return _GO_ON


def install(context: ssl.SSLContext) -> Verdict | None:
    """Make a server's context lenient; None if that is not possible here.

    The context must not change its `verify_mode` afterwards, and must outlive its connections.
    """
    if sys.implementation.name != "cpython" or sys.version_info[:2] not in _LOOKED_AT:
        return None
    try:
        library = ctypes.CDLL(sys.modules["_ssl"].__file__)
        set_verify, control = library.SSL_CTX_set_verify, library.SSL_CTX_ctrl
        verdict = Verdict(library)
    except (OSError, AttributeError):
        return None  # OpenSSL is part of the interpreter, and does not show its functions
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    set_verify.argtypes, set_verify.restype = (ctypes.c_void_p, ctypes.c_int, _Callback), None
    control.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p)
    control.restype = ctypes.c_long
    context.options |= ssl.OP_NO_RENEGOTIATION
    control(pointer, _SET_SESSION_CACHE_MODE, _SESSION_CACHE_OFF, None)  # a ticket holds all of it
    set_verify(pointer, _VERIFY_PEER, verdict.callback)
    return verdict
