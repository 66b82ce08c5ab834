"""ControllerRevisions (spec section 9; TestControlledHistories and the integration tests)."""

import json

import msgspec
import pytest
from daemonset_world import (
    LABELS,
    World,
    daemonset,
    nodes,
    owner,
    pod,
    replaced,
    revision,
)

from kubeherd.cluster.api.objects import ControllerRevision, DaemonSetStatus
from kubeherd.controller.daemonset.model import HASH_LABEL
from kubeherd.controller.daemonset.template import Template
from kubeherd.controller.workload.revisions import revision_data


def test_data_is_the_template_as_a_canonical_strategic_merge_patch() -> None:
    template = {
        "spec": {"volumes": [], "containers": [{"name": "c", "image": "i"}]},
        "metadata": {"labels": {"b": "2", "a": "1"}, "creationTimestamp": None},
    }
    assert json.dumps(revision_data(template), separators=(",", ":")) == (
        '{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"1","b":"2"}},'
        '"spec":{"containers":[{"image":"i","name":"c"}],"volumes":[]}}}}'
    )


def test_the_first_revision_holds_the_template() -> None:
    annotations = {"kubernetes.io/change-cause": "first", "x": "y"}
    ds = daemonset(annotations=annotations)
    created = World(ds, []).plan().create_revision
    assert created is not None
    metadata = created["metadata"]
    hash_ = metadata["labels"][HASH_LABEL]
    assert metadata["name"] == f"ds-{hash_}"
    assert metadata["labels"] == {**LABELS, HASH_LABEL: hash_}
    assert metadata["annotations"] == annotations
    assert metadata["ownerReferences"][0]["uid"] == ds.metadata.uid
    assert created["revision"] == 1
    assert created["data"] == Template(ds).data


def test_an_update_makes_the_next_revision_and_a_rollback_reuses_the_old_one() -> None:
    world = World(daemonset(), nodes(1))
    world.settle()
    first = world.hash
    world.update("img:2")
    world.settle()
    assert [r.revision for r in world.revisions] == [1, 2]
    world.update("img:1")
    chosen = world.plan()
    assert chosen.create_revision is None
    assert chosen.hash == first
    (patch,) = chosen.patch_revisions
    assert (patch.revision.metadata.labels[HASH_LABEL], patch.number) == (first, 3)
    world.settle()
    assert sorted(r.revision for r in world.revisions) == [2, 3]


def test_a_rollback_in_the_middle_spares_pods_of_that_revision() -> None:
    world = World(daemonset(), nodes(2))
    world.settle()
    world.update("img:2")
    assert world.sync() == (0, 1)
    assert world.sync() == (1, 0)
    (new,) = world.by_hash(world.hash)
    world.update("img:1")
    chosen = world.plan()
    assert chosen.status is not None
    assert chosen.status.updated == 1
    assert [p.metadata.name for p in chosen.update_deletes] == [new.metadata.name]


def test_duplicates_are_reduced_to_the_highest_and_pods_relabelled() -> None:
    ds = daemonset()
    world = World(ds, nodes(2))
    world.revisions = [revision(ds, 1, hash_="a"), revision(ds, 3, hash_="c")]
    world.revisions.append(revision(ds, 2, hash_="b"))
    world.pods["p"] = pod("p", "n0", hash_="a", ready=True)
    world.pods["q"] = pod("q", "n1", hash_="c", ready=True)
    chosen = world.plan()
    assert chosen.hash == "c"
    assert [(r.pod.metadata.name, r.hash) for r in chosen.relabel_pods] == [("p", "c")]
    assert {r.metadata.name for r in chosen.delete_duplicates} == {"ds-a", "ds-b"}
    assert not chosen.deletes
    assert not chosen.update_deletes
    world.settle()
    assert [r.metadata.name for r in world.revisions] == ["ds-c"]
    assert set(world.pods) == {"p", "q"}, "a relabelled pod is an updated pod"


