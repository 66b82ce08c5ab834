"""How a gRPC call ends that does not end well. Pure."""

from collections.abc import Mapping
from typing import Final

CODES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""By their numbers (google.rpc.Code)."""

NOT_CARRIED_OUT: Final = "NOT_CARRIED_OUT"
"""A code of ours: the call failed, and it is certain that nobody has begun to carry it out."""


class CallError(Exception):
    """The status of a call that failed: the name of its code, and details in one line or more."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details


def code_name(number: str) -> str:
    """The name of a code that is given by its number in digits; UNKNOWN for any other text."""
    return _NAMES.get(number, "UNKNOWN")


_NAMES: Final = {str(number): name for number, name in enumerate(CODES)}

_RESETS: Final[Mapping[int, tuple[str, str]]] = {
    7: (NOT_CARRIED_OUT, "it refused the call unseen"),  # REFUSED_STREAM
    8: ("CANCELLED", "it cancelled the call"),
    11: ("RESOURCE_EXHAUSTED", "it is asked too much"),  # ENHANCE_YOUR_CALM
    12: ("PERMISSION_DENIED", "it wants a better encryption"),  # INADEQUATE_SECURITY
}


def of_reset(error: int) -> tuple[str, str]:
    """Code and details of a call that HTTP/2 ended with an error (gRPC over HTTP2, "Errors")."""
    return _RESETS.get(error, ("INTERNAL", f"it broke the call off with HTTP/2 error {error}"))
