"""What a DELETE does to an object: remove it, mark it, or nothing (pure).

Source: spec api-machinery, section 6; for pods node-lifecycle, section 9; for namespaces section 8.
Invariants: an object with finalizers is never removed; a plan never changes the tree it was made
from.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.serializer import codecs, decoding
from kubeherd.cluster.api.timestamps import format_time, parse_time
from kubeherd.cluster.apiserver.edge import parameters
from kubeherd.cluster.apiserver.write.context import unsupported_dry_run

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_UNCOLLECTED = frozenset({"events", "events.events.k8s.io"})
"""Events are never garbage collected with or without what they own: any policy means nothing."""
_ORPHANING = frozenset({"replicationcontrollers", "jobs.batch"})
"""Kinds whose dependents stay unless the client says otherwise (DefaultGarbageCollectionPolicy)."""
_POLICIES = ("Foreground", "Background", "Orphan")
_MAX_GRACE_S = 2**31 - 1
_OPTIONS_SCHEME = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"


class DeleteOptions(msgspec.Struct, frozen=True):
    """The options of a delete; `propagation` is empty where none was given, and a precondition is
    None: one that was given is met by no object where it is empty."""

    grace_period_s: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    propagation: str = ""
    orphan_dependents: bool | None = None
    dry_run: bool = False

    @property
    def says_what_follows(self) -> bool:
        """Whether the client says what becomes of the dependents."""
        return bool(self.propagation) or self.orphan_dependents is not None


class Action(Enum):
    NOTHING = "nothing"
    MARK = "mark"
    REMOVE = "remove"
    MARK_AND_REMOVE = "mark and remove"


class DeletePlan(msgspec.Struct, frozen=True):
    """`tree` is the object to write (MARK), or its last state (REMOVE)."""

    action: Action
    tree: JsonObject


class _Preconditions(
    msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, rename="camel"
):
    uid: str | None = None
    resource_version: str | None = None


class _Sent(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, rename="camel"):
    api_version: Literal["v1"] = "v1"
    kind: Literal["DeleteOptions"] = "DeleteOptions"
    grace_period_seconds: int | None = None
    preconditions: _Preconditions = _Preconditions()
    propagation_policy: str = ""
    orphan_dependents: bool | None = None


_decoded: Final = codecs.struct_decoder(_Sent)


def plain_options(content_type: str, body: bytes) -> DeleteOptions | None:
    """The options in a body that says what nearly all say; None for all others, and for those that
    are refused because they cannot be read."""
    sent = _decoded(content_type, body)
    if sent is None:
        return None
    grace_s = sent.grace_period_seconds
    if grace_s is not None and not -_MAX_GRACE_S <= grace_s <= _MAX_GRACE_S:
        return None
    return _checked(
        DeleteOptions(
            grace_period_s=grace_s,
            uid=sent.preconditions.uid,
            resource_version=sent.preconditions.resource_version,
            propagation=sent.propagation_policy,
            orphan_dependents=sent.orphan_dependents,
        ),
        [],
    )


def options_from_body(tree: JsonObject) -> DeleteOptions:
    """Options from a DeleteOptions object; BadRequest or Invalid if it is none."""
    kind, version = tree.get("kind") or "DeleteOptions", tree.get("apiVersion") or "v1"
    if kind != "DeleteOptions":
        raise errors.BadRequest(
            f"no kind {quoted(str(kind))} is registered for version {quoted(str(version))} in "
            f'scheme "{_OPTIONS_SCHEME}"'
        )
    tree.pop("kind", None)
    tree.pop("apiVersion", None)
    decoding.decode_kind("", "v1", "DeleteOptions", tree)
    preconditions = tree.get("preconditions") or {}
    dry_run = tree.get("dryRun") or []
    causes = []
    if any(value != "All" for value in dry_run):
        causes.append(unsupported_dry_run(dry_run))
    return _checked(
        DeleteOptions(
            grace_period_s=tree.get("gracePeriodSeconds"),
            uid=preconditions.get("uid"),
            resource_version=preconditions.get("resourceVersion"),
            propagation=tree.get("propagationPolicy", ""),
            orphan_dependents=tree.get("orphanDependents"),
            dry_run=bool(dry_run),
        ),
        causes,
    )


def options_from_query(query: Mapping[str, str]) -> DeleteOptions:
    """Options from query parameters, used where there is no body."""
    orphan = parameters.boolean(query, "orphanDependents") if "orphanDependents" in query else None
    causes = []
    dry_run = query.get("dryRun", "")
    if dry_run not in ("", "All"):
        causes.append(unsupported_dry_run([dry_run]))
    return _checked(
        DeleteOptions(
            grace_period_s=parameters.integer(query, "gracePeriodSeconds"),
            propagation=query.get("propagationPolicy", ""),
            orphan_dependents=orphan,
            dry_run=dry_run == "All",
        ),
        causes,
    )


def _checked(options: DeleteOptions, causes: list[Cause]) -> DeleteOptions:
    policy = options.propagation
    if policy and options.orphan_dependents is not None:
        causes.append(
            Cause(
                "FieldValueInvalid",
                f"Invalid value: {quoted(policy)}: orphanDependents and deletionPropagation "
                "cannot be both set",
                "propagationPolicy",
            )
        )
    elif policy and policy not in _POLICIES:
        causes.append(
            Cause(
                "FieldValueNotSupported",
                f"Unsupported value: {quoted(policy)}: supported values: "
                '"Foreground", "Background", "Orphan", "nil"',
                "propagationPolicy",
            )
        )
    if causes:
        raise errors.invalid("meta.k8s.io", "DeleteOptions", "", causes)
    grace = options.grace_period_s
    if grace is not None and not -_MAX_GRACE_S <= grace <= _MAX_GRACE_S:
        options = replace(options, grace_period_s=_MAX_GRACE_S if grace > 0 else -_MAX_GRACE_S)
    return options


def check_preconditions(resource: Resource, tree: JsonObject, options: DeleteOptions) -> None:
    """409 if the object is not the one (or not in the version) that the options name."""
    meta = tree["metadata"]
    uid, version = meta.get("uid", ""), meta.get("resourceVersion", "")
    if resource is kinds.NAMESPACES:
        _check_namespace(meta, options)
    if options.uid is not None and options.uid != uid:
        raise errors.precondition_failed(
            resource,
            meta["name"],
            f"the UID in the precondition ({options.uid}) does not match the UID in record "
            f"({uid}). The object might have been deleted and then recreated",
        )
    if options.resource_version is not None and options.resource_version != version:
        raise errors.precondition_failed(
            resource,
            meta["name"],
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match "
            f"the ResourceVersion in record ({version}). The object might have been modified",
        )


def _check_namespace(meta: JsonObject, options: DeleteOptions) -> None:
    """Namespaces look at the preconditions themselves, and say it in their own words."""
    for wanted, key, label in (
        (options.uid, "uid", "UID"),
        (options.resource_version, "resourceVersion", "ResourceVersion"),
    ):
        if wanted is not None and wanted != meta[key]:
            why = (
                f"Precondition failed: {label} in precondition: {wanted}, "
                f"{label} in object meta: {meta[key]}"
            )
            raise errors.conflict(kinds.NAMESPACES, meta["name"], why)


def plan(resource: Resource, tree: JsonObject, options: DeleteOptions, now: datetime) -> DeletePlan:
    """What deleting `tree` (an object of `resource`) does at time `now`."""
    if resource is kinds.PODS:
        return _plan_pod(tree, options, now)
    if resource is kinds.NAMESPACES:
        return _plan_namespace(tree, options, now)
    finalizers = _finalizers(resource, tree, options)
    meta = tree["metadata"]
    if not finalizers:
        return DeletePlan(Action.REMOVE, tree)
    if meta.get("deletionTimestamp"):
        if finalizers == (meta.get("finalizers") or []):
            return DeletePlan(Action.NOTHING, tree)
        return DeletePlan(Action.MARK, {**tree, "metadata": {**meta, "finalizers": finalizers}})
    return DeletePlan(Action.MARK, _marked(tree, now, 0, finalizers))


def finished(resource: Resource, tree: JsonObject) -> bool:
    """Whether a written object has nothing left to wait for and must be removed now."""
    meta = tree["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers"):
        return False
    if resource is kinds.NAMESPACES:
        return not (tree.get("spec") or {}).get("finalizers")
    return not meta.get("deletionGracePeriodSeconds")


def _finalizers(resource: Resource, tree: JsonObject, options: DeleteOptions) -> list[str]:
    """The finalizers after the propagation policy is applied (k8s.io/apiserver, registry/store.go:
    shouldOrphanDependents, shouldDeleteDependents). A ReplicationController and a Job leave their
    pods behind unless told otherwise; Events own nothing, and know no policy."""
    present = list(tree["metadata"].get("finalizers") or ())
    policy = options.propagation
    if options.orphan_dependents is not None:
        policy = "Orphan" if options.orphan_dependents else "Background"
    if resource.group_resource in _UNCOLLECTED:
        policy = "Background"
    elif not policy:
        if ORPHAN in present or FOREGROUND in present or resource.group_resource not in _ORPHANING:
            return present
        policy = "Orphan"
    kept = [name for name in present if name not in (ORPHAN, FOREGROUND)]
    if policy == "Orphan":
        kept.append(ORPHAN)
    elif policy == "Foreground":
        kept.append(FOREGROUND)
    return present if sorted(kept) == sorted(present) else kept


def _marked(tree: JsonObject, now: datetime, grace_s: int, finalizers: list[str]) -> JsonObject:
    meta = dict(tree["metadata"])
    meta["deletionTimestamp"] = format_time(now + timedelta(seconds=grace_s))
    meta["deletionGracePeriodSeconds"] = grace_s
    if meta.get("generation"):
        meta["generation"] += 1
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
    return {**tree, "metadata": meta}


def _plan_namespace(tree: JsonObject, options: DeleteOptions, now: datetime) -> DeletePlan:
    meta = tree["metadata"]
    if meta.get("deletionTimestamp"):
        action = Action.REMOVE if finished(kinds.NAMESPACES, tree) else Action.NOTHING
        return DeletePlan(action, tree)
    finalizers = _finalizers(kinds.NAMESPACES, tree, options)
    if not finalizers and not (tree.get("spec") or {}).get("finalizers"):
        return DeletePlan(Action.REMOVE, tree)
    marked = _marked(tree, now, 0, finalizers)
    del marked["metadata"]["deletionGracePeriodSeconds"]
    marked["status"] = {**(tree.get("status") or {}), "phase": "Terminating"}
    return DeletePlan(Action.MARK, marked)


def _plan_pod(tree: JsonObject, options: DeleteOptions, now: datetime) -> DeletePlan:
    if tree["metadata"].get("deletionTimestamp"):
        return _plan_terminating_pod(tree, options, now)
    finalizers = _finalizers(kinds.PODS, tree, options)
    grace_s = _pod_grace_s(tree, options.grace_period_s)
    marked = _marked(tree, now, grace_s, finalizers)
    if grace_s == 0 and not finalizers:
        return DeletePlan(Action.MARK_AND_REMOVE, marked)
    return DeletePlan(Action.MARK, marked)


def _pod_grace_s(tree: JsonObject, asked_s: int | None) -> int:
    """Seconds a pod gets: none where no kubelet runs anything of it; no more than a moment has
    room for, whatever its spec says."""
    spec, phase = tree.get("spec") or {}, (tree.get("status") or {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    grace_s = asked_s
    if grace_s is None:
        given = spec.get("terminationGracePeriodSeconds")
        grace_s = 30 if given is None else int(given)
    return 1 if grace_s < 0 else min(grace_s, _MAX_GRACE_S)


def _plan_terminating_pod(tree: JsonObject, options: DeleteOptions, now: datetime) -> DeletePlan:
    meta = tree["metadata"]
    stored_s = int(meta.get("deletionGracePeriodSeconds") or 0)
    if stored_s == 0:
        action = Action.NOTHING if meta.get("finalizers") else Action.REMOVE
        return DeletePlan(action, tree)
    if options.grace_period_s is None:
        return DeletePlan(Action.NOTHING, tree)
    grace_s = _pod_grace_s(tree, options.grace_period_s)
    if grace_s >= stored_s:
        return DeletePlan(Action.NOTHING, tree)
    end = parse_time(meta["deletionTimestamp"]) - timedelta(seconds=stored_s - grace_s)
    if end < now:
        end = now
        grace_s = min(grace_s, 1)
    shortened = {
        **meta,
        "deletionTimestamp": format_time(end),
        "deletionGracePeriodSeconds": grace_s,
    }
    marked = {**tree, "metadata": shortened}
    if grace_s == 0 and not meta.get("finalizers"):
        return DeletePlan(Action.MARK_AND_REMOVE, marked)
    return DeletePlan(Action.MARK, marked)