def test_of_equal_numbers_the_last_one_is_kept() -> None:
    ds = daemonset()
    world = World(ds, [])
    world.revisions = [revision(ds, 1, hash_="a"), revision(ds, 1, hash_="b")]
    assert world.plan().hash == "b"


def test_a_revision_without_hash_label_gets_its_name() -> None:
    ds = daemonset()
    bare = revision(ds, 1, name="by-hand")
    bare = msgspec.structs.replace(
        bare, metadata=msgspec.structs.replace(bare.metadata, labels=dict(LABELS))
    )
    world = World(ds, [], revisions=[bare])
    chosen = world.plan()
    assert chosen.hash == "by-hand"
    assert [(p.hash, p.number) for p in chosen.patch_revisions] == [("by-hand", None)]


def test_the_collision_count_changes_name_and_hash() -> None:
    plain = World(daemonset(), []).plan().create_revision
    bumped = World(daemonset(status=DaemonSetStatus(collision_count=1)), []).plan().create_revision
    assert plain is not None
    assert bumped is not None
    assert plain["metadata"]["name"] != bumped["metadata"]["name"]
    assert plain["data"] == bumped["data"]


@pytest.mark.parametrize(("limit", "kept"), [(None, 11), (2, 3), (0, 1)])
def test_the_history_limit_counts_old_revisions(limit: int | None, kept: int) -> None:
    world = World(daemonset(history_limit=limit), nodes(1))
    world.settle()
    for number in range(2, 15):
        world.update(f"img:{number}")
        world.settle()
    numbers = sorted(r.revision for r in world.revisions)
    assert numbers == list(range(15 - kept, 15))


def test_revisions_that_pods_carry_survive() -> None:
    ds = daemonset(history_limit=0)
    world = World(ds, nodes(2))
    world.revisions = [
        revision(ds, 1, image="img:a", hash_="live"),
        revision(ds, 2, image="img:b", hash_="dead"),
        revision(ds, 3, hash_="now"),
    ]
    world.pods["p"] = pod("p", "n0", hash_="live", deleting=True, phase="Failed")
    assert [r.metadata.name for r in world.plan().delete_revisions] == ["ds-dead"]


def orphaned(found: ControllerRevision, **changes: object) -> ControllerRevision:
    metadata = msgspec.structs.replace(found.metadata, owner_references=[], **changes)
    return msgspec.structs.replace(found, metadata=metadata)


def test_owned_and_matching_orphan_revisions_are_claimed() -> None:
    ds = daemonset()
    mine = revision(ds, 1, hash_="mine")
    orphan = orphaned(revision(ds, 2, image="img:x", hash_="orphan"))
    elsewhere = orphaned(revision(ds, 3, image="img:y", hash_="else"), namespace="other")
    other_labels = orphaned(revision(ds, 4, image="img:z", hash_="x"), labels={"app": "x"})
    foreign = revision(ds, 5, image="img:w", hash_="foreign")
    references = [owner("someone")]
    foreign = msgspec.structs.replace(
        foreign, metadata=msgspec.structs.replace(foreign.metadata, owner_references=references)
    )
    world = World(ds, [], revisions=[mine, orphan, elsewhere, other_labels, foreign])
    chosen = world.plan()
    assert [r.metadata.name for r in chosen.adopt_revisions] == ["ds-orphan"]
    assert [(p.revision.metadata.name, p.number) for p in chosen.patch_revisions] == [
        ("ds-mine", 3)
    ]


def test_an_owned_revision_that_no_longer_matches_is_released() -> None:
    ds = daemonset()
    lost = revision(ds, 1, hash_="lost")
    lost = msgspec.structs.replace(
        lost, metadata=msgspec.structs.replace(lost.metadata, labels={"app": "x"})
    )
    chosen = World(ds, [], revisions=[lost]).plan()
    assert [r.metadata.name for r in chosen.release_revisions] == ["ds-lost"]
    assert chosen.create_revision is not None


def test_a_new_image_changes_the_data() -> None:
    ds = daemonset()
    assert Template(ds).data != Template(replaced(ds, image="img:2")).data
