"""The plan of a sync: which step is taken, and everything that is written."""

from typing import Any

import msgspec
import pytest
from deployment_world import (
    LABELS,
    at,
    deployment,
    moment,
    replica_set,
    running,
    sized,
    template,
)

from kubeherd.cluster.api.objects import LabelSelector, Pod
from kubeherd.controller.deployment import annotations, conditions
from kubeherd.controller.deployment.annotations import REVISION, ROLLBACK_TO
from kubeherd.controller.deployment.conditions import Type
from kubeherd.controller.deployment.execute import patch_of, status_tree
from kubeherd.controller.deployment.model import Observed, Plan
from kubeherd.controller.deployment.plan import SELECTING_ALL, UnknownStrategy, plan
from kubeherd.controller.workload.apps import Deployment, DeploymentStatus, ReplicaSet
from kubeherd.controller.workload.gohash import template_hash

HASH = "pod-template-hash"


def sync(given: Deployment, *sets: ReplicaSet, pods: dict[str, list[Pod]] | None = None) -> Plan:
    return plan(Observed(given, sets, pods or {}), moment())


def messages(found: Plan) -> list[str]:
    created = [] if found.create is None else list(found.create.events)
    changed = [event for change in found.changes for event in change.events]
    return [event.message for event in (*found.events, *created, *changed)]


def sizes(found: Plan) -> dict[str, int | None]:
    return {change.after.metadata.name: change.after.spec.replicas for change in found.changes}


def with_metadata(given: Deployment, **metadata: object) -> Deployment:
    changed = msgspec.structs.replace(given.metadata, **metadata)
    return msgspec.structs.replace(given, metadata=changed)


def current(name: str, replicas: int, of: Deployment, **rest: Any) -> ReplicaSet:
    """A ReplicaSet whose annotations are up to date: its revision is that of its name."""
    return sized(replica_set(name, replicas, revision=name[1:], **rest), of)


def test_the_first_replica_set() -> None:
    given = deployment(
        3, surge=1, annotations={"team": "blue"}, min_ready_seconds=5, progress_deadline_seconds=60
    )
    found = sync(given)
    assert found.create is not None
    hash_ = template_hash(template(), None)
    tree = found.create.tree
    assert tree["apiVersion"] == "apps/v1"
    assert tree["kind"] == "ReplicaSet"
    assert tree["metadata"]["name"] == f"web-{hash_}"
    assert tree["metadata"]["labels"] == {**LABELS, HASH: hash_}
    assert tree["metadata"]["annotations"] == {
        "team": "blue",
        REVISION: "1",
        annotations.DESIRED_REPLICAS: "3",
        annotations.MAX_REPLICAS: "4",
    }
    (owner,) = tree["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Deployment", "uid-web", True)
    assert tree["spec"]["replicas"] == 3
    assert tree["spec"]["minReadySeconds"] == 5
    assert tree["spec"]["selector"] == {"matchLabels": {**LABELS, HASH: hash_}}
    assert tree["spec"]["template"]["metadata"]["labels"] == {**LABELS, HASH: hash_}
    assert tree["spec"]["template"]["spec"] == template()["spec"]
    assert messages(found) == [f"Scaled up replica set web-{hash_} from 0 to 3"]
    assert found.revision == "1"
    assert found.status is not None
    assert found.status.observed_generation == 1
    assert found.status.unavailable_replicas == 3
    progressing = conditions.find(found.status.conditions, Type.PROGRESSING)
    available = conditions.find(found.status.conditions, Type.AVAILABLE)
    assert progressing is not None
    assert available is not None
    assert progressing.reason == "NewReplicaSetCreated"
    assert progressing.message == f'Created new replica set "web-{hash_}"'
    assert (available.status, available.reason, available.message) == (
        "False",
        "MinimumReplicasUnavailable",
        "Deployment does not have minimum availability.",
    )
    assert found.requeue_after_s is not None


def test_without_a_deadline_there_is_no_condition_of_progress() -> None:
    found = sync(deployment(3))
    assert found.status is not None
    assert conditions.find(found.status.conditions, Type.PROGRESSING) is None
    assert found.requeue_after_s is None


def test_a_collision_gives_another_name() -> None:
    counted = DeploymentStatus(collision_count=1)
    first, second = sync(deployment()), sync(deployment(status=counted))
    assert first.create is not None
    assert second.create is not None
    assert first.create.name != second.create.name
    assert second.create.name == f"web-{template_hash(template(), 1)}"


