"""What a sync does, in order or in parallel (spec statefulset-controller 2, 4, 5.5, 7)."""

import msgspec
import pytest
from statefulset_world import (
    ON_DELETE,
    RETENTION,
    World,
    claim,
    created,
    deleted,
    deleting,
    owner,
    pod,
    revision,
    rolling,
    statefulset,
    works,
)

from kubeherd.cluster.api.objects import ClaimSource, Pod, Volume
from kubeherd.controller.statefulset.model import PodWork, Verb
from kubeherd.controller.workload.apps import ClaimRetentionPolicy, StatefulSetUpdateStrategy

both = pytest.mark.parametrize("parallel", [False, True], ids=["monotonic", "burst"])
policies = pytest.mark.parametrize("retention", RETENTION)

Policy = ClaimRetentionPolicy | None


def settled(replicas: int = 3, *, parallel: bool = False, **fields: object) -> World:
    """A StatefulSet with all its pods ready."""
    world = World(statefulset(replicas, parallel=parallel, **fields))  # type: ignore[arg-type]
    world.settle()
    return world


def in_order(world: World) -> None:
    """assertMonotonicInvariants: no pod is ready whose predecessor is not; no gaps."""
    names = sorted(world.pods, key=lambda name: int(name.rpartition("-")[2]))
    start = int(names[0].rpartition("-")[2]) if names else 0
    assert names == [f"web-{start + index}" for index in range(len(names))]
    ready = [world.pods[name].ready for name in names]
    assert ready == sorted(ready, reverse=True)


def numbers(world: World) -> tuple[int, int, int]:
    status = world.of.status
    return status.replicas, status.ready_replicas, status.updated_replicas


@both
@policies
def test_pods_are_created_scaled_up_and_down(parallel: bool, retention: Policy) -> None:
    """TestStatefulSetControl: CreatePods, ScalesUp, ScalesDown."""
    world = World(statefulset(3, parallel=parallel, claims=["data"], retention=retention))
    check = (lambda: None) if parallel else (lambda: in_order(world))
    world.settle(check)
    assert numbers(world) == (3, 3, 3)
    world.update(replicas=4)
    world.settle(check)
    assert numbers(world) == (4, 4, 4)
    assert sorted(world.claims) == [f"data-web-{index}" for index in range(4)]
    world.update(replicas=0)
    world.settle(check)
    assert numbers(world) == (0, 0, 0)
    kept = retention is None or retention.when_scaled == "Retain"
    assert bool(world.claims) == kept


def test_in_order_a_pod_waits_for_the_one_before() -> None:
    world = World(statefulset(3))
    assert created(world.sync()) == ["web-0"]
    assert created(world.sync()) == []
    world.set_phase("web-0", "Running")
    assert created(world.sync()) == []
    world.make_ready()
    assert created(world.sync()) == ["web-1"]


def test_a_pod_is_well_when_it_is_running_and_ready() -> None:
    world = World(statefulset(2))
    world.sync()
    world.set_phase("web-0", "Pending", ready=True)
    assert created(world.plan()) == []


def test_in_parallel_nobody_waits() -> None:
    assert created(World(statefulset(3, parallel=True, start=5)).sync()) == [
        "web-5", "web-6", "web-7",
    ]  # fmt: skip


@both
def test_missing_pods_are_replaced(parallel: bool) -> None:
    """ReplacesPods."""
    world = settled(5, parallel=parallel)
    for gone in (0, 2, 4):
        del world.pods[f"web-{gone}"]
    assert created(world.plan()) == (["web-0", "web-2", "web-4"] if parallel else ["web-0"])
    world.settle()
    assert numbers(world) == (5, 5, 5)


@both
@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_an_ended_pod_is_deleted_once_and_made_anew(parallel: bool, phase: str) -> None:
    """RecreatesFailedPod, RecreatesSucceededPod, with and without a failure of the deletion."""
    world = settled(3, parallel=parallel)
    world.set_phase("web-1", phase)
    world.failing = lambda work: work.verb is Verb.DELETE
    assert deleted(world.sync()) == ["web-1"]
    assert "web-1" in world.pods
    world.failing = lambda _: False
    chosen = world.sync()
    assert (deleted(chosen), created(chosen)) == (["web-1"], [])
    chosen = world.sync()
    assert (deleted(chosen), created(chosen)) == ([], ["web-1"])


