"""What a written object must fulfil beside its kind's validation, and how it is refused."""

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.store.state import Record

_STORED_AS = {
    "replicationcontrollers": "controllers",
    "endpoints": "services/endpoints",
    "nodes": "minions",
    "services": "services/specs",
    "ingresses": "ingress",
}
"""Names of old that Kubernetes' storage kept (SpecialDefaultResourcePrefixes)."""
_OWN_ETCD_FOLDER = ("apiextensions.k8s.io", "apiregistration.k8s.io")


def check_namespace(resource: Resource, meta: JsonObject, namespace: str) -> None:
    """Fill in the namespace of the request, or clear that of an object without one; BadRequest if
    the object names another (k8s.io/apiserver, EnsureObjectNamespaceMatchesRequestNamespace)."""
    if not resource.namespaced:
        meta.pop("namespace", None)
        return
    given = meta.get("namespace", "")
    if not given:
        meta["namespace"] = namespace
    elif given != namespace:
        raise errors.BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def check_version(
    kind: ServedKind,
    meta: JsonObject,
    old_meta: JsonObject,
    *,
    conditional: bool,
    dry_run: bool,
) -> None:
    """The resourceVersion of a sent object must be that of the stored one, where given.

    `conditional`: the client sent a whole object (PUT), so its uid is a precondition, too, and
    some kinds demand a resourceVersion. In a patch a changed uid is for validation to refuse.
    """
    resource, name = kind.resource, old_meta["name"]
    given = meta.get("resourceVersion", "")
    if not is_number(given):
        raise errors.PlainError(f"strconv.ParseUint: parsing {quoted(given)}: invalid syntax")
    if not given or given == "0":
        if conditional and not kind.strategy.allows_unconditional_update:
            cause = Cause(
                "FieldValueInvalid",
                "Invalid value: 0: must be specified for an update",
                "metadata.resourceVersion",
            )
            raise errors.invalid(resource.group, resource.plural, name, [cause])
    elif given != old_meta["resourceVersion"]:
        raise errors.conflict(resource, name, errors.MODIFIED)
    uid = meta.get("uid", "")
    if conditional and uid and uid != old_meta["uid"]:
        parts = ["" if dry_run else "/registry", _prefix(resource)]
        key = "/".join([*parts, *filter(None, (old_meta.get("namespace"), name))])
        raise errors.conflict(
            resource,
            name,
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, "
            f"AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, "
            f"UID in object meta: {old_meta['uid']}",
        )


def _prefix(resource: Resource) -> str:
    """Where Kubernetes keeps the objects of a kind: a text that errors show."""
    if resource.custom is not None or resource.group in _OWN_ETCD_FOLDER:
        return f"{resource.group}/{resource.plural}"
    return _STORED_AS.get(resource.plural, resource.plural)


def keep_system_fields(meta: JsonObject, old_meta: JsonObject) -> None:
    """An update changes neither what the server alone sets nor, once there is one, the time of the
    deletion; uid and grace period count as unchanged where they are left out."""
    for key in ("creationTimestamp", "deletionTimestamp"):
        if key in old_meta:
            meta[key] = old_meta[key]
    for key in ("uid", "deletionGracePeriodSeconds"):
        if not meta.get(key) and key in old_meta:
            meta[key] = old_meta[key]
    if "generation" in old_meta:
        meta["generation"] = old_meta["generation"]
    else:
        meta.pop("generation", None)


def is_number(version: str) -> bool:
    """Whether a resourceVersion is one that Kubernetes' storage can read: a number, or none."""
    return not version or (version.isascii() and version.isdigit())


def check_no_version(version: str) -> None:
    """PlainError if the object of a create says which version of it there is already. Kubernetes'
    storage looks for a number other than 0; what it cannot read it lets pass."""
    if version and is_number(version) and int(version):
        raise errors.PlainError("resourceVersion should not be set on objects to be created")


def refuse_invalid(resource: Resource, name: str, causes: list[Cause]) -> None:
    """422 if there are causes. Events of both groups are called by their kind in the core group."""
    if causes:
        group = "" if resource is kinds.EVENTS_V1 else resource.group
        raise errors.invalid(group, resource.kind, name, causes)


def exists_already(resource: Resource, name: str, existing: Record) -> errors.AlreadyExists:
    terminating = bool(existing.load()["metadata"].get("deletionTimestamp"))
    return errors.already_exists(resource, name, "object is being deleted: " if terminating else "")
