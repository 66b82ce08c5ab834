"""A patch of a pod's status and the pod that it is for, cut at the texts in which others differ.

Two patches of two pods are alike if, in the statuses and in the patches, everything between these
texts is the same to the byte, and if the same of the texts are equal. Pure.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

from kubeherd.cluster.api import timestamps

MAX_TEXTS: Final = 256
"""A status and a patch with more texts have no template."""

_TEXT: Final = re.compile(
    rb'":"([0-9][^"]*|[a-z]+://[^"]*|kube-api-access-[^"]*|[a-f](?<="uid":".)[^"]*)"'
)
"""A string value that may be one of those that differ. That is decided when a template is made
(`RULES`); until then it is enough to find the same texts in all patches that are alike. One with an
escape may end too early, and follows no rule."""
_BEGIN: Final = re.compile(
    rb'\{"kind":"Pod","apiVersion":"v1","metadata":\{"name":"[^"]*"(?:,"generateName":"[^"]*")?'
    rb',"namespace":"[^"]*","uid":"([^"]*)","resourceVersion":"([0-9]+)"'
)
"""How the JSON of a stored pod begins; its UID and its revision."""
_STATUS: Final = b',"status":{'
_SPEC: Final = b',"spec":{'
"""In metadata there is no such member but in managedFields."""
_MANAGED: Final = b'"managedFields":'
_ESCAPED: Final = b"\\u"
"""Only with such an escape can the name of a member be written in another way."""
_OCTET: Final = rb"(?:1[0-9]{0,2}|2(?:[0-4][0-9]?|5[0-5]?|[6-9])?|[3-9][0-9]?|0)"


@lru_cache(maxsize=32)
def is_time(text: bytes) -> bool:
    """Whether it is a metav1.Time in the form in which it is stored. The same few come again and
    again, and none is longer than what it is in."""
    return timestamps.is_time(text.decode("ascii", "replace"))


is_ip: Final = re.compile(rb"\.".join([_OCTET] * 4)).fullmatch
"""Whether it is an IPv4 address. Pods with other addresses have no template."""
is_id: Final = re.compile(rb"[a-z]+://[0-9A-Za-z/:@._-]+").fullmatch
"""Whether it is the ID of a container or an image, of which nothing but this is asked."""
is_token_volume: Final = re.compile(rb"kube-api-access-[a-z0-9]{5}").fullmatch
"""Whether it is the generated name of the volume with the service account's token. Kubelets report
where it is mounted; in a status it is compared with no other name."""
is_uid: Final = re.compile(rb"[0-9a-f-]{36}").fullmatch

Rule: TypeAlias = Callable[[bytes], object]
RULES: Final[dict[bytes, Rule]] = {
    **dict.fromkeys((b"startTime", b"startedAt", b"finishedAt", b"lastTransitionTime"), is_time),
    **dict.fromkeys((b"podIP", b"hostIP", b"ip"), is_ip),
    **dict.fromkeys((b"containerID", b"imageID"), is_id),
    b"name": is_token_volume,
    b"uid": is_uid,
}
"""The members whose texts may differ, by name, and the rules for these texts. A text of another
member must be the same in all patches that are alike."""

Key: TypeAlias = tuple[str, tuple[bytes, ...], tuple[bytes, ...], tuple[int, ...]]
"""What patches that are alike have in common: the media type; the bytes between the texts, of the
stored status and of the patch; for each text the index of the first text that is equal to it."""


class Cut(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A patch and the JSON of the stored pod that it is for."""

    key: Key
    texts: list[bytes]
    """The UID of the stored pod, the texts of its status, the texts of the patch."""
    begin: bytes
    """The stored pod, up to its revision."""
    rest: bytes
    """The stored pod, from behind its revision up to its status."""

    def writer(self, status: bytes) -> Callable[[int], bytes]:
        """A function that writes the pod with this status and a revision."""
        return lambda revision: b"%b%d%b%b}" % (self.begin, revision, self.rest, status)


def cut(stored: bytes, body: bytes, media_type: str) -> Cut | None:
    """A patch with this body and media type of a stored pod; None if there can be no template for
    it, e.g. because the patch may change managedFields."""
    begun = _BEGIN.match(stored)
    at = stored.rfind(_STATUS) + len(_STATUS) - 1
    if begun is None or at < begun.end() or (b"\\" in body and _ESCAPED in body):
        return None
    if stored.find(_MANAGED, begun.end(), stored.find(_SPEC, begun.end())) >= 0:
        return None
    status, patch = _TEXT.split(stored[at:-1]), _TEXT.split(body)
    texts = [begun[1], *status[1::2], *patch[1::2]]
    if len(texts) > MAX_TEXTS:
        return None
    first: dict[bytes, int] = {}
    same = tuple(map(first.setdefault, texts, range(MAX_TEXTS)))
    key = (media_type, tuple(status[::2]), tuple(patch[::2]), same)
    revision_at, revision_ends = begun.span(2)
    return Cut(key, texts, stored[:revision_at], stored[revision_ends:at])


def between(data: bytes) -> list[bytes]:
    """JSON, cut at its texts: what is between them, with all quotation marks, at even indices, and
    the texts at odd ones."""
    parts = _TEXT.split(data)
    parts[::2] = quoted(parts[::2])
    return parts


def quoted(parts: list[bytes] | tuple[bytes, ...]) -> list[bytes]:
    """What is between texts, with the quotation marks of the texts and what stands before them."""
    last = len(parts) - 1
    return [
        (b'"' if at else b"") + part + (b'":"' if at < last else b"")
        for at, part in enumerate(parts)
    ]
