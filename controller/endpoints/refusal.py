"""What a refusal of the server means to the controllers of this package. Pure."""

from kubeherd.cluster.api.errors import ApiError


def namespace_is_terminating(error: ApiError) -> bool:
    """Whether nothing can be created there any more: no error, for nothing is wanted there."""
    return any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes)
