"""A status patch, once stored, leaves nothing to write: otherwise an agent would write for ever."""

import pytest

from kubeherd.agents.pods.statuspatch import patched, status_patch
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.patches import strategic_merge
from kubeherd.cluster.api.schemas.definitions import definition

READY = {"type": "Ready", "status": "True", "lastProbeTime": None}
NOT_READY = {"type": "Ready", "status": "False", "reason": "PodFailed", "lastProbeTime": None}


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ({}, {"phase": "Running", "podIP": "10.244.0.2", "podIPs": [{"ip": "10.244.0.2"}]}),
        ({"phase": "Failed", "reason": "Evicted", "message": "x"}, {"phase": "Failed"}),
        ({"podIP": "10.244.0.2", "podIPs": [{"ip": "10.244.0.2"}]}, {"phase": "Pending"}),
        ({"containerStatuses": [{"name": "a"}]}, {"phase": "Failed", "reason": "OutOfcpu"}),
        ({"conditions": [NOT_READY]}, {"conditions": [READY]}),
        ({"nominatedNodeName": "n"}, {"phase": "Running"}),
    ],
)
def test_a_stored_patch_settles_the_status(known: JsonObject, wanted: JsonObject) -> None:
    assert status_patch(patched(known, wanted), wanted) is None


def test_fields_that_the_kubelet_no_longer_reports_are_removed() -> None:
    known = {"phase": "Failed", "reason": "Evicted", "nominatedNodeName": "n"}
    assert status_patch(known, {"phase": "Failed"}) == {"reason": None}
    assert patched(known, {"phase": "Failed"}) == {"phase": "Failed", "nominatedNodeName": "n"}


def test_a_condition_has_no_reason_that_the_scheduler_gave_meanwhile() -> None:
    given = {"reason": "Unschedulable", "message": "0/3 nodes are available"}
    stored = {"status": {"conditions": [{"type": "PodScheduled", "status": "False", **given}]}}
    scheduled = {"type": "PodScheduled", "status": "True"}
    patch = status_patch({}, {"conditions": [scheduled]})
    after = strategic_merge(stored, {"status": patch}, definition("", "v1", "Pod"))
    assert after == {"status": {"conditions": [scheduled]}}