@both
def test_an_ended_pod_of_an_old_revision_is_deleted_once(parallel: bool) -> None:
    world = settled(2, parallel=parallel)
    world.update(image="img:2")
    world.set_phase("web-1", "Failed")
    assert deleted(world.plan()) == ["web-1"]


def test_an_ended_pod_that_is_going_is_left_alone() -> None:
    """TestStatefulSetControllerRespectsTermination."""
    world = World(statefulset(1), pods={"web-0": pod("web-0", phase="Failed", deleting=True)})
    assert not any(world.plan().phases)


@both
def test_what_failed_is_tried_again(parallel: bool) -> None:
    """CreatePodFailure, TestStatefulSetControlScaleDownDeleteError."""
    failures = {"web-1"}

    def fails_once(work: PodWork) -> bool:
        failed = work.name in failures
        failures.discard(work.name)
        return failed

    world = World(statefulset(3, parallel=parallel), failing=fails_once)
    world.settle()
    assert numbers(world) == (3, 3, 3)
    failures.add("web-1")
    world.update(replicas=0)
    world.settle()
    assert numbers(world) == (0, 0, 0)


@pytest.mark.parametrize("retention", RETENTION)
@both
def test_a_pending_pod_gets_the_claims_that_vanished(parallel: bool, retention: Policy) -> None:
    """RecreatesPVCForPendingPod."""
    world = World(statefulset(3, parallel=parallel, claims=["data"], retention=retention))
    world.sync()
    world.claims.clear()
    world.sync()
    assert "data-web-0" in world.claims
    world.make_ready("web-0")
    world.claims.clear()
    world.sync()
    assert "data-web-0" not in world.claims, "a running pod has what it has"


def test_a_claim_that_is_going_keeps_its_pod_away() -> None:
    """TestStatefulPodControlCreatePodPVCDeleting."""
    world = World(statefulset(1, claims=["a", "b", "c"]))
    world.claims = {name: claim(name, deleting=True) for name in ("a-web-0", "b-web-0")}
    ((work,), *_) = world.plan().phases
    assert work.failure == "[pvc a-web-0 is being deleted, pvc b-web-0 is being deleted]"
    assert [tree["metadata"]["name"] for tree in work.create_claims] == ["c-web-0"]
    world.sync()
    assert (list(world.pods), len(world.claims)) == ([], 3)
    assert world.plan().awaits_claims


@both
@pytest.mark.parametrize("deleted_too", ["Retain", "Delete"])
def test_a_claim_that_an_earlier_pod_owns_is_waited_for(parallel: bool, deleted_too: str) -> None:
    """TestStaleOwnerRefOnScaleup."""
    retention = ClaimRetentionPolicy(when_scaled="Delete", when_deleted=deleted_too)
    world = settled(2, parallel=parallel, claims=["data"], retention=retention)
    world.claims["data-web-2"] = claim("data-web-2", [owner("gone", "web-2", "Pod")])
    world.update(replicas=4)
    assert created(world.plan()) == (["web-3"] if parallel else [])
    assert world.plan().awaits_claims
    del world.claims["data-web-2"]
    world.settle()
    assert not world.plan().awaits_claims
    assert sorted(world.pods) == ["web-0", "web-1", "web-2", "web-3"]


def test_where_claims_are_retained_none_is_stale() -> None:
    world = World(statefulset(1, claims=["data"]))
    world.claims["data-web-0"] = claim("data-web-0", [owner("gone", "web-0", "Pod")])
    assert created(world.plan()) == ["web-0"]


