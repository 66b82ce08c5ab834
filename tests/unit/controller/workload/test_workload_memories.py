"""What is remembered of a workload (controller/workload/memories.py)."""

from kubeherd.cluster.api.objects import ObjectMeta, PartialObject
from kubeherd.controller.workload.memories import Memories

KEY = ("ns", "a")


def workload(uid: str) -> PartialObject:
    return PartialObject(metadata=ObjectMeta(namespace="ns", name="a", uid=uid))


def test_a_workload_keeps_its_memory_until_it_is_forgotten() -> None:
    memories: Memories[list[str]] = Memories(list)
    assert memories.get(KEY) is None
    memories.of(workload("u1")).append("seen")
    assert memories.of(workload("u1")) == ["seen"]
    assert memories.get(KEY) == ["seen"]
    memories.forget(KEY)
    memories.forget(KEY)
    assert memories.get(KEY) is None


def test_one_that_is_created_anew_starts_afresh() -> None:
    memories: Memories[list[str]] = Memories(list)
    memories.of(workload("u1")).append("seen")
    assert memories.of(workload("u2")) == []
    assert memories.of(workload("u1")) == [], "nor does the old one come back"
