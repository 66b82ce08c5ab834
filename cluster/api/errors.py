"""Kubernetes Status errors as exceptions, the same on the server and in the client.

Source: spec api-machinery, section 14. The server raises them and writes `ApiError.status`; the
client raises the same classes from the Status it received, so code can say ``except NotFound``.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.cluster.api.goformat import cut
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource

RETRY_AFTER_S = 1
"""How soon to come back after a write that the store could not take."""


class Cause(msgspec.Struct, frozen=True):
    """One entry of ``details.causes``: the machine-readable reason, the text, the field path."""

    reason: str
    message: str
    field: str = ""

    def to_json(self) -> JsonObject:
        """The entry as it is sent; without a field where there is none."""
        out: JsonObject = {"reason": self.reason, "message": self.message}
        if self.field:
            out["field"] = self.field
        return out


class ApiError(KubeherdError):
    """A request that the API server refused: code, reason, message and details of its Status."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = ""
    repeatable: ClassVar[bool] = True
    """Whether a client may send the request again as it is, once `retry_after_s` is over."""

    def __init__(
        self,
        message: str,
        *,
        details: JsonObject | None = None,
        code: int | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.status_code = type(self).code if code is None else code
        self.status_reason = type(self).reason if reason is None else reason
        self.continue_token = ""

    @property
    def retry_after_s(self) -> int | None:
        """``details.retryAfterSeconds``, or None."""
        value = (self.details or {}).get("retryAfterSeconds")
        return value if isinstance(value, int) else None

    @property
    def causes(self) -> list[JsonObject]:
        """``details.causes``, or an empty list."""
        return list((self.details or {}).get("causes", ()))

    def status(self) -> JsonObject:
        """The Status object to send."""
        out: JsonObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.continue_token} if self.continue_token else {},
            "status": "Failure",
            "message": self.message,
        }
        if self.status_reason:
            out["reason"] = self.status_reason
        if self.details is not None:
            out["details"] = self.details
        out["code"] = self.status_code
        return out


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class LeaseLost(ApiError):
    """409: the write belongs to a leader whose term is over (`api.fence`). Not a Conflict: to read
    the object anew and to try again helps nobody."""

    code, reason = 409, "LeaseLost"


class Expired(ApiError):
    """410: the resourceVersion is too old; list again."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    code, reason = 500, "InternalError"


class PlainError(ApiError):
    """Bad input for which Kubernetes' code has no Status: 500 without a reason, as there.

    Nothing is wrong with the server. Who looks for its faults by 5xx tells these apart by the
    missing reason: what goes wrong in the server is an InternalError.
    """

    code = 500


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    code, reason = 504, "Timeout"


class OutcomeUnknown(Timeout):
    """504: the write may have been carried out or not; look before you repeat it.

    The hint when to look is in the details only: a Retry-After header makes clients repeat.
    """

    repeatable = False

    def __init__(self, why: str) -> None:
        super().__init__(f"Timeout: {why}", details={"retryAfterSeconds": RETRY_AFTER_S})


_BY_REASON: dict[str, type[ApiError]] = {
    cls.reason: cls for cls in ApiError.__subclasses__() if cls.reason
}
_BY_REASON["Gone"] = Expired
_BY_CODE: dict[int, type[ApiError]] = {
    400: BadRequest, 401: Unauthorized, 403: Forbidden, 404: NotFound, 405: MethodNotAllowed,
    406: NotAcceptable, 409: Conflict, 410: Expired, 413: RequestEntityTooLarge,
    415: UnsupportedMediaType, 422: Invalid, 429: TooManyRequests, 500: InternalError,
    503: ServiceUnavailable, 504: Timeout,
}  # fmt: skip


def from_status(status: JsonObject, http_code: int = 0) -> ApiError:
    """The exception for a received Status object; `http_code` is used where it has no code."""
    code = int(status.get("code") or http_code or 500)
    reason = str(status.get("reason") or "")
    cls = _BY_REASON.get(reason) or _BY_CODE.get(code, ApiError)
    return cls(
        str(status.get("message") or f"HTTP {code}"),
        details=status.get("details"),
        code=code,
        reason=reason,
    )


def _details(resource: Resource, name: str, kind: str) -> JsonObject:
    details: JsonObject = {}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    details["kind"] = kind
    return details


def not_found(resource: Resource, name: str) -> NotFound:
    """404 in the wording of Kubernetes: ``R.G "<n>" not found``."""
    # Kubernetes' code of component statuses names them in the singular.
    called = resource.singular if resource.plural == "componentstatuses" else resource.plural
    return NotFound(
        f'{called}{f".{resource.group}" if resource.group else ""} "{name}" not found',
        details=_details(resource, name, called),
    )


def already_exists(resource: Resource, name: str, prefix: str = "") -> AlreadyExists:
    """409 of a create: ``R.G "<n>" already exists``, after `prefix`."""
    return AlreadyExists(
        f'{prefix}{resource.group_resource} "{name}" already exists',
        details=_details(resource, name, resource.plural),
    )


def conflict(resource: Resource, name: str, why: str) -> Conflict:
    """409 of a write: ``Operation cannot be fulfilled on R.G "<n>": <why>``."""
    return Conflict(
        f'Operation cannot be fulfilled on {resource.group_resource} "{name}": {why}',
        details=_details(resource, name, resource.plural),
    )


def precondition_failed(resource: Resource, name: str, why: str) -> Conflict:
    """409 of a delete, which names the kind: ``Operation cannot be fulfilled on K.G "<n>"``."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    return Conflict(
        f'Operation cannot be fulfilled on {kind} "{name}": {why}',
        details=_details(resource, name, resource.kind),
    )


def lease_lost(resource: Resource, name: str, term: str) -> LeaseLost:
    """409 of a write whose sender's term is over; Kubernetes has no such answer."""
    return LeaseLost(
        f'Operation cannot be fulfilled on {resource.group_resource} "{name}": the term {term}, '
        "for which it was sent, is over",
        details=_details(resource, name, resource.plural),
    )


MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)
"""The reason text of a Conflict by a stale resourceVersion."""


def forbidden(resource: Resource, name: str, why: str) -> Forbidden:
    """403 in the wording of Kubernetes: ``R.G "<n>" is forbidden: <why>``."""
    quoted = f' "{name}"' if name else ""
    return Forbidden(
        f"{resource.group_resource}{quoted} is forbidden: {why}",
        details=_details(resource, name, resource.plural),
    )


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> Invalid:
    """422 for field errors; each cause's message is the body, without its field path."""
    name = cut(name)
    texts = list(dict.fromkeys(f"{c.field}: {c.message}" if c.field else c.message for c in causes))
    shown = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details: JsonObject = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    details["kind"] = kind
    details["causes"] = [cause.to_json() for cause in causes]
    full_kind = f"{kind}.{group}" if group else kind
    return Invalid(f'{full_kind} "{name}" is invalid: {shown}', details=details)


def namespace_is_terminating(error: Exception) -> bool:
    """Whether a create was refused because its namespace is being deleted: no error to a
    controller, for nothing is wanted there any more."""
    causes = error.causes if isinstance(error, ApiError) else []
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