def test_a_changed_policy_changes_the_owners() -> None:
    """TestStatefulPodControlRetentionPolicyUpdate, ...RetainDeletionPolicyUpdate."""
    world = settled(2, claims=["data"])
    assert world.claims["data-web-1"].metadata.owner_references == []
    policy = ClaimRetentionPolicy(when_scaled="Delete", when_deleted="Delete")
    world.update(persistent_volume_claim_retention_policy=policy)
    chosen = world.sync()
    assert works(chosen, Verb.UPDATE) == ["web-0", "web-1"]
    assert not any(work.fixes_pod for work in chosen.replicas)
    (reference,) = world.claims["data-web-1"].metadata.owner_references
    assert reference.kind == "StatefulSet"
    world.update(replicas=1, persistent_volume_claim_retention_policy=policy)
    chosen = world.plan()
    ((work,), (doomed,)) = chosen.condemned_claims, chosen.condemned
    assert [one.kind for one in work.own_claims[0].references] == ["Pod"]
    assert (work.verb, doomed.verb, doomed.name) == (Verb.NOTHING, Verb.DELETE, "web-1")
    world.update(persistent_volume_claim_retention_policy=None, replicas=2)
    world.settle()
    assert all(not one.metadata.owner_references for one in world.claims.values())


def test_a_pod_that_is_condemned_hands_over_its_claims_first() -> None:
    """TestOrphanedPodsWithPVCDeletePolicy, in so far as an orphan is adopted and then condemned."""
    policy = ClaimRetentionPolicy(when_scaled="Delete", when_deleted="Retain")
    world = settled(1, claims=["data"], retention=policy)
    world.pods["web-5"] = pod("web-5", owned_by=None)
    world.claims["data-web-5"] = claim("data-web-5")
    world.sync()
    assert sorted(world.pods) == ["web-0"]
    assert sorted(world.claims) == ["data-web-0"]


# --- scaling down ---


def test_in_order_the_highest_goes_first_and_one_at_a_time() -> None:
    world = settled(5)
    world.graceful = True
    world.update(replicas=2)
    assert deleted(world.sync()) == ["web-4"]
    assert deleted(world.sync()) == [], "web-4 is going"
    world.finish_deletions()
    assert deleted(world.sync()) == ["web-3"]


def test_in_parallel_all_go_at_once() -> None:
    """TestParallelScale."""
    world = settled(10, parallel=True)
    world.graceful = True
    world.update(replicas=1)
    assert deleted(world.sync()) == [f"web-{index}" for index in range(9, 0, -1)]
    assert deleted(world.sync()) == []


def test_scaling_down_waits_for_wanted_pods() -> None:
    """TestStatefulSetControllerBlocksScaling."""
    world = settled(5)
    world.update(replicas=3)
    world.set_phase("web-1", "Running")
    assert deleted(world.plan()) == []


def test_scaling_down_waits_for_an_unready_condemned_pod_below() -> None:
    world = settled(5)
    world.update(replicas=2)
    world.set_phase("web-3", "Running")
    assert deleted(world.plan()) == ["web-4"], "the one above is well, and goes"
    world.set_phase("web-4", "Running")
    assert deleted(world.plan()) == [], "not the first that is unwell"
    world.make_ready("web-3")
    assert deleted(world.plan()) == ["web-4"], "it is the first that is unwell"


def test_pods_below_the_start_are_condemned() -> None:
    world = settled(3)
    world.update(ordinals=statefulset(1, start=2).spec.ordinals)
    world.settle()
    assert sorted(world.pods) == ["web-2", "web-3", "web-4"]


# --- rolling updates ---


@both
@pytest.mark.parametrize(
    ("before", "after"), [(3, 3), (3, 5), (5, 3)], ids=["", "and scale up", "and scale down"]
)
def test_an_image_rolls_out_from_the_highest_ordinal(
    parallel: bool, before: int, after: int
) -> None:
    """TestStatefulSetControlRollingUpdate."""
    world = settled(before, parallel=parallel)
    world.update(image="img:2", replicas=after)
    world.settle()
    assert set(world.images().values()) == {"img:2"}
    assert numbers(world) == (after, after, after)
    assert world.of.status.current_revision == world.of.status.update_revision


@both
def test_one_pod_at_a_time_is_updated(parallel: bool) -> None:
    world = settled(3, parallel=parallel)
    world.graceful = True
    world.update(image="img:2")
    order = []
    for _ in range(30):
        order += deleted(world.sync())
        assert sum(not found.ready for found in world.pods.values()) <= 1
        assert len(world.pods) >= 2
        world.finish_deletions()
        world.sync()
        world.make_ready()
    assert order == ["web-2", "web-1", "web-0"]