def test_nothing_is_done_twice() -> None:
    """A rollout that is complete and seen: no write at all."""
    given = deployment(3, progress_deadline_seconds=60)
    new = running(current("v1", 3, given))
    done = sync(given, new)
    assert done.status is not None
    assert done.revision == "1"
    seen = with_metadata(
        msgspec.structs.replace(given, status=done.status), annotations={REVISION: "1"}
    )
    found = sync(seen, new)
    assert not found.writes
    assert found.requeue_after_s is None


def test_found_new_replica_set() -> None:
    given = deployment(3, progress_deadline_seconds=600)
    found = sync(given, current("v1", 3, given))
    assert found.status is not None
    progressing = conditions.find(found.status.conditions, Type.PROGRESSING)
    assert progressing is not None
    assert progressing.reason == "FoundNewReplicaSet"
    assert progressing.message == 'Found new replica set "v1"'
    assert found.revision == "1"


def test_a_rolling_update_goes_up_before_it_goes_down() -> None:
    given = deployment(10, surge=2, unavailable=2, image="web:2")
    old = running(current("v1", 10, given))
    found = sync(given, old)
    assert found.create is not None
    assert found.create.tree["spec"]["replicas"] == 2
    assert found.create.tree["metadata"]["annotations"][REVISION] == "2"
    assert sizes(found) == {"v1": 8}
    new = current("v2", 2, given, image="web:2", age=1)
    found = sync(given, running(current("v1", 8, given)), new)
    assert sizes(found) == {"v2": 4}
    assert messages(found) == ["Scaled up replica set v2 from 2 to 4"]


def test_one_that_is_away_and_one_that_is_not_are_two_events_and_one_write() -> None:
    given = deployment(10, unavailable=2, image="web:2")
    new = current("v2", 0, given, image="web:2", age=1)
    found = sync(given, running(current("v1", 10, given), available=9), new)
    assert sizes(found) == {"v1": 8}
    assert messages(found) == [
        "Scaled down replica set v1 from 10 to 9",
        "Scaled down replica set v1 from 9 to 8",
    ]


def test_history_is_cleaned_up_when_the_rollout_is_complete() -> None:
    given = deployment(1, image="web:2", revision_history_limit=0)
    sets = [
        msgspec.structs.replace(
            running(current("v1", 0, given)), status=running(replica_set("v1", 0)).status
        ),
        running(current("v2", 1, given, image="web:2", age=1)),
    ]
    before = sync(given, *sets)
    assert before.deletes == []
    assert before.status is not None
    after = sync(msgspec.structs.replace(given, status=before.status), *sets)
    assert [one.metadata.name for one in after.deletes] == ["v1"]


def test_a_rolled_back_replica_set_keeps_its_revisions() -> None:
    given = deployment(3, image="web:1")
    first = running(current("v1", 0, given))
    second = running(current("v2", 3, given, image="web:2", age=1))
    found = sync(given, first, second)
    (change,) = [one for one in found.changes if one.before.metadata.name == "v1"]
    assert change.after.metadata.annotations[REVISION] == "3"
    assert change.after.metadata.annotations[annotations.REVISION_HISTORY] == "1"
    assert found.revision == "3"


def test_min_ready_seconds_reach_the_new_replica_set() -> None:
    given = deployment(3, min_ready_seconds=7)
    found = sync(given, running(current("v1", 3, given)))
    (change,) = found.changes
    assert patch_of(change) == {
        "metadata": {"resourceVersion": "1"},
        "spec": {"minReadySeconds": 7},
    }
    assert change.events == ()


def test_a_patch_has_what_differs_and_the_version_that_was_seen() -> None:
    given = deployment(5)
    found = sync(given, running(current("v1", 3, deployment(3))))
    (change,) = found.changes
    assert patch_of(change) == {
        "metadata": {
            "resourceVersion": "1",
            "annotations": {annotations.DESIRED_REPLICAS: "5", annotations.MAX_REPLICAS: "5"},
        },
        "spec": {"replicas": 5},
    }


def test_a_scaling_event_in_a_rollout_is_shared() -> None:
    given = deployment(10, image="web:2")
    was = deployment(5)
    found = sync(
        given,
        running(current("v1", 3, was)),
        running(current("v2", 2, was, image="web:2", age=1)),
    )
    assert sizes(found) == {"v1": 6, "v2": 4}
    assert all(
        change.after.metadata.annotations[annotations.DESIRED_REPLICAS] == "10"
        for change in found.changes
    )
    assert found.create is None


def test_a_paused_deployment_is_scaled_but_not_rolled_out() -> None:
    given = deployment(5, image="web:2", paused=True, progress_deadline_seconds=60)
    found = sync(given, running(current("v1", 3, deployment(3))))
    assert found.create is None
    assert sizes(found) == {"v1": 5}
    assert found.status is not None
    progressing = conditions.find(found.status.conditions, Type.PROGRESSING)
    assert progressing is not None
    assert progressing.reason == "DeploymentPaused"
    assert sync(deployment(5, paused=True)).create is None


