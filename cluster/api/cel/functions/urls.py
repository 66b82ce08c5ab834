"""``url('https://example.com:80/')`` and what can be asked of it.

Source: k8s.io/apiserver/pkg/cel/library/urls.go, Go's net/url for what is one.
"""

import re
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from kubeherd.cluster.api.cel.checker.declarations import Functions, function, member
from kubeherd.cluster.api.cel.checker.types import BOOL, STRING, URL, list_of, map_of
from kubeherd.cluster.api.cel.interpreter.datatypes import Failure, Opaque
from kubeherd.cluster.api.goformat import quoted

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_BAD_HOST = re.compile(r"[ \x00-\x1f\x7f\"<>^`{|}\\]")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})(.{0,2})", re.DOTALL)


class Parts(msgspec.Struct, frozen=True):
    """A parsed URL."""

    scheme: str
    host: str
    path: str
    query: str
    text: str


def request_problem(text: str) -> str:
    """Why a text is no absolute URL or path as a request has it, "" if it is one."""
    problem = ""
    if any(char < " " or char == "\x7f" for char in text):
        problem = "net/url: invalid control character in URL"
    elif not text:
        problem = "empty url"
    elif text[0] == ":":
        problem = "missing protocol scheme"
    elif text[0] != "/" and text != "*" and not _SCHEME.match(text):
        before = text.partition("/")[0]
        problem = (
            "first path segment in URL cannot contain colon"
            if ":" in before
            else "invalid URI for request"
        )
    elif match := _ESCAPE.search(text.partition("?")[0]):
        problem = f"invalid URL escape {quoted('%' + match[1])}"
    else:
        problem = _authority_problem(text)
    return f"parse {quoted(text)}: {problem}" if problem else ""


def _authority_problem(text: str) -> str:
    scheme = _SCHEME.match(text)
    rest = text[scheme.end() :] if scheme else text
    if scheme and not rest.startswith("/"):
        return ""
    if not rest.startswith("//") or (not scheme and rest.startswith("///")):
        return ""
    authority = re.split("[/?#]", rest[2:], maxsplit=1)[0].rpartition("@")[2]
    if "[" in authority and "]" not in authority:
        return "missing ']' in host"
    host, colon, port = authority.rpartition(":")
    if colon and not host.startswith("[") and ":" in host:
        return (
            f"invalid port {quoted(':' + port)} after host" if port and not port.isdigit() else ""
        )
    if colon and port and not port.endswith("]") and not (port.isascii() and port.isdigit()):
        return f"invalid port {quoted(':' + port)} after host"
    match = _BAD_HOST.search(authority)
    return f"invalid character {quoted(match[0])} in host name" if match else ""


def _url(text: str) -> Opaque:
    problem = request_problem(text)
    if problem:
        raise Failure(f"URL parse error during conversion from string: {problem}")
    try:
        parts = urlsplit(text, allow_fragments=True)
    except ValueError as error:
        raise Failure(f"URL parse error during conversion from string: {error}") from None
    host = parts.netloc.rpartition("@")[2]
    path = parts.path if not parts.scheme or parts.netloc or parts.path[:1] == "/" else ""
    return Opaque(URL, Parts(parts.scheme, host, path, parts.query, text))


def _is_url(text: str) -> bool:
    return not request_problem(text)


def _split_host(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = host, ""
    return name.removeprefix("[").removesuffix("]"), port


def _escaped_path(url: Opaque) -> str:
    return quote(url.value.path, safe="/%:@!$&'()*+,;=~-._")


def _query(url: Opaque) -> dict[str, list[str]]:
    found: dict[str, Any] = parse_qs(url.value.query, keep_blank_values=True)
    return found


LIBRARY: Functions = {
    "url": (function("string_to_url", URL, _url, STRING),),
    "isURL": (function("is_url_string", BOOL, _is_url, STRING),),
    "getScheme": (member("url_get_scheme", STRING, lambda url: url.value.scheme, URL),),
    "getHost": (member("url_get_host", STRING, lambda url: url.value.host, URL),),
    "getHostname": (
        member("url_get_hostname", STRING, lambda url: _split_host(url.value.host)[0], URL),
    ),
    "getPort": (member("url_get_port", STRING, lambda url: _split_host(url.value.host)[1], URL),),
    "getEscapedPath": (member("url_get_escaped_path", STRING, _escaped_path, URL),),
    "getQuery": (member("url_get_query", map_of(STRING, list_of(STRING)), _query, URL),),
}