def test_a_pod_that_is_going_is_not_deleted_once_more() -> None:
    world = settled(2, parallel=True)
    world.graceful = True
    world.update(image="img:2")
    assert deleted(world.sync()) == ["web-1"]
    assert deleted(world.sync()) == []


def test_in_order_an_update_waits_until_all_is_scaled_down() -> None:
    world = settled(3)
    world.update(image="img:2", replicas=2)
    assert deleted(world.sync()) == ["web-2"]
    assert deleted(world.sync()) == ["web-1"]


def test_an_update_is_complete_when_its_last_pod_is_ready() -> None:
    world = settled(1)
    first = world.of.status.current_revision
    world.update(image="img:2")
    world.sync()
    world.sync()
    world.sync()
    status = world.of.status
    assert (status.updated_replicas, status.current_revision) == (1, first)
    world.make_ready()
    world.sync()
    assert world.of.status.current_revision == world.of.status.update_revision != first


def test_an_update_waits_for_the_pods_that_it_has_passed() -> None:
    world = settled(3, parallel=True)
    world.update(image="img:2")
    world.sync()
    world.sync()
    assert not world.pods["web-2"].ready
    assert deleted(world.sync()) == []
    world.set_phase("web-2", "Running", ready=True)
    assert deleted(world.sync()) == ["web-1"]


def test_a_broken_update_in_order_can_be_undone() -> None:
    """Kubernetes' known issue: the broken pod is awaited for ever; deleted by hand it comes back
    at the revision that is wanted now."""
    world = settled(3)
    world.update(image="broken")
    world.sync()
    world.sync()
    world.set_phase("web-2", "Running")
    world.update(image="img:1")
    assert not any(world.sync().phases)
    world.delete("web-2")
    world.settle()
    assert set(world.images().values()) == {"img:1"}


@both
@pytest.mark.parametrize("after", [5, 7], ids=["", "and scale up"])
def test_pods_below_the_partition_stay(parallel: bool, after: int) -> None:
    """TestStatefulSetControlRollingUpdateWithPartition."""
    world = settled(5, parallel=parallel, strategy=rolling(2))
    world.update(image="img:2", replicas=after)
    world.settle()
    old = {name for name, image in world.images().items() if image == "img:1"}
    assert old == {"web-0", "web-1"}
    status = world.of.status
    assert status.current_revision != status.update_revision
    assert (status.current_replicas, status.updated_replicas) == (2, after - 2)
    world.delete("web-0")
    world.settle()
    assert world.images()["web-0"] == "img:1", "made anew at the current revision"


def test_the_partition_counts_from_the_start() -> None:
    world = settled(4, strategy=rolling(1), start=10)
    world.update(image="img:2")
    world.settle()
    assert list(world.images().values()) == ["img:1", *["img:2"] * 3]
    world.delete("web-10")
    world.settle()
    assert list(world.images().values()) == ["img:1", *["img:2"] * 3]


def test_without_a_partition_new_pods_below_the_current_ones_are_current() -> None:
    """A strategy RollingUpdate without parameters: the count of the status decides (5.3)."""
    world = settled(4, strategy=StatefulSetUpdateStrategy(type="RollingUpdate"))
    world.update(image="img:2")
    world.sync()
    assert deleted(world.plan()) == []
    world.pods.pop("web-0")
    world.sync()
    assert world.images()["web-0"] == "img:1"
    world.settle()
    assert set(world.images().values()) == {"img:2"}


@both
@pytest.mark.parametrize("after", [3, 5, 2], ids=["", "and scale up", "and scale down"])
def test_on_delete_only_what_is_deleted_is_updated(parallel: bool, after: int) -> None:
    """TestStatefulSetControlOnDeleteUpdate."""
    world = settled(3, parallel=parallel, strategy=ON_DELETE)
    world.update(image="img:2", replicas=after)
    world.settle()
    old = min(3, after)
    assert list(world.images().values()) == ["img:1"] * old + ["img:2"] * (after - old)
    world.delete("web-0")
    world.settle()
    assert world.images()["web-0"] == "img:2"
    status = world.of.status
    assert status.current_revision != status.update_revision


