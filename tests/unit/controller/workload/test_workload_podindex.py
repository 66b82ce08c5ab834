"""What a workload owns is found by index (upstream's TestFilterPodsByOwner)."""

from replicaset_world import controlled_by, pod

from kubeherd.cluster.api.objects import ObjectMeta, Pod
from kubeherd.cluster.client.cache import Cache, key_of
from kubeherd.controller.workload.pods import podindex

OWNER = ObjectMeta(name="rs", namespace="ns", uid="1")


def cache_of(*pods: Pod) -> Cache[Pod]:
    cache: Cache[Pod] = Cache()
    for each in pods:
        cache.put(key_of(each), each)
    podindex.add_index(cache)
    return cache


def test_owned_and_orphans_are_told_apart() -> None:
    cache = cache_of(
        pod("mine", owner=controlled_by("1")),
        pod("theirs", owner=controlled_by("2")),
        pod("orphan", owner=None),
        pod("far orphan", owner=None, namespace="other"),
    )
    assert [p.metadata.name for p in podindex.owned(cache, "1")] == ["mine"]
    assert [p.metadata.name for p in podindex.candidates(cache, OWNER)] == ["mine", "orphan"]


def test_an_owner_without_pods_finds_none() -> None:
    assert podindex.candidates(cache_of(), OWNER) == []
