"""Refusals that the patch formats share, in the words of Kubernetes."""

from kubeherd.cluster.api.errors import BadRequest, Invalid


def not_applicable() -> Invalid:
    """422: a well-formed patch that does not fit the object; Kubernetes gives no details."""
    return Invalid("the server rejected our request due to an error in our request", details={})


def undecodable(why: str) -> BadRequest:
    """400: the patch itself is malformed."""
    return BadRequest(f"error decoding patch: {why}")
