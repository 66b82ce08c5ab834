"""Revisions of a StatefulSet: current, update, roll back, clean up (statefulset-controller 5)."""

import msgspec
import pytest
from statefulset_world import World, pod, replaced, revision, statefulset, template

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import ControllerRevision
from kubeherd.controller.statefulset import history as histories
from kubeherd.controller.statefulset.model import History
from kubeherd.controller.workload.apps import StatefulSet, StatefulSetStatus
from kubeherd.controller.workload.gohash import data_hash
from kubeherd.controller.workload.revisions import revision_data


def build(
    of: StatefulSet, revisions: list[ControllerRevision] | None = None, collisions: int = 0
) -> History:
    return histories.build(
        of,
        revision_data(of.spec.template),
        labels.from_selector(of.spec.selector),
        revisions or [],
        collisions,
    )


def at(of: StatefulSet, current: str) -> StatefulSet:
    return msgspec.structs.replace(of, status=StatefulSetStatus(current_revision=current))


def test_the_first_revision_is_current_and_update() -> None:
    """TestStatefulSetControl_getSetRevisions: creates initial revision."""
    history = build(statefulset(image="img:1"))
    assert history.create is not None
    metadata = history.create["metadata"]
    assert history.current == history.update
    assert history.update.name == metadata["name"]
    assert history.update.template == template()
    assert history.create["revision"] == 1
    assert metadata["labels"] == {
        "app": "a",
        "controller.kubernetes.io/hash": metadata["name"].removeprefix("web-"),
    }
    assert metadata["ownerReferences"][0]["kind"] == "StatefulSet"


def test_a_revision_has_the_annotations_of_its_set() -> None:
    of = statefulset()
    metadata = msgspec.structs.replace(of.metadata, annotations={"kubernetes.io/change-cause": "x"})
    create = build(msgspec.structs.replace(of, metadata=metadata)).create
    assert create is not None
    assert create["metadata"]["annotations"] == {"kubernetes.io/change-cause": "x"}


def test_a_changed_template_makes_a_revision() -> None:
    """... creates revision on update."""
    of = statefulset()
    history = build(at(replaced(of, image="img:2"), "web-r1"), [revision(of, 1)])
    assert history.create is not None
    assert history.create["revision"] == 2
    assert history.current.name == "web-r1"
    assert history.current.template == template()
    assert history.update.template == template("img:2")


def test_the_same_template_makes_none() -> None:
    """... must not recreate a new revision of same set."""
    of = statefulset()
    history = build(of, [revision(of, 1, image="img:0"), revision(of, 2)])
    assert (history.create, history.renumber) == (None, None)
    assert history.update.name == "web-r2"
    assert history.current == history.update, "an unknown current revision is the update revision"


def test_an_earlier_template_raises_its_revision() -> None:
    """... must rollback to a previous revision."""
    of = statefulset()
    history = build(at(of, "web-r2"), [revision(of, 1), revision(of, 2, image="img:2")])
    assert history.create is None
    assert history.renumber is not None
    assert history.renumber.revision.metadata.name == "web-r1"
    assert history.renumber.number == 3
    assert (history.current.name, history.update.name) == ("web-r2", "web-r1")


def test_of_equal_revisions_the_newest_counts() -> None:
    of = statefulset()
    newest = [revision(of, 1), revision(of, 2)]
    assert build(of, newest).update.name == "web-r2"
    assert build(of, newest).renumber is None
    behind = [revision(of, 1), revision(of, 2), revision(of, 3, image="img:3")]
    assert build(of, behind).update.name == "web-r2"


def test_orphans_that_match_are_adopted_and_others_left_alone() -> None:
    """TestAdoptOrphanRevisions."""
    of = statefulset()

    def owned_by(found: ControllerRevision, *uids: str) -> ControllerRevision:
        references = [
            msgspec.structs.replace(found.metadata.owner_references[0], uid=uid) for uid in uids
        ]
        metadata = msgspec.structs.replace(found.metadata, owner_references=references)
        return msgspec.structs.replace(found, metadata=metadata)

    orphan = owned_by(revision(of, 1))
    foreign = owned_by(revision(of, 2), "somebody")
    history = build(of, [orphan, foreign])
    assert history.adopt == [orphan]
    assert history.update.name == "web-r1"
    assert history.renumber is None


