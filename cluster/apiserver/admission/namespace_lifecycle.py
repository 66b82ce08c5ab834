"""NamespaceLifecycle: nothing new in a missing or terminating namespace; some never go.

Source: spec api-machinery, section 8.
"""

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import not_found
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.read.lookup import Lookup

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
_EXEMPT_GROUP = "authorization.k8s.io"


def looks_at(operation: Operation) -> bool:
    """Whether it has an opinion about such writes."""
    return operation in (Operation.CREATE, Operation.DELETE)


def check(request: AdmissionRequest, lookup: Lookup) -> None:
    """Refuse creates in absent (404) and terminating (403) namespaces, deletes of system ones."""
    if request.operation is Operation.DELETE:
        if request.resource is kinds.NAMESPACES and request.name in IMMORTAL:
            raise request.forbidden("this namespace may not be deleted")
        return
    if (
        request.operation is not Operation.CREATE
        or not request.namespace
        or request.resource.group == _EXEMPT_GROUP
    ):
        return
    is_ending = lookup.fact(kinds.NAMESPACES, "", request.namespace, _is_ending)
    if is_ending is None:
        raise not_found(kinds.NAMESPACES, request.namespace)
    if is_ending:
        error = request.forbidden(
            f"unable to create new content in namespace {request.namespace} "
            "because it is being terminated"
        )
        assert error.details is not None  # noqa: S101 - made by errors.forbidden just above
        error.details["causes"] = [{
            "reason": "NamespaceTerminating",
            "message": f"namespace {request.namespace} is being terminated",
            "field": "metadata.namespace",
        }]  # fmt: skip
        raise error


def _is_ending(namespace: JsonObject) -> bool:
    return bool(namespace["metadata"].get("deletionTimestamp"))
