"""What a fault answers in the server's place: a Status, or that nothing has happened."""

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse
from kubeherd.cluster.apiserver.edge.negotiation import Media, negotiate
from kubeherd.cluster.apiserver.edge.responses import encode, finished, polled
from kubeherd.faults import Fault, effects

_BY_CODE: dict[int, type[ApiError]] = {
    cls.code: cls
    for cls in (
        errors.BadRequest,
        errors.Unauthorized,
        errors.Forbidden,
        errors.NotFound,
        errors.MethodNotAllowed,
        errors.NotAcceptable,
        errors.Conflict,
        errors.Expired,
        errors.RequestEntityTooLarge,
        errors.UnsupportedMediaType,
        errors.Invalid,
        errors.TooManyRequests,
        errors.InternalError,
        errors.ServiceUnavailable,
        errors.Timeout,
    )
}


def error_of(fault: Fault, effect: effects.ApiError) -> ApiError:
    """The Status of an injected error: reason by its code, and who did it."""
    details = {"retryAfterSeconds": effect.retry_after_s} if effect.retry_after_s else None
    cls = _BY_CODE.get(effect.code, ApiError)
    return cls(f"refused by the fault {fault.id}", details=details, code=effect.code)


def too_old(revision: int, fault: Fault) -> errors.Expired:
    """410 for a watch from this revision."""
    return errors.Expired(f"too old resource version: {revision} (the fault {fault.id})")


def nothing(request: ApiRequest) -> ApiResponse:
    """The answer to a long-poll that nothing has happened since the revision that it knows."""
    tree = {"resourceVersion": request.query.get("resourceVersion", "0"), "events": []}
    if negotiate(request.headers.get("accept", "")).media is Media.MSGPACK:
        return finished(request, encode(tree, Media.MSGPACK), Media.MSGPACK)
    return polled(request, encode(tree, Media.JSON))


def size_of(response: object) -> int:
    """Bytes of an answer as far as they are known when it begins."""
    return len(response.content) if isinstance(response, ApiResponse) else 0