def test_a_taken_name_leads_to_another() -> None:
    names = {build(statefulset(), collisions=count).update.name for count in range(5)}
    assert len(names) == 5
    assert build(statefulset(), collisions=4).collision_count == 4


CONTAINER: JsonObject = {
    "image": "test",
    "imagePullPolicy": "Always",
    "name": "test",
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
UPSTREAM: JsonObject = {
    "metadata": {"annotations": {"test": "value"}, "labels": {"app": "foo"}},
    "spec": {
        "containers": [CONTAINER],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    },
}


def test_the_hash_is_that_of_kubernetes() -> None:
    """TestStatefulSetCompatibility: what Kubernetes 1.33 and 1.34 made of one template."""
    data = revision_data(UPSTREAM)
    assert data_hash(data, 0) == "776999688b"
    metadata = {**UPSTREAM["metadata"], "creationTimestamp": None}
    of_133 = {"spec": {"template": {**data["spec"]["template"], "metadata": metadata}}}
    assert data_hash(of_133, 0) == "c77f6d978"
    assert data_hash(data, 1) != data_hash(data, 0)


def test_what_go_escapes_is_escaped_before_it_is_hashed() -> None:
    def hashed(text: str) -> str:
        return data_hash({"a": text}, 0)

    assert len({hashed(text) for text in ("<", ">", "&", "\u2028", "\u2029", "x", "é")}) == 7
    value = 2166136261
    for byte in b'{"a":"\\u003c\xc3\xa9"}0':
        value = (value * 16777619) & 0xFFFFFFFF ^ byte
    assert hashed("<é") == str(value).translate(str.maketrans("0123456789", "456789bcdf"))


@pytest.mark.parametrize("extra", [{"creationTimestamp": None}, {}])
def test_a_revision_that_an_earlier_kubernetes_wrote_is_the_present_one(extra: JsonObject) -> None:
    """TestStatefulSetCompatibility: fields that had no default then, a null time."""
    of = statefulset(template={**UPSTREAM, "metadata": {"labels": {"app": "a"}}})
    old = {"metadata": {"labels": {"app": "a"}, **extra}, "spec": dict(UPSTREAM["spec"])}
    del old["spec"]["schedulerName"]
    data = {"spec": {"template": {"$patch": "replace", **old}}}
    found = msgspec.structs.replace(revision(of, 1), data=data)
    history = build(of, [found])
    assert (history.create, history.renumber) == (None, None)
    assert history.update.name == "web-r1"
    other = msgspec.structs.replace(revision(of, 2, image="img:2"))
    assert build(of, [found, other]).create is not None, "only the newest is looked at so closely"


@pytest.mark.parametrize(("limit", "kept"), [(None, 10), (0, 0), (-1, 12), (2, 2), (20, 12)])
def test_history_is_limited(limit: int | None, kept: int) -> None:
    """TestStatefulSetHonorRevisionHistoryLimit, TestStatefulSetControlLimitsHistory."""
    of = statefulset(revision_history_limit=limit)
    revisions = [revision(of, number, image=f"img:{number + 10}") for number in range(1, 13)]
    history = build(at(of, "web-r20"), [*revisions, revision(of, 20), revision(of, 21)])
    surplus = histories.surplus(of, history, [])
    assert len(revisions) - len(surplus) == kept
    assert surplus == revisions[: len(surplus)], "the lowest go first"


def test_revisions_of_pods_stay() -> None:
    of = statefulset(revision_history_limit=0)
    revisions = [revision(of, number, image=f"img:{number + 10}") for number in (1, 2, 3)]
    history = build(of, revisions)
    surplus = histories.surplus(of, history, [pod("web-0", revision="web-r2")])
    assert [one.metadata.name for one in surplus] == ["web-r1", "web-r3"]


def test_a_template_is_restored_by_its_revision() -> None:
    """TestCreateApplyRevision, TestRollingUpdateApplyRevision: pods below the partition are made
    from the revision, not from the present template."""
    world = World(statefulset(2))
    world.settle()
    world.update(image="img:2")
    before = world.history
    assert before.current.template == template("img:1")
    assert before.update.template == template("img:2")
