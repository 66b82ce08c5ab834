"""The garbage collector's pure rules: the table of decisions and the graph."""

import pytest

from kubeherd.cluster.api.kinds import CONFIGMAPS, DAEMONSETS, NODES, PODS, Resource
from kubeherd.cluster.api.objects import ObjectMeta, OwnerReference
from kubeherd.controller.garbage import plan
from kubeherd.controller.garbage.graph import Graph, Item, Todo
from kubeherd.controller.garbage.plan import Delete, Keep, Owner, Propagation

DELETED = "2026-01-01T00:00:00Z"


def ref(uid: str, *, block: bool = False) -> OwnerReference:
    return OwnerReference(
        api_version="v1", kind="ConfigMap", name=uid, uid=uid, block_owner_deletion=block
    )


def item(*owners: OwnerReference, finalizers: tuple[str, ...] = (), deleting: bool = False) -> Item:
    return Item(CONFIGMAPS, "ns", "x", "x", owners, deleting, finalizers)


FOREGROUND_DEPENDENT = item(finalizers=("foregroundDeletion",), deleting=True)


@pytest.mark.parametrize(
    ("states", "action"),
    [
        ([], Keep()),
        ([Owner.SOLID], Keep()),
        ([Owner.SOLID, Owner.DANGLING], Keep(("o1",))),
        ([Owner.SOLID, Owner.WAITING, Owner.DANGLING], Keep(("o1", "o2"))),
        ([Owner.DANGLING], Delete(Propagation.BACKGROUND)),
        ([Owner.DANGLING, Owner.DANGLING], Delete(Propagation.BACKGROUND)),
        ([Owner.WAITING], Delete(Propagation.BACKGROUND)),
        ([Owner.WAITING, Owner.DANGLING], Delete(Propagation.BACKGROUND)),
    ],
)
def test_table_without_dependents(states: list[Owner], action: Keep | Delete) -> None:
    owners = [(ref(f"o{number}"), state) for number, state in enumerate(states)]
    assert plan.decide(owners, item(), []) == action


def test_waiting_owner_and_own_dependents_mean_foreground() -> None:
    owners = [(ref("o"), Owner.WAITING)]
    assert plan.decide(owners, item(), [item()]) == Delete(Propagation.FOREGROUND)
    assert plan.decide([(ref("o"), Owner.DANGLING)], item(), [item()]) == Delete(
        Propagation.BACKGROUND
    )


def test_circle_is_broken_once() -> None:
    owners = [(ref("o"), Owner.WAITING)]
    blocking = item(ref("o", block=True))
    assert plan.decide(owners, blocking, [FOREGROUND_DEPENDENT]) == Delete(
        Propagation.FOREGROUND, unblock=True
    )
    assert plan.decide(owners, item(ref("o")), [FOREGROUND_DEPENDENT]) == Delete(
        Propagation.FOREGROUND
    )


@pytest.mark.parametrize(
    ("finalizer", "propagation"),
    [
        ("orphan", Propagation.ORPHAN),
        ("foregroundDeletion", Propagation.FOREGROUND),
        ("example.com/other", Propagation.BACKGROUND),
    ],
)
def test_finalizers_choose_the_policy(finalizer: str, propagation: Propagation) -> None:
    owners = [(ref("o"), Owner.DANGLING)]
    assert plan.decide(owners, item(finalizers=(finalizer,)), []) == Delete(propagation)


def test_only_dependents_with_the_flag_block() -> None:
    blocks, does_not = item(ref("x", block=True)), item(ref("x"))
    assert plan.blocking(item(), [blocks, does_not]) == [blocks]


def test_patches_take_off_owners_and_unblock_them() -> None:
    assert plan.drop_references_patch("u", ["o"]) == {
        "metadata": {"uid": "u", "ownerReferences": [{"$patch": "delete", "uid": "o"}]}
    }
    meta = {"uid": "u", "resourceVersion": "4", "ownerReferences": [{"uid": "o"}, {"uid": "p"}]}
    assert plan.drop_references_merge_patch(meta, ["o"]) == {
        "metadata": {"uid": "u", "resourceVersion": "4", "ownerReferences": [{"uid": "p"}]}
    }
    assert plan.unblock_patch(item(ref("a", block=True), ref("b"))) == {
        "metadata": {
            "uid": "x",
            "ownerReferences": [{"uid": "a", "blockOwnerDeletion": False}],
        }
    }


# --- the graph ---


