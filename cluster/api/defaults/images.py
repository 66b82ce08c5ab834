"""The pull policy that an image reference implies.

Source: pkg/apis/core/v1/defaults.go and pkg/util/parsers, v1.36; the grammar of references is that
of github.com/distribution/reference.
"""

import re
from functools import cache

from kubeherd.cluster.api.memo import remembered

_NAME = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_HASHES = "sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}"
_MAX_PATH = 255


@cache
def _grammar() -> re.Pattern[str]:
    """Host, path and what follows: compiled for the first image."""
    path = rf"({_NAME}(?:/{_NAME})*)"
    return re.compile(rf"{_HOST}/{path}(?::\w[\w.-]{{0,127}})?(?:@(?:{_HASHES}))?", re.ASCII)


@remembered(entries=1024, longest=200)
def _reads(image: str) -> bool:
    """Whether `image` is a reference."""
    if re.fullmatch("[a-f0-9]{64}", image):
        return False  # an id
    first, slash, rest = image.partition("/")
    if not slash or not (first == "localhost" or set(first) & {".", ":"} or first.lower() != first):
        first, rest = "docker.io", image if slash else f"library/{image}"
    match = _grammar().fullmatch(f"{first}/{rest}")
    return match is not None and len(match[1]) <= _MAX_PATH


def pull_policy(image: str) -> str:
    """Always for the tag ``latest`` or neither tag nor digest, else IfNotPresent, also for what is
    no reference at all (section 17)."""
    if not _reads(image):
        return "IfNotPresent"
    name, at, _ = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if tag == "latest" or not (tag or at) else "IfNotPresent"
