"""ControllerRevisions: what the histories of DaemonSets and StatefulSets have in common.

A revision holds a pod template as a patch that puts it back (spec daemonset-controller 9.1).
Invariant: the data of equal templates are equal, byte for byte once they are encoded.
"""

from collections.abc import Sequence

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.kinds import CONTROLLERREVISIONS
from kubeherd.cluster.api.objects import ControllerRevision
from kubeherd.controller.workload.claim import Owner, owner_reference

REVISION_LABEL = "controller-revision-hash"
"""On pods: of which revision they are."""

_PATCH = "$patch"


class Naming(msgspec.Struct, frozen=True):
    """What a new revision is called, and the label that tells its hash."""

    name: str
    hash_label: str
    hash: str


def revision_data(template: JsonObject) -> JsonObject:
    """The data of a ControllerRevision: a strategic merge patch that restores the template.

    Keys are sorted at every level, so the serialised bytes are canonical and two trees are equal
    exactly when their bytes are.
    """
    clean = {_PATCH: "replace", **template}
    metadata = dict(clean.get("metadata") or {})
    if metadata.get("creationTimestamp", "") is None:
        del metadata["creationTimestamp"]
    clean["metadata"] = metadata
    ordered: JsonObject = _sorted({"spec": {"template": clean}})
    return ordered


def template_of(data: JsonObject) -> JsonObject:
    """The template that the data of a revision restore."""
    template = (data.get("spec") or {}).get("template") or {}
    return {name: value for name, value in template.items() if name != _PATCH}


def next_number(revisions: Sequence[ControllerRevision]) -> int:
    """The number that is above those of all others."""
    return max((revision.revision for revision in revisions), default=0) + 1


def new_revision(owner: Owner, naming: Naming, data: JsonObject, number: int) -> JsonObject:
    """The ControllerRevision to create; it has the labels of the template and the annotations of
    its owner."""
    of_template = data["spec"]["template"].get("metadata") or {}
    metadata: JsonObject = {
        "name": naming.name,
        "namespace": owner.metadata.namespace,
        "labels": {**(of_template.get("labels") or {}), naming.hash_label: naming.hash},
        "ownerReferences": [owner_reference(owner)],
    }
    if owner.metadata.annotations:
        metadata["annotations"] = dict(owner.metadata.annotations)
    return {
        "apiVersion": CONTROLLERREVISIONS.api_version,
        "kind": CONTROLLERREVISIONS.kind,
        "metadata": metadata,
        "data": data,
        "revision": number,
    }


def _sorted(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value