@both
@pytest.mark.parametrize("after", [3, 5, 2], ids=["", "and scale up", "and scale down"])
def test_an_update_can_be_rolled_back(parallel: bool, after: int) -> None:
    """TestStatefulSetControlRollback."""
    world = settled(3, parallel=parallel)
    first = world.of.status.current_revision
    world.update(image="img:2")
    world.settle()
    world.update(image="img:1", replicas=after)
    world.settle()
    assert set(world.images().values()) == {"img:1"}
    assert world.of.status.current_revision == first
    assert sorted(one.revision for one in world.revisions) == [2, 3]


def test_when_the_deletion_fails_the_status_is_as_before() -> None:
    """NewRevisionDeletePodFailure."""
    world = settled(3)
    world.update(image="img:2")
    world.failing = lambda work: work.verb is Verb.DELETE
    world.sync()
    assert world.of.status.current_replicas == 3
    assert world.of.status.current_revision != world.of.status.update_revision
    world.failing = lambda _: False
    world.sync()
    assert world.of.status.current_replicas == 2


# --- minReadySeconds ---


def young(replicas: int, **fields: object) -> World:
    """All pods ready for 10 of 30 seconds."""
    world = settled(replicas, min_ready_seconds=30, **fields)
    for name in world.pods:
        world.set_phase(name, "Running", ready=True)
    world.time_s += 10
    return world


@pytest.mark.parametrize(
    "change",
    [{"image": "img:2"}, {"replicas": 1}, {"replicas": 5}],
    ids=["rolling update", "scaling down", "scaling up"],
)
def test_in_order_all_wait_for_availability(change: dict[str, object]) -> None:
    """TestStatefulSetRollingUpdateRespectsMinReadySeconds, ...ScaleDownRespectsMinReadySeconds."""
    world = young(3)
    world.update(**change)
    assert not any(world.sync().phases)
    assert world.of.status.available_replicas == 0
    assert world.plan().requeue_after_s == 20
    world.time_s += 20
    assert any(world.plan().phases)
    world.sync()
    assert world.of.status.available_replicas >= 2


def test_a_partition_waits_as_well() -> None:
    """TestStatefulSetPartitionRollingUpdateWithMinReadySeconds."""
    world = young(4, strategy=rolling(2))
    world.update(image="img:2")
    assert not any(world.sync().phases)
    world.time_s += 20
    assert deleted(world.sync()) == ["web-3"]


def test_on_delete_waits_for_nobody() -> None:
    """TestStatefulSetOnDeleteStrategyIgnoresMinReadySeconds, TestStatefulSetZeroMinReadySeconds."""
    world = young(2, strategy=ON_DELETE)
    world.update(image="img:2")
    world.sync()
    assert world.of.status.available_replicas == 0
    assert world.of.status.update_revision != world.of.status.current_revision
    assert settled(2).of.status.available_replicas == 2


@pytest.mark.parametrize(("ready_for_s", "available"), [(7200, 1), (1800, 0)])
def test_available_is_ready_for_long_enough(ready_for_s: float, available: int) -> None:
    """TestStatefulSetAvailability."""
    world = settled(1, min_ready_seconds=3600)
    world.set_phase("web-0", "Running", ready=True)
    world.time_s += ready_for_s
    world.sync()
    assert world.of.status.available_replicas == available


def test_the_next_look_is_when_the_first_pod_becomes_available() -> None:
    """TestStatefulSetAvailabilityCheck."""
    world = young(2, parallel=True)
    world.time_s += 5
    world.set_phase("web-1", "Running", ready=True)
    assert world.plan().requeue_after_s == 15
    world.time_s += 15
    assert world.plan().requeue_after_s == 15
    world.time_s += 15
    assert world.plan().requeue_after_s is None


# --- status ---


def test_a_pod_that_is_going_counts_as_of_no_revision() -> None:
    world = settled(2)
    world.graceful = True
    world.delete("web-1")
    world.sync()
    status = world.of.status
    assert (status.replicas, status.ready_replicas) == (2, 2)
    assert (status.current_replicas, status.updated_replicas) == (1, 1)


def test_the_status_says_which_generation_was_looked_at() -> None:
    """TestSpecReplicasChange, TestStatefulSetStatusUpdaterUpdatesObservedGeneration."""
    world = settled(2)
    world.update(min_ready_seconds=1)
    world.sync()
    assert world.of.status.observed_generation == world.of.metadata.generation == 2


