"""Request bodies: read within a time, at most 3 MiB, also after decompression."""

import asyncio
import zlib

from aiohttp.web_request import BaseRequest

from kubeherd.cluster.api import errors

BODY_LIMIT_BYTES = 3 * 1024 * 1024
TIMEOUT_S = 60.0
"""How long a client may take to send its body, as long as Kubernetes lets a request take."""

_READ_BYTES = 64 * 1024
_GZIP_WINDOW = 31


async def read(request: BaseRequest) -> bytes:
    """The body, decompressed. Timeout (504) if it does not arrive, RequestEntityTooLarge (413)
    beyond the limit, UnsupportedMediaType or BadRequest for a wrong encoding."""
    if not request.can_read_body:
        return b""
    if request.content.is_eof():
        return await _decoded(request)
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _decoded(request)
    except TimeoutError:
        raise errors.Timeout("the request body did not arrive") from None


async def _decoded(request: BaseRequest) -> bytes:
    parts: list[bytes] = []
    size = 0
    while chunk := await request.content.read(_READ_BYTES):
        size += len(chunk)
        if size > BODY_LIMIT_BYTES:
            raise _too_large()
        parts.append(chunk)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise errors.UnsupportedMediaType(f"unsupported content encoding: {encoding[:64]}")
    return _inflated(body)


def _inflated(body: bytes) -> bytes:
    decompressor = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = decompressor.decompress(body, BODY_LIMIT_BYTES + 1)
    except zlib.error as error:
        raise errors.BadRequest(f"the gzip body cannot be decompressed: {error}") from None
    if len(plain) > BODY_LIMIT_BYTES:
        raise _too_large()
    if not decompressor.eof:
        raise errors.BadRequest("the gzip body cannot be decompressed: unexpected EOF")
    return plain


def _too_large() -> errors.RequestEntityTooLarge:
    return errors.RequestEntityTooLarge(f"Request entity too large: limit is {BODY_LIMIT_BYTES}")