def meta(
    uid: str,
    *owners: OwnerReference,
    namespace: str = "ns",
    finalizers: tuple[str, ...] = (),
    deleted: bool = False,
) -> ObjectMeta:
    return ObjectMeta(
        name=uid,
        uid=uid,
        namespace=namespace,
        owner_references=owners,
        finalizers=finalizers,
        deletion_timestamp=DELETED if deleted else None,
    )


def graph_of(*objects: ObjectMeta, resource: Resource = CONFIGMAPS) -> Graph:
    graph = Graph()
    for one in objects:
        graph.upsert(resource, one)
    return graph


def test_an_object_whose_owner_is_unknown_is_looked_at() -> None:
    assert Graph().upsert(CONFIGMAPS, meta("x", ref("o"))).delete == {"x"}
    assert graph_of(meta("o")).upsert(CONFIGMAPS, meta("x", ref("o"))) == Todo()


def test_dependents_of_what_is_gone_are_looked_at() -> None:
    graph = graph_of(meta("o"), meta("x", ref("o")), meta("y", ref("o")), meta("z"))
    assert graph.remove("o").delete == {"x", "y"}
    assert graph.remove("o") == Todo()


def test_foreground_deletion_asks_for_the_object_and_its_dependents_once() -> None:
    graph = graph_of(meta("o"), meta("x", ref("o")))
    going = meta("o", finalizers=("foregroundDeletion",), deleted=True)
    assert graph.upsert(CONFIGMAPS, going).delete == {"o", "x"}
    assert graph.upsert(CONFIGMAPS, going) == Todo()


def test_a_waiting_owner_is_looked_at_when_a_dependent_goes_or_lets_go() -> None:
    going = meta("o", finalizers=("foregroundDeletion",), deleted=True)
    graph = graph_of(going, meta("x", ref("o", block=True)), meta("y", ref("o", block=True)))
    assert "o" in graph.remove("x").delete
    assert "o" in graph.upsert(CONFIGMAPS, meta("y", ref("o"))).delete


def test_a_new_dependent_of_a_waiting_owner_is_looked_at() -> None:
    graph = graph_of(meta("o", finalizers=("foregroundDeletion",), deleted=True))
    assert graph.upsert(CONFIGMAPS, meta("x", ref("o"))).delete == {"x"}


def test_orphaning_is_asked_for_once() -> None:
    graph = graph_of(meta("o"), meta("x", ref("o")))
    going = meta("o", finalizers=("orphan",), deleted=True)
    assert graph.upsert(CONFIGMAPS, going).orphan == {"o"}
    assert graph.upsert(CONFIGMAPS, going) == Todo()


def test_released_dependents_are_forgotten() -> None:
    graph = graph_of(meta("o"), meta("x", ref("o")))
    graph.upsert(CONFIGMAPS, meta("x"))
    assert graph.dependents("o") == []
    assert graph.remove("o") == Todo()


def test_owner_of_another_namespace_is_reported_once() -> None:
    graph = graph_of(meta("o", namespace="other"))
    todo = graph.upsert(CONFIGMAPS, meta("x", ref("o")))
    assert todo.delete == {"x"}
    assert [(found.uid, owner.uid) for found, owner in todo.misplaced] == [("x", "o")]
    extended = meta("x", ref("o"), ref("p"))
    assert graph.upsert(CONFIGMAPS, extended).misplaced == []


def test_cluster_scoped_owners_may_own_namespaced_objects() -> None:
    graph = Graph()
    graph.upsert(NODES, meta("n", namespace=""))
    owner = OwnerReference(api_version="v1", kind="Node", name="n", uid="n")
    assert graph.upsert(PODS, meta("p", owner)) == Todo()


def test_an_owner_of_another_kind_or_name_is_looked_up() -> None:
    graph = graph_of(meta("o"), resource=DAEMONSETS)
    assert graph.upsert(CONFIGMAPS, meta("x", ref("o"))).delete == {"x"}


def test_other_versions_of_the_group_are_the_same_owner() -> None:
    graph = graph_of(meta("o"), resource=DAEMONSETS)
    old = OwnerReference(api_version="apps/v1beta2", kind="DaemonSet", name="o", uid="o")
    assert graph.upsert(PODS, meta("p", old)) == Todo()


def test_review_finds_all_unfinished_work() -> None:
    graph = graph_of(
        meta("fine"),
        meta("owned", ref("fine")),
        meta("dangling", ref("gone")),
        meta("orphaning", finalizers=("orphan",), deleted=True),
        meta("waiting", finalizers=("foregroundDeletion",), deleted=True),
        meta("blocked", ref("waiting")),
    )
    todo = graph.review()
    assert todo.delete == {"dangling", "waiting", "blocked"}
    assert todo.orphan == {"orphaning"}
