"""Carries a claim out: adoption after a live look at the owner, release (spec
daemonset-controller 7).

Invariant: nothing is adopted for a workload that is gone, was created anew, or is being deleted.
"""

from collections.abc import Sequence

from kubeherd.cluster.api.errors import ApiError, Invalid, NotFound
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.client.cache import HasMetadata
from kubeherd.cluster.client.client import PatchKind
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.worker import ReconcileError
from kubeherd.controller.workload.claim import Owner, adopt_patch, release_patch
from kubeherd.controller.workload.writer import ObjectWriter


async def carry_out(
    writer: ObjectWriter,
    owner: Owner,
    resource: Resource,
    adopt: Sequence[HasMetadata],
    release: Sequence[HasMetadata],
    *,
    finalizers: Sequence[str] = (),
) -> None:
    """Adopt and release objects of `resource`; ReconcileError if the owner may not adopt.

    `finalizers`: what an adopted object gets, and a released one loses.
    """
    refusal = await adoption_refusal(writer, owner) if adopt else ""
    if refusal:
        metadata = adopt[0].metadata
        what = f"{resource.kind} {metadata.namespace}/{metadata.name} ({metadata.uid})"
        raise ReconcileError(f"can't adopt {what}: {refusal}")
    for target in adopt:
        patch = adopt_patch(owner, target.metadata.uid, finalizers)
        try:
            await writer.patch(resource, target.metadata.name, patch, PatchKind.STRATEGIC)
        except NotFound:
            continue
    for target in release:
        patch = release_patch(owner, target.metadata.uid, finalizers)
        try:
            await writer.patch(resource, target.metadata.name, patch, PatchKind.STRATEGIC)
        except (NotFound, Invalid):
            continue


async def adoption_refusal(writer: ObjectWriter, owner: Owner) -> str:
    """Why the live owner must not adopt anything, "" if it may."""
    prefix = "can't recheck DeletionTimestamp: "
    metadata, resource = owner.metadata, owner.resource
    try:
        live = await writer.client.get(resource, PartialObject, metadata.name, metadata.namespace)
    except (ApiError, TransportError) as error:
        return f"{prefix}{error}"
    what = f"{metadata.namespace}/{metadata.name}"
    if live.metadata.uid != metadata.uid:
        return (
            f"{prefix}original {resource.kind} {what} is gone: got uid {live.metadata.uid}, "
            f"wanted {metadata.uid}"
        )
    if live.metadata.deletion_timestamp is not None:
        return f"{what} has just been deleted at {live.metadata.deletion_timestamp}"
    return ""
