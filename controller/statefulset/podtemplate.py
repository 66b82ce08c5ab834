"""The pod of an ordinal at a revision (spec sections 3 and 5.3)."""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import STATEFULSETS
from kubeherd.controller.statefulset import claims, identity
from kubeherd.controller.statefulset.model import Revision
from kubeherd.controller.workload.apps import StatefulSet
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.pods.podtemplate import pod_from_template
from kubeherd.controller.workload.revisions import REVISION_LABEL


def new_pod(statefulset: StatefulSet, revision: Revision, ordinal: int) -> JsonObject:
    """The pod to create. What it shares with the template is not copied: nobody changes it."""
    pod = pod_from_template(Owner(STATEFULSETS, statefulset.metadata), revision.template)
    name = identity.pod_name(statefulset, ordinal)
    spec = {**pod["spec"], "hostname": name}
    spec.pop("subdomain", None)
    if statefulset.spec.service_name:
        spec["subdomain"] = statefulset.spec.service_name
    labels = {**pod["metadata"].get("labels", {}), REVISION_LABEL: revision.name}
    pod["metadata"] |= {"name": name, "labels": labels}
    return put_right(statefulset, {**pod, "spec": spec})


def put_right(statefulset: StatefulSet, pod: JsonObject) -> JsonObject:
    """A pod with the name, labels and volumes of its ordinal; all else is left (3.3)."""
    metadata, spec = pod["metadata"], pod["spec"]
    ordinal = identity.parse(metadata["name"]).ordinal
    name = identity.pod_name(statefulset, ordinal)
    labels = {**(metadata.get("labels") or {}), **identity.labels(name, ordinal)}
    volumes = claims.volumes(statefulset, ordinal, spec.get("volumes") or ())
    return {
        **pod,
        "metadata": {**metadata, "name": name, "labels": labels},
        "spec": {**spec, "volumes": volumes} if volumes else spec,
    }
