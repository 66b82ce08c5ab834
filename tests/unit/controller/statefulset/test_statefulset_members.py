"""Which pods are a StatefulSet's, and what is put right on them (statefulset-controller 3, 7)."""

import msgspec
from statefulset_world import (
    World,
    deleting,
    owner,
    pod,
    revision,
    settled,
    statefulset,
)

from kubeherd.cluster.api.objects import ClaimSource, Pod, Volume
from kubeherd.controller.statefulset.model import Verb


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
