"""What a fake pod answers on a port: scripted by its annotation, or known of its image. Pure.

`kubeherd.io/port-forward` is a JSON object from the port to a text (sent as it is) or to an object
with `body`, `contentType` and `status` (sent as an HTTP response). The one image of which more is
known than that it runs is agnhost's `serve-hostname` (v1.36, test/images/agnhost), by which tests
tell pods apart; of a script, netcat in a loop. Invariant: what cannot be read counts as absent.
"""

import posixpath
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.helpers.environment import hostname
from kubeherd.cluster.api.helpers.scripts import PREFIX
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.apiserver.streams import netcat

KEY: Final = PREFIX + "port-forward"
MAX_PORTS: Final = 100
_MAX_PORT: Final = 65_535
_AGNHOST: Final = "agnhost"
_SERVE_HOSTNAME_PORT: Final = 9376


class Response(msgspec.Struct, frozen=True, rename="camel"):
    """A whole answer to an HTTP request, whatever its path."""

    body: str = ""
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


def entry(annotations: Mapping[str, str], port: int) -> str | Response | None:
    """What the script has for a port; None where nothing is scripted."""
    try:
        table = msgspec.json.decode(annotations.get(KEY, "{}"), type=dict[str, str | Response])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return table.get(str(port))


def answer(tree: JsonObject, port: int) -> str | Response | None:
    """What a pod (or node) has for a port; None where nobody listens."""
    scripted = entry(tree["metadata"].get("annotations") or {}, port)
    if scripted is not None or tree.get("kind") != "Pod":
        return scripted
    for container in tree["spec"].get("containers") or ():
        if _serves_hostname_at(container) == port:
            return Response(body=hostname(msgspec.convert(tree, Pod)))
        said = netcat.said(container.get("command") or (), container.get("args") or (), port)
        if said is not None:
            return said
    return None


def _serves_hostname_at(container: JsonObject) -> int:
    """The port on which a container answers with its host's name; 0 if it does not."""
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    image = posixpath.basename(str(container.get("image"))).partition(":")[0]
    if words and posixpath.basename(words[0]) == _AGNHOST:
        image, words = _AGNHOST, words[1:]
    if image != _AGNHOST or not words or words[0] != "serve-hostname":
        return 0
    for flag, value in zip(words, [*words[1:], ""], strict=True):
        name, given, rest = flag.partition("=")
        if name.lstrip("-") == "port" and (rest if given else value).isdecimal():
            return int(rest if given else value)
    return _SERVE_HOSTNAME_PORT


def reply(tree: JsonObject, port: int) -> bytes | None:
    """What is sent when the client has said something; None where nobody listens."""
    found = answer(tree, port)
    if found is None or isinstance(found, str):
        return None if found is None else found.encode()
    body = found.body.encode()
    head = (
        f"HTTP/1.1 {found.status.value} {found.status.phrase}\r\n"
        f"Content-Type: {found.content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def ports(values: Sequence[str]) -> list[int]:
    """The ports of a request (``ports=80,443&ports=8080``); BadRequest for what is none.

    Source: Kubernetes v1.36, k8s.io/cri-streaming, portforward.BuildV4Options.
    """
    found = [text for value in values for text in value.split(",")]
    if not found:
        raise errors.BadRequest('query parameter "port" is required')
    if len(found) > MAX_PORTS:
        raise errors.BadRequest(f"at most {MAX_PORTS} ports can be forwarded at once")
    return [_port(text) for text in found]


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > _MAX_PORT:
        raise errors.BadRequest(f"unable to parse {quoted(text)} as a port")
    if int(text) < 1:
        raise errors.BadRequest(f"port {quoted(text)} must be > 0")
    return int(text)