# --- whose pods ---


def test_pods_are_adopted_by_label_and_name() -> None:
    """TestGetPodsForStatefulSetAdopt."""
    world = World(statefulset(4))
    world.pods = {
        "web-0": pod("web-0"),
        "web-1": pod("web-1", owned_by=None),
        "web-2": pod("web-2", owned_by=None, app="other"),
        "foo-3": pod("foo-3", owned_by=None),
    }
    chosen = world.plan()
    assert [found.metadata.name for found in chosen.adopt_pods] == ["web-1"]
    assert chosen.release_pods == []


def test_pods_are_released_by_label_and_name() -> None:
    """TestGetPodsForStatefulSetRelease."""
    world = World(statefulset(4))
    world.pods = {
        "web-0": pod("web-0"),
        "web-1": pod("web-1", app="other"),
        "foo-2": pod("foo-2"),
        "web-3": pod("web-3", owned_by=owner("somebody")),
    }
    released = [found.metadata.name for found in world.plan().release_pods]
    assert released == ["web-1", "foo-2"]


def test_a_set_that_is_being_deleted_only_writes_its_status() -> None:
    """TestStatefulSetControllerDeletionTimestamp."""
    world = settled(2)
    world.of = deleting(world.of)
    world.pods = {
        "web-0": pod("web-0", ready=False),
        "web-1": pod("web-1", owned_by=None),
        "foo-2": pod("foo-2"),
    }
    chosen = world.plan()
    assert not any((*chosen.phases, chosen.adopt_pods, chosen.release_pods))
    assert (chosen.status.replicas, chosen.status.ready) == (1, 0)


def test_pods_without_an_ordinal_and_second_names_are_left_alone() -> None:
    world = settled(2)
    world.pods |= {name: pod(name) for name in ("web-01", "web-99999999999")}
    assert not any(world.plan().phases)
    assert world.plan().status.replicas == 2


# --- putting right ---


def mounting(found: Pod, claim_name: str) -> Pod:
    source = ClaimSource(claim_name=claim_name)
    volumes = [Volume(name="data", persistent_volume_claim=source)]
    return msgspec.structs.replace(found, spec=msgspec.structs.replace(found.spec, volumes=volumes))


def test_an_adopted_pod_gets_its_labels() -> None:
    """TestStatefulPodControlUpdatesIdentity, ...NoOpUpdate."""
    of = statefulset(2)
    right = pod("web-0", revision="web-r1")
    bare = msgspec.structs.replace(right.metadata, name="web-1", labels={"app": "a"})
    world = World(of, revisions=[revision(of, 1)])
    world.pods = {"web-0": right, "web-1": msgspec.structs.replace(right, metadata=bare)}
    (work,) = world.plan().replicas
    assert (work.name, work.verb, work.fixes_pod) == ("web-1", Verb.UPDATE, True)
    assert (work.create_claims, work.own_claims) == ((), ())


def test_labels_alone_are_no_reason_to_make_claims() -> None:
    of = statefulset(1, claims=["data"])
    found = mounting(pod("web-0", revision="web-r1"), "data-web-0")
    metadata = msgspec.structs.replace(found.metadata, labels={"app": "a"})
    world = World(of, revisions=[revision(of, 1)])
    world.pods = {"web-0": msgspec.structs.replace(found, metadata=metadata)}
    (work,) = world.plan().replicas
    assert (work.fixes_pod, work.create_claims) == (True, ())


def test_a_pod_without_its_volume_gets_claim_and_volume() -> None:
    """TestStatefulPodControlUpdatesPodStorage."""
    of = statefulset(2, claims=["data"])
    world = World(of, revisions=[revision(of, 1)])
    world.pods = {
        "web-0": mounting(pod("web-0", revision="web-r1"), "data-web-0"),
        "web-1": mounting(pod("web-1", revision="web-r1"), "data-web-7"),
    }
    (work,) = world.plan().replicas
    assert (work.name, work.verb, work.fixes_pod) == ("web-1", Verb.UPDATE, True)
    assert [tree["metadata"]["name"] for tree in work.create_claims] == ["data-web-1"]
