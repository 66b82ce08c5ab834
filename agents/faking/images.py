"""Which well-known images serve until they are stopped, even as a container of a Job.

The containers of Jobs come to an end unless something says otherwise (docs/fake-pods.md). An image
tells nothing of itself here, so the two that Kubernetes' own tests use are known by their names:
pause, and agnhost with most of its subcommands (v1.36, test/images/agnhost).
"""

import posixpath
from collections.abc import Sequence
from typing import Final

_PAUSE: Final = "pause"
_AGNHOST: Final = "agnhost"
_AGNHOST_ENDS: Final = frozenset(
    {
        "connect", "dns-server-list", "dns-suffix", "entrypoint-tester", "etc-hosts", "help",
        "logs-generator", "mounttest", "net", "nonewprivs", "test-service-account-issuer-discovery",
    }
)  # fmt: skip
"""Its subcommands that do something and end; without one it pauses."""


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
