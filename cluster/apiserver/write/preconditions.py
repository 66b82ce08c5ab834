"""What a written object must fulfil beside its kind's validation, and how it is refused."""

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.store.state import Record


def check_namespace(resource: Resource, meta: JsonObject, namespace: str) -> None:
    given = meta.get("namespace", "")
    if not resource.namespaced:
        meta.pop("namespace", None)
    elif not given:
        meta["namespace"] = namespace
    elif given != namespace:
        raise errors.BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def check_version(
    kind: ServedKind, meta: JsonObject, old_meta: JsonObject, conditional: bool
) -> None:
    """resourceVersion and uid of a sent object must be those of the stored one, where given.

    `conditional`: a PUT, whose uid is a precondition; a patch that changes it is simply invalid.
    """
    resource, name = kind.resource, old_meta["name"]
    given = meta.get("resourceVersion", "")
    if not given or given == "0":
        if conditional and not kind.strategy.allows_unconditional_update:
            cause = Cause(
                "FieldValueInvalid",
                "Invalid value: 0: must be specified for an update",
                "metadata.resourceVersion",
            )
            raise errors.invalid(resource.group, resource.plural, name, [cause])
    elif given != old_meta["resourceVersion"]:
        if not (given.isascii() and given.isdigit()):
            cause = Cause(
                "FieldValueInvalid",
                f'Invalid value: "{given}": must be convertible to uint64',
                "metadata.resourceVersion",
            )
            raise errors.invalid(resource.group, resource.kind, name, [cause])
        raise errors.conflict(resource, name, errors.MODIFIED)
    uid = meta.get("uid", "") if conditional else ""
    if uid and uid != old_meta["uid"]:
        key = "/".join(
            part for part in ("/registry", resource.plural, old_meta.get("namespace"), name) if part
        )
        raise errors.conflict(
            resource,
            name,
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, "
            f"AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, "
            f"UID in object meta: {old_meta['uid']}",
        )


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


def refuse_invalid(resource: Resource, name: str, causes: list[Cause]) -> None:
    """422 if there are causes. Events of both groups are called by their kind in the core group."""
    if causes:
        group = "" if resource is kinds.EVENTS_V1 else resource.group
        raise errors.invalid(group, resource.kind, name, causes)


def exists_already(resource: Resource, name: str, existing: Record) -> errors.AlreadyExists:
    terminating = bool(existing.load()["metadata"].get("deletionTimestamp"))
    return errors.already_exists(resource, name, "object is being deleted: " if terminating else "")
