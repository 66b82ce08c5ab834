"""What is known of an image by its name: whether there is one, and whether it serves.

Nobody asks a registry, so that an image is not there only if its name makes no secret of it. The
containers of Jobs come to an end unless something says otherwise (docs/fake-pods.md); the images
that Kubernetes' own tests use to serve until they are stopped are known by their names, too: pause,
and agnhost with most of its subcommands (v1.36, test/images/agnhost).
"""

import posixpath
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_ABSENT: Final = ("nonexist", "notexist", "nosuch", "madeup", "madethisup")
"""Words of names that no image has; between them may be dashes, dots and underscores."""
_ABSENT_TAG: Final = "404"
_VERSION: Final = re.compile(r"v?\d+(?:\.\d+)*")
_NO_VERSION: Final = 2**31
"""No release has such a number, but for dates to the minute or the second."""
_DATE: Final = re.compile(r"20\d{10}(?:\d\d)?")
_PAUSE: Final = "pause"
_AGNHOST: Final = "agnhost"
_AGNHOST_ENDS: Final = frozenset(
    {
        "connect", "dns-server-list", "dns-suffix", "entrypoint-tester", "etc-hosts", "help",
        "logs-generator", "mounttest", "net", "nonewprivs", "test-service-account-issuer-discovery",
    }
)  # fmt: skip
"""Its subcommands that do something and end; without one it pauses."""


@lru_cache(maxsize=1024)
def exists(image: str) -> bool:
    """Whether an image of this name can be pulled."""
    letters = re.sub(r"[-._]", "", image.lower())
    tag = posixpath.basename(image.partition("@")[0]).partition(":")[2]
    if tag == _ABSENT_TAG or any(word in letters for word in _ABSENT):
        return False
    numbers = re.findall(r"\d+", tag) if _VERSION.fullmatch(tag) else []
    return all(_is_likely(number) or _DATE.fullmatch(number) for number in numbers)


def _is_likely(number: str) -> bool:
    return len(number) <= len(str(_NO_VERSION)) and int(number) < _NO_VERSION


def serves(image: str, command: Sequence[str], args: Sequence[str]) -> bool:
    """Whether this image, started with these words, is known to run until it is stopped."""
    name = posixpath.basename(image.partition("@")[0]).partition(":")[0]
    words = (*command, *args)
    if words and posixpath.basename(words[0]) in (_PAUSE, _AGNHOST):
        name, words = posixpath.basename(words[0]), words[1:]
    elif command:
        return False
    if name == _PAUSE:
        return True
    return name == _AGNHOST and (not words or words[0] not in _AGNHOST_ENDS)