def test_a_deployment_that_is_being_deleted_only_gets_its_status() -> None:
    given = with_metadata(deployment(5, image="web:2"), deletion_timestamp=at(1))
    old = running(current("v1", 3, deployment(3)))
    found = sync(given, old, replica_set("stray", 1, owned=False))
    assert found.status is not None
    assert found.status.replicas == 3
    assert not msgspec.structs.replace(found, status=None).writes


def test_selecting_everything_is_refused() -> None:
    given = deployment(3, selector=LabelSelector())
    found = sync(given)
    assert [event.message for event in found.events] == [SELECTING_ALL]
    assert found.create is None
    assert found.status == DeploymentStatus(observed_generation=1)
    again = sync(msgspec.structs.replace(given, status=DeploymentStatus(observed_generation=1)))
    assert again.status is None


def test_adoption_and_release() -> None:
    given = deployment(3)
    orphan = replica_set("orphan", 1, owned=False)
    stray = replica_set("stray", 1)
    metadata = msgspec.structs.replace(stray.metadata, labels={"app": "other"})
    stray = msgspec.structs.replace(stray, metadata=metadata)
    found = sync(given, orphan, stray)
    assert list(found.adopt) == [orphan]
    assert list(found.release) == [stray]


def test_recreate_waits_until_the_old_pods_are_gone() -> None:
    given = deployment(3, strategy="Recreate", image="web:2")
    old = running(current("v1", 3, given))
    down = sync(given, old)
    assert (down.create, sizes(down)) == (None, {"v1": 0})
    empty = current("v1", 0, given)
    waiting = sync(given, empty, pods={"uid-v1": [Pod()]})
    assert (waiting.create, sizes(waiting)) == (None, {})
    up = sync(given, empty)
    assert up.create is not None
    assert up.create.tree["spec"]["replicas"] == 3
    scaled = sync(given, empty, current("v2", 1, given, image="web:2", age=1))
    assert sizes(scaled) == {"v2": 3}


def test_an_unknown_strategy_is_an_error() -> None:
    with pytest.raises(UnknownStrategy):
        sync(deployment(3, strategy="Canary"))


@pytest.mark.parametrize(
    ("order", "image", "reason", "message", "to"),
    [
        ("1", "web:2", "DeploymentRollback", 'Rolled back deployment "web" to revision 1', "v1"),
        ("0", "web:2", "DeploymentRollback", 'Rolled back deployment "web" to revision 1', "v1"),
        ("7", "web:2", "DeploymentRollbackRevisionNotFound",
         "Unable to find the revision to rollback to.", None),
        ("2", "web:2", "DeploymentRollbackTemplateUnchanged",
         'The rollback revision contains the same template as current deployment "web"', None),
    ],
)  # fmt: skip
def test_rollback(order: str, image: str, reason: str, message: str, to: str | None) -> None:
    given = deployment(3, image=image, annotations={ROLLBACK_TO: order})
    first = running(current("v1", 0, given))
    second = running(current("v2", 3, given, image="web:2", age=1))
    found = sync(given, first, second)
    assert found.rollback is not None
    assert (found.rollback.to.metadata.name if found.rollback.to else None) == to
    (event,) = found.rollback.events
    assert (event.reason, event.message) == (reason, message)


def test_there_is_no_last_revision_to_go_back_to() -> None:
    given = deployment(3, annotations={ROLLBACK_TO: "0"})
    found = sync(given, running(current("v1", 3, given)))
    assert found.rollback is not None
    assert [event.message for event in found.rollback.events] == ["Unable to find last revision."]


@pytest.mark.parametrize("text", ["", "soon"])
def test_an_order_that_is_no_number_is_none(text: str) -> None:
    given = deployment(3, annotations={ROLLBACK_TO: text})
    assert sync(given, running(current("v1", 3, given))).rollback is None


def test_the_status_that_is_sent_keeps_metadata() -> None:
    given = with_metadata(deployment(3), finalizers=["keep.me/it"], annotations={"a": "b"})
    tree = status_tree(given, DeploymentStatus(replicas=1, terminating_replicas=0), "4")
    assert tree["metadata"]["finalizers"] == ["keep.me/it"]
    assert tree["metadata"]["annotations"] == {"a": "b", REVISION: "4"}
    assert tree["metadata"]["resourceVersion"] == "1"
    assert tree["status"] == {"replicas": 1, "terminatingReplicas": 0}
    assert "spec" not in tree
