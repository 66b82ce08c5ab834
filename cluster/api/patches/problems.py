"""Refusals that the patch formats share, in the words of Kubernetes."""

from kubeherd.cluster.api.errors import BadRequest, Invalid
from kubeherd.cluster.api.jsontypes import JsonObject

_REJECTED = "the server rejected our request due to an error in our request"


class NotApplicable(Invalid):
    """A well-formed patch does not fit the object; `operation` is the one that does not."""

    operation: JsonObject | None = None


class FailedTest(NotApplicable):
    """The object is not as a ``test`` of the patch expects it."""


def not_applicable() -> NotApplicable:
    """422: a well-formed patch that does not fit the object; Kubernetes gives no details."""
    return NotApplicable(_REJECTED, details={})


def failed_test() -> FailedTest:
    """As `not_applicable`, where that is what the patch was to find out."""
    return FailedTest(_REJECTED, details={})


def undecodable(why: str) -> BadRequest:
    """400: the patch itself is malformed."""
    return BadRequest(f"error decoding patch: {why}")
