"""What the private batch and the private group poll refuse alike, before they look at the body."""

from kubeherd.cluster.api import errors
from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS, ApiRequest


def check(request: ApiRequest) -> None:
    """Forbidden for who has no name, MethodNotAllowed for all but POST."""
    if request.user is ANONYMOUS:
        raise errors.Forbidden(
            f'forbidden: User "{request.user.name}" cannot post path "{request.path}"', details={}
        )
    if request.method != "POST":
        raise errors.MethodNotAllowed(
            "the server does not allow this method on the requested resource", details={}
        )
