"""Carries a plan out as far as it is about pods (spec replicaset-controller 3, 4, 6).

Invariant: an error of a claim ends the sync; what fails of creates and deletes is told in the
status.
"""

from kubeherd.cluster.api.kinds import PODS
from kubeherd.controller.replicaset.model import Failure, FailureReason, Plan
from kubeherd.controller.workload import claiming
from kubeherd.controller.workload.apps import ReplicaSet
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.pods.podcontrol import NewPod, PodControl
from kubeherd.controller.workload.pods.podnames import PodNames
from kubeherd.controller.workload.pods.podtemplate import pod_from_template
from kubeherd.controller.workload.writer import ObjectWriter


async def claim_pods(plan: Plan, writer: ObjectWriter, owner: Owner) -> None:
    """Adopt and release; ReconcileError, ApiError or TransportError."""
    await claiming.carry_out(writer, owner, PODS, plan.adopt, plan.release)


async def manage_replicas(
    plan: Plan, replicaset: ReplicaSet, owner: Owner, control: PodControl, names: PodNames
) -> Failure | None:
    """Create or delete pods; what went wrong with the first that could not be."""
    if plan.create:
        tree = pod_from_template(owner, replicaset.spec.template)
        pods = [NewPod(identity, tree) for identity in names.identities(plan.create)]
        errors = (await control.create_many(pods)).errors
        return Failure(FailureReason.CREATE, str(errors[0])) if errors else None
    errors = await control.delete_many(plan.delete)
    if errors:
        return Failure(FailureReason.DELETE, f"unable to delete pods: {errors[0]}")
    return None
