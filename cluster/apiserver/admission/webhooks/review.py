"""The AdmissionReview that a webhook gets, and what its answer means.

Source: Kubernetes v1.36, plugin/webhook/request/admissionreview.go and errors/statuserror.go.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence

import msgspec
import orjson

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.admission.webhooks.matching import Hook

_GROUP = "admission.k8s.io"
_VERSIONS = ("v1", "v1beta1")


class CallFailed(Exception):
    """A webhook could not be asked, or said nothing that means anything. The text says why."""


class Answer(msgspec.Struct, frozen=True):
    """What a webhook said: `refusal` is None if it allows the write."""

    refusal: ApiError | None
    warnings: Sequence[str]
    patch: JsonValue
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    """What the audit log is to say, by keys without the webhook's name."""


def version_for(hook: Hook) -> str:
    """The version of AdmissionReview to speak; CallFailed if the webhook knows none of ours."""
    for version in hook.tree.get("admissionReviewVersions") or ():
        if version in _VERSIONS:
            return str(version)
    raise CallFailed(
        "could not create admission objects: webhook does not accept known AdmissionReview "
        "versions (v1, v1beta1)"
    )


def question(
    request: AdmissionRequest,
    seen: AdmissionRequest,
    uid: str,
    version: str,
    *,
    dry_run: bool,
    options: JsonObject,
) -> bytes:
    """The body of the request to the webhook, which is told of `request` as `seen`: the same in
    the version of the kind that it knows."""
    asked = {
        "uid": uid,
        **facts(request, seen.resource, dry_run=dry_run, options=options),
        "object": seen.new,
        "oldObject": seen.old,
    }
    return orjson.dumps(
        {"kind": "AdmissionReview", "apiVersion": f"{_GROUP}/{version}", "request": asked}
    )


def facts(
    request: AdmissionRequest, seen_as: Resource, *, dry_run: bool, options: JsonObject
) -> JsonObject:
    """What is told of a write besides its objects, to somebody who sees them as `seen_as`."""
    asked: JsonObject = {
        "kind": _kind(seen_as, request),
        "resource": _resource(seen_as),
        "requestKind": _kind(request.resource, request),
        "requestResource": _resource(request.resource),
        "name": request.name,
        "namespace": request.namespace,
        "operation": request.operation.value,
        "userInfo": request.user.to_json(),
        "dryRun": dry_run,
        "options": options,
    }
    if request.subresource:
        asked["subResource"] = asked["requestSubResource"] = request.subresource
    if not request.namespace:
        del asked["namespace"]
    if not request.name:
        del asked["name"]
    return asked


def _kind(resource: Resource, request: AdmissionRequest) -> JsonObject:
    group, version, kind = request.kind or (resource.group, resource.version, resource.kind)
    return {"group": group, "version": version, "kind": kind}


def _resource(resource: Resource) -> JsonObject:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def options_of(request: AdmissionRequest, manager: str, *, dry_run: bool) -> JsonObject:
    """The options of the write, as an object of meta.k8s.io/v1."""
    options: JsonObject = {
        "kind": f"{request.operation.value.capitalize()}Options",
        "apiVersion": "meta.k8s.io/v1",
    }
    if dry_run:
        options["dryRun"] = ["All"]
    if manager and request.operation is not Operation.DELETE:
        options["fieldManager"] = manager
    return options


def answer(hook: Hook, body: bytes, uid: str, version: str, *, mutating: bool) -> Answer:
    """What the webhook's answer means; CallFailed if it means nothing."""
    try:
        review = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise CallFailed(f"failed to call webhook: couldn't get version/kind: {error}") from None
    response = review.get("response") if isinstance(review, dict) else None
    if not isinstance(response, dict):
        raise _invalid("webhook response was absent")
    if version == "v1":
        _check_v1(review, response, uid)
    patch = _patch(response, version, mutating)
    warnings = [str(one) for one in response.get("warnings") or ()]
    allowed = response.get("allowed") is True
    refusal = None if allowed else _refusal(hook, response.get("status"))
    told = response.get("auditAnnotations")
    annotations = (
        {str(key): str(value) for key, value in told.items()} if isinstance(told, dict) else {}
    )
    return Answer(refusal, warnings, patch if allowed else None, annotations)


def _invalid(why: str) -> CallFailed:
    return CallFailed(f"received invalid webhook response: {why}")


def _check_v1(review: JsonObject, response: JsonObject, uid: str) -> None:
    if response.get("uid", "") != uid:
        raise _invalid(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    found = (review.get("apiVersion", ""), review.get("kind", ""))
    if found != (f"{_GROUP}/v1", "AdmissionReview"):
        raise _invalid(
            f"expected webhook response of {_GROUP}/v1, Kind=AdmissionReview, "
            f"got {found[0]}, Kind={found[1]}"
        )


def _patch(response: JsonObject, version: str, mutating: bool) -> JsonValue:
    encoded, kind = response.get("patch") or "", response.get("patchType")
    if not mutating:
        if encoded and version == "v1":
            raise _invalid("validating webhook may not return response.patch")
        if kind is not None and version == "v1":
            raise _invalid("validating webhook may not return response.patchType")
        return None
    if version == "v1" and bool(encoded) != (kind is not None):
        given, lacking = ("patch", "patchType") if encoded else ("patchType", "patch")
        raise _invalid(f"webhook returned response.{given} but not response.{lacking}")
    if not encoded:
        return None
    if kind not in ("JSONPatch", None):
        raise CallFailed(f'unsupported patch type "{kind}"')
    try:
        found: JsonValue = orjson.loads(base64.b64decode(encoded, validate=True))
    except (binascii.Error, TypeError, ValueError) as error:
        raise CallFailed(f"received undecodable patch in webhook response: {error}") from None
    return found


def _refusal(hook: Hook, status: object) -> ApiError:
    """The Status of the webhook, completed: it is always a failure, and says who refused."""
    said = dict(status) if isinstance(status, dict) else {}
    code = said.get("code")
    message, reason = str(said.get("message") or ""), str(said.get("reason") or "")
    denied = f'admission webhook "{hook.name}" denied the request'
    text = (
        f"{denied}: {message or reason}" if message or reason else f"{denied} without explanation"
    )
    details = said.get("details")
    return ApiError(
        text,
        code=code if isinstance(code, int) and 400 <= code < 600 else 400,
        reason=reason,
        details=details if isinstance(details, dict) else None,
    )


def failure(hook: Hook, why: CallFailed) -> ApiError:
    """What a client is told when a webhook that may not fail did."""
    text = f'failed calling webhook "{hook.name}": {why}'
    return errors.InternalError(
        f"Internal error occurred: {text}", details={"causes": [{"message": text}]}
    )
