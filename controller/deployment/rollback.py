"""Going back to an older revision by the deprecated annotation (section 13).

kubectl does it without: it patches the template. Invariant: whatever comes of the order, it is
taken away, so that it is carried out once.
"""

from kubeherd.controller.deployment import annotations
from kubeherd.controller.deployment.annotations import ROLLBACK_TO
from kubeherd.controller.deployment.model import Reason, Rollback
from kubeherd.controller.deployment.replicasets import Divided
from kubeherd.controller.deployment.template import same_template
from kubeherd.controller.workload.apps import Deployment
from kubeherd.controller.workload.events import Event, EventType


def ordered_revision(deployment: Deployment) -> int | None:
    """The revision to go back to, 0 for the last one; None: nobody asked, or not with a number."""
    text = deployment.metadata.annotations.get(ROLLBACK_TO, "")
    return annotations.integer(text) if text else None


def roll_back(deployment: Deployment, sets: Divided, revision: int) -> Rollback:
    """What comes of the order."""
    name = deployment.metadata.name
    wanted = revision or annotations.previous_revision(sets.all)
    if wanted == 0:
        return _refused(Reason.REVISION_NOT_FOUND, "Unable to find last revision.")
    to = next((one for one in sets.all if annotations.revision(one) == wanted), None)
    if to is None:
        return _refused(Reason.REVISION_NOT_FOUND, "Unable to find the revision to rollback to.")
    if same_template(deployment.spec.template, to.spec.template):
        text = f'The rollback revision contains the same template as current deployment "{name}"'
        return _refused(Reason.TEMPLATE_UNCHANGED, text)
    text = f'Rolled back deployment "{name}" to revision {wanted}'
    return Rollback(to, (Event(EventType.NORMAL, Reason.ROLLBACK, text),))


def _refused(reason: Reason, message: str) -> Rollback:
    return Rollback(events=(Event(EventType.WARNING, reason, message),))
