"""docs/upstream-tests.md is complete and points at tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "upstream-tests.md").read_text()
HERE = "tests/unit/controller/daemonset/"

UPSTREAM = {
    "pkg/controller/daemon/daemon_controller_test.go": """
        TestDeleteFinalStateUnknown TestExpectationsOnRecreate
        TestSimpleDaemonSetLaunchesPods
        TestSimpleDaemonSetScheduleDaemonSetPodsLaunchesPods
        TestSimpleDaemonSetPodCreateErrors TestDaemonSetPodCreateExpectationsError
        TestSimpleDaemonSetUpdatesStatusAfterLaunchingPods
        TestSimpleDaemonSetUpdatesStatusError TestNoNodesDoesNothing
        TestOneNodeDaemonLaunchesPod TestNotReadyNodeDaemonDoesLaunchPod
        TestInsufficientCapacityNodeDaemonDoesNotUnscheduleRunningPod
        TestInsufficientCapacityNodeSufficientCapacityWithNodeLabelDaemonLaunchPod
        TestNetworkUnavailableNodeDaemonLaunchesPod TestDontDoAnythingIfBeingDeleted
        TestDontDoAnythingIfBeingDeletedRace
        TestPortConflictWithSameDaemonPodDoesNotDeletePod
        TestNoPortConflictNodeDaemonLaunchesPod
        TestPodIsNotDeletedByDaemonsetWithEmptyLabelSelector TestDealsWithExistingPods
        TestSelectorDaemonLaunchesPods TestSelectorDaemonDeletesUnselectedPods
        TestSelectorDaemonDealsWithExistingPods TestBadSelectorDaemonDoesNothing
        TestNameDaemonSetLaunchesPods TestBadNameDaemonSetDoesNothing
        TestNameAndSelectorDaemonSetLaunchesPods
        TestInconsistentNameSelectorDaemonSetDoesNothing
        TestSelectorDaemonSetLaunchesPods TestNodeAffinityDaemonLaunchesPods
        TestNumberReadyStatus TestObservedGeneration TestDaemonKillFailedPods
        TestDaemonKillFailedPodsBackoff
        TestNoScheduleTaintedDoesntEvicitRunningIntolerantPod
        TestNoExecuteTaintedDoesEvicitRunningIntolerantPod
        TestTaintedNodeDaemonDoesNotLaunchIntolerantPod
        TestTaintedNodeDaemonLaunchesToleratePod TestNotReadyNodeDaemonLaunchesPod
        TestUnreachableNodeDaemonLaunchesPod TestNodeDaemonLaunchesToleratePod
        TestDaemonSetRespectsTermination TestTaintPressureNodeDaemonLaunchesPod
        TestNodeShouldRunDaemonPod TestUpdateNode TestDeleteNoDaemonPod
        TestDeleteUnscheduledPodForNotExistingNode TestGetNodesToDaemonPods TestAddNode
        TestAddPod TestAddPodOrphan TestUpdatePod TestUpdatePodOrphanSameLabels
        TestUpdatePodOrphanWithNewLabels TestUpdatePodChangeControllerRef
        TestUpdatePodControllerRefRemoved TestDeletePod TestDeletePodOrphan
        TestSurgeDealsWithExistingPods TestSurgePreservesReadyOldPods
        TestSurgeCreatesNewPodWhenAtMaxSurgeAndOldPodDeleted
        TestSurgeDeletesUnreadyOldPods TestSurgePreservesOldReadyWithUnsatisfiedMinReady
        TestSurgeDeletesOldReadyWithUnsatisfiedMinReady TestStoreDaemonSetStatus
        TestShouldIgnoreNodeUpdate
    """,
    "pkg/controller/daemon/update_test.go": """
        TestDaemonSetUpdatesPods TestDaemonSetUpdatesPodsWithMaxSurge
        TestDaemonSetUpdatesPodsNotMatchTainstWithMaxSurge
        TestDaemonSetUpdatesWhenNewPodIsNotReady TestDaemonSetUpdatesSomeOldPodsNotReady
        TestDaemonSetUpdatesSaveOldHealthyPods
        TestDaemonSetUpdatesAllOldNotReadyPodsAndNewNotReadyPods
        TestDaemonSetUpdatesAllOldPodsNotReady
        TestDaemonSetUpdatesAllOldPodsNotReadyMaxSurge
        TestDaemonSetUpdatesNoTemplateChanged TestGetUnavailableNumbers
        TestControlledHistories
    """,
    "pkg/controller/daemon/util/daemonset_util_test.go": """
        TestIsPodUpdated TestCreatePodTemplate
        TestReplaceDaemonSetPodNodeNameNodeAffinity TestGetTargetNodeName
    """,
    "test/integration/daemonset/daemonset_test.go": """
        TestOneNodeDaemonLaunchesPod TestSimpleDaemonSetLaunchesPods
        TestSimpleDaemonSetRestartsPodsOnTerminalPhase
        TestDaemonSetWithNodeSelectorLaunchesPods TestNotReadyNodeDaemonDoesLaunchPod
        TestInsufficientCapacityNode TestLaunchWithHashCollision
        TestDSCUpdatesPodLabelAfterDedupCurHistories TestTaintedNode
        TestUnschedulableNodeDaemonDoesLaunchPod
        TestUpdateStatusDespitePodCreationFailure
        TestDaemonSetRollingUpdateWithTolerations
    """,
    "pkg/controller/replicaset/replica_set_test.go": """
        TestSyncReplicaSetDoesNothing TestDeleteFinalStateUnknown
        TestSyncReplicaSetCreateFailures TestSyncReplicaSetDormancy
        TestGetReplicaSetsWithSameController TestPodControllerLookup
        TestRelatedPodsLookup TestWatchControllers TestWatchPods TestUpdatePods
        TestControllerUpdateRequeue TestControllerUpdateStatusWithFailure
        TestControllerBurstReplicas TestRSSyncExpectations
        TestDeleteControllerAndExpectations TestExpectationsOnRecreate
        TestOverlappingRSs TestDeletionTimestamp TestDoNotPatchPodWithOtherControlRef
        TestPatchPodFails TestDoNotAdoptOrCreateIfBeingDeleted
        TestDoNotAdoptOrCreateIfBeingDeletedRace TestReplicaSetAvailabilityCheck
        TestGetCondition TestSetCondition TestRemoveCondition TestSlowStartBatch
        TestGetPodsToDelete TestGetPodKeys
    """,
    "pkg/controller/replicaset/replica_set_utils_test.go": """
        TestCalculateStatus TestCalculateStatusConditions
    """,
    "pkg/controller/controller_utils_test.go": """
        TestCreatePodsWithGenerateName TestDeletePodsAllowsMissing
        TestCountTerminatingPods TestClaimedPodFiltering TestActivePodFiltering
        TestSortingActivePods TestSortingActivePodsWithRanks
        TestNextPodAvailabilityCheck TestFindMinNextPodAvailabilitySimpleCheck
        TestFindMinNextPodAvailability TestFilterPodsByOwner
    """,
    "pkg/controller/deployment/deployment_controller_test.go": """
        TestSyncDeploymentCreatesReplicaSet
        TestSyncDeploymentDontDoAnythingDuringDeletion
        TestSyncDeploymentDeletionRace TestDontSyncDeploymentsWithEmptyPodSelector
        TestReentrantRollback TestPodDeletionEnqueuesRecreateDeployment
        TestPodDeletionDoesntEnqueueRecreateDeployment
        TestPodDeletionPartialReplicaSetOwnershipEnqueueRecreateDeployment
        TestPodDeletionPartialReplicaSetOwnershipDoesntEnqueueRecreateDeployment
        TestGetReplicaSetsForDeployment TestGetReplicaSetsForDeploymentAdoptRelease
        TestGetPodMapForReplicaSets TestAddReplicaSet TestAddReplicaSetOrphan
        TestUpdateReplicaSet TestUpdateReplicaSetOrphanWithNewLabels
        TestUpdateReplicaSetChangeControllerRef TestUpdateReplicaSetRelease
        TestDeleteReplicaSet TestDeleteReplicaSetOrphan
    """,
    "pkg/controller/deployment/sync_test.go": """
        TestScale TestDeploymentController_cleanupDeployment
        TestDeploymentController_cleanupDeploymentOrder
        TestDeploymentController_generateReplicaSetName TestGenerateReplicaSetName
    """,
    "pkg/controller/deployment/rolling_test.go": """
        TestDeploymentController_reconcileNewReplicaSet
        TestDeploymentController_reconcileOldReplicaSets
        TestDeploymentController_cleanupUnhealthyReplicas
        TestDeploymentController_scaleDownOldReplicaSetsForRollingUpdate
    """,
    "pkg/controller/deployment/recreate_test.go": """
        TestScaleDownOldReplicaSets TestOldPodsRunning
    """,
    "pkg/controller/deployment/progress_test.go": """
        TestRequeueStuckDeployment TestSyncRolloutStatus
    """,
    "pkg/controller/deployment/util/deployment_util_test.go": """
        TestEqualIgnoreHash TestFindNewReplicaSet TestFindOldReplicaSets
        TestGetReplicaCountForReplicaSets TestResolveFenceposts TestNewRSNewReplicas
        TestGetCondition TestSetCondition TestRemoveCondition TestDeploymentComplete
        TestDeploymentProgressing TestDeploymentTimedOut TestMaxUnavailable
        TestGetNonNegativeInt32FromAnnotation TestAnnotationUtils
        TestReplicasAnnotationsNeedUpdate TestGetDeploymentsForReplicaSet
        TestMinAvailable TestGetReplicaSetFraction
    """,
    "pkg/controller/deployment/util/hash_test.go": """
        TestPodTemplateSpecHash
    """,
    "test/integration/deployment/deployment_test.go": """
        TestNewDeployment TestDeploymentRollingUpdate
        TestDeploymentSelectorImmutability TestPausedDeployment
        TestScalePausedDeployment TestDeploymentHashCollision TestFailedDeployment
        TestOverlappingDeployments TestScaledRolloutDeployment
        TestSpecReplicasChange TestDeploymentAvailableCondition
        TestGeneralReplicaSetAdoption TestDeploymentScaleSubresource
        TestReplicaSetOrphaningAndAdoptionWhenLabelsChange
        TestTerminatingReplicasDeploymentStatus
        TestRecreateDeploymentForPodReplacement
        TestRollingUpdateAndProportionalScalingForDeploymentPodReplacement
    """,
}
"""The tests of Kubernetes v1.36 that pin what the controllers of workloads do, by file."""


def rows() -> dict[str, dict[str, list[str]]]:
    """Section -> upstream's name -> our test ids."""
    found: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in TABLE.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
            found[section] = {}
        elif match := re.match(r"\| (Test\w+) \| (.*) \|$", line):
            found[section][match[1]] = re.findall(r"`([^`]+)`", match[2])
    return found


@pytest.mark.parametrize("section", UPSTREAM)
def test_every_upstream_test_has_a_row(section: str) -> None:
    assert sorted(rows()[section]) == sorted(UPSTREAM[section].split())


@pytest.mark.parametrize(
    "test_id",
    sorted({one for section in rows().values() for ids in section.values() for one in ids}),
)
def test_every_named_test_exists(test_id: str) -> None:
    path, separator, name = test_id.partition("::")
    assert separator, f"{test_id} names no test"
    file = ROOT / (path if "/" in path else HERE + path)
    assert re.search(rf"^(async )?def {name}\(", file.read_text(), re.MULTILINE), test_id


def test_no_row_is_empty() -> None:
    empty = [name for section in rows().values() for name, ids in section.items() if not ids]
    assert empty == []
