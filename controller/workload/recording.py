"""Events on one workload, through the recorder of its controller."""

from kubeherd.cluster.client.events import EventRecorder
from kubeherd.controller.references import reference
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.events import Record


def recorder_on(recorder: EventRecorder, owner: Owner) -> Record:
    """What records events on this workload."""
    regarding = reference(owner.resource.api_version, owner.resource.kind, owner.metadata)
    return lambda event: recorder.event(
        regarding, event.type.value, str(event.reason), event.message
    )
