"""POST to a webhook. Imported, with its TLS contexts, when the first webhook is asked."""

import base64
import binascii
import os
import ssl

import aiohttp

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.memo import remembered
from kubeherd.cluster.apiserver.admission.webhooks.matching import Hook
from kubeherd.cluster.apiserver.admission.webhooks.review import CallFailed
from kubeherd.cluster.runtime.sockets.aiohttpsockets import once_closed

_MAX_ANSWER_BYTES = 3 * 1024 * 1024
"""As large as an object may be: more would have to be a patch larger than that."""


async def post(hook: Hook, body: bytes) -> bytes:
    """The answer of an admission webhook; CallFailed if there is none."""
    try:
        return await send(hook.tree.get("clientConfig") or {}, hook.timeout_s, body)
    except CallFailed as why:
        raise CallFailed(f"failed to call webhook: {why}") from None


async def send(config: JsonObject, timeout_s: int, body: bytes) -> bytes:
    """What the webhook of a clientConfig answers; CallFailed if it does not. Ends after the
    timeout, of real seconds, for it is somebody else's clock."""
    url = _url(config)
    whole = f"{url}{'&' if '?' in url else '?'}timeout={timeout_s}s"
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        context = _context(str(config.get("caBundle") or ""))
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(socket_factory=once_closed), timeout=timeout
            ) as session,
            session.post(
                whole, data=body, headers=headers, ssl=context, allow_redirects=False
            ) as response,
        ):
            answer = await _read(response)
    except TimeoutError:
        raise _failed(whole, "context deadline exceeded") from None
    except (aiohttp.ClientError, ValueError, OSError) as error:
        raise _failed(whole, _why(error)) from None
    if response.status != 200:
        text = answer[:1024].decode(errors="replace").strip()
        raise CallFailed(
            "an error on the server "
            f'("{text or "unknown"}") has prevented the request from succeeding'
        )
    return answer


def _failed(url: str, why: str) -> CallFailed:
    return CallFailed(f'Post "{url}": {why}')


def _why(error: Exception) -> str:
    """What went wrong, in Go's words where it was the connection: aiohttp's tell an address in
    memory."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {error.host}: no such host"
    if isinstance(error, aiohttp.ClientConnectorError):
        host = f"[{error.host}]" if ":" in error.host else error.host
        why, number = error.os_error, error.os_error.errno or 0
        reason = os.strerror(number).lower() if number > 0 else why.strerror or str(why)
        return f"dial tcp {host}:{error.port}: connect: {reason}"
    return str(error) or type(error).__name__


def _url(config: JsonObject) -> str:
    url = str(config.get("url") or "")
    if not url:
        service = config.get("service") or {}
        name = f"{service.get('namespace', '')}/{service.get('name', '')}"
        raise CallFailed(
            f"Service {name} cannot be reached: in kubeherd no traffic "
            "goes to Services; use clientConfig.url"
        )
    if not url.startswith("https://"):
        raise CallFailed(f'url "{url}" must begin with https://')
    return url


@remembered(entries=64, longest=64 * 1024)
def _context(bundle: str) -> ssl.SSLContext:
    """Trusts the CAs of a bundle (PEM in base64), without one those of the system."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not bundle:
        context.load_default_certs()
        return context
    try:
        pem = base64.b64decode(bundle, validate=True).decode("ascii")
        context.load_verify_locations(cadata=pem)
    except (binascii.Error, UnicodeDecodeError, ssl.SSLError):
        raise ValueError("unable to load root certificates: caBundle is not PEM") from None
    return context


async def _read(response: aiohttp.ClientResponse) -> bytes:
    answer = bytearray()
    async for chunk in response.content.iter_any():
        answer += chunk
        if len(answer) > _MAX_ANSWER_BYTES:
            raise ValueError(f"the answer is larger than {_MAX_ANSWER_BYTES} bytes")
    return bytes(answer)
