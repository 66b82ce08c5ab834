"""What an error of etcd means: whether the request may have been carried out, and what helps.

Pure. Sources: etcd's api/v3rpc/rpctypes/error.go, server/etcdserver/{v3_server,apply}.go (3.4 to
3.6), and where it has no word, what is said of a connection.
"""

from enum import Enum, auto

import msgspec

from kubeherd.cluster.store.etcd.grpc.status import NOT_CARRIED_OUT


class Meaning(Enum):
    """Of an error that answers a request."""

    ELSEWHERE = auto()
    """It was not carried out here; another member may do it, or this one later."""
    UNKNOWN = auto()
    """It may have been carried out."""
    REFUSED = auto()
    """It was not carried out and would be refused again."""
    UNAUTHENTICATED = auto()
    """It was not carried out: who asks has to say anew who it is."""
    NO_LEASE = auto()
    """It was not carried out: the lease is gone."""
    NO_SPACE = auto()
    """A transaction may have been carried out all the same: the check comes twice, the second time
    behind it (`quotaApplierV3.Txn`)."""
    COMPACTED = auto()
    """What it asks for is no longer known."""


class Failure(msgspec.Struct, frozen=True):
    """An error: what it means, and why it came, for a person."""

    meaning: Meaning
    why: str


_TEXTS = {
    "etcdserver: no leader": Meaning.ELSEWHERE,
    "etcdserver: too many requests": Meaning.ELSEWHERE,
    "etcdserver: not capable": Meaning.ELSEWHERE,
    "etcdserver: rpc not supported for learner": Meaning.ELSEWHERE,
    "etcdserver: invalid auth token": Meaning.UNAUTHENTICATED,
    "etcdserver: revision of auth store is old": Meaning.UNAUTHENTICATED,
    "etcdserver: requested lease not found": Meaning.NO_LEASE,
    "etcdserver: mvcc: database space exceeded": Meaning.NO_SPACE,
    "etcdserver: mvcc: required revision has been compacted": Meaning.COMPACTED,
}

_REFUSALS = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "FAILED_PRECONDITION",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "UNAUTHENTICATED",
    }
)
"""Codes that a member gives only where it has not done what was asked."""

_ADVICE = (
    ("etcdserver: no leader", "it has no leader: most members are down or cut off"),
    ("etcdserver: request timed out", "it cannot reach most of the other members"),
    ("Connection refused", "nothing listens there: is etcd running?"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is of another CA or for another name"),
    ("_ALERT_", "it does not accept our certificate, or wants one"),
    ("handshake failed", "no TLS connection: look at the scheme, the CA, our certificate and key"),
    ("Name or service not known", "its name is not known"),
    ("nodename nor servname", "its name is not known"),
    ("Temporary failure in name resolution", "its name is not known"),
    (
        "etcdserver: mvcc: database space exceeded",
        "it has no space left: compact, defragment, then `etcdctl alarm disarm`",
    ),
    ("etcdserver: request is too large", "too large for it: see its --max-request-bytes"),
    ("etcdserver: permission denied", "our user may not read and write all keys"),
    ("etcdserver: user name is empty", "it wants a user name and a password"),
    (
        "etcdserver: authentication failed, invalid user ID or password",
        "it does not know this user name with this password",
    ),
)

NO_ANSWER = "no answer in time"


def judge(code: str, details: str) -> Failure:
    """The meaning of a gRPC status: the name of its code (``UNAVAILABLE``) and its details."""
    meaning = next((m for text, m in _TEXTS.items() if details.startswith(text)), None)
    if code == NOT_CARRIED_OUT:
        meaning = Meaning.ELSEWHERE
    elif meaning is None:
        meaning = Meaning.REFUSED if code in _REFUSALS else Meaning.UNKNOWN
    return Failure(meaning, _why(code, details))


def _why(code: str, details: str) -> str:
    """One short line."""
    for text, advice in _ADVICE:
        if text.lower() in details.lower():
            return advice
    if code == "DEADLINE_EXCEEDED":
        return NO_ANSWER
    return " ".join(details.removeprefix("etcdserver: ").split())[:200] or code
