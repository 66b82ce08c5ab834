"""What upstream's progress_test.go pins: the conditions of a rollout and when it is looked at."""

import msgspec
import pytest
from deployment_world import at, deployment, moment, replica_set

from kubeherd.cluster.api.objects import Condition
from kubeherd.controller.deployment import conditions, limits, progress
from kubeherd.controller.deployment.conditions import Reason, Status, Type
from kubeherd.controller.deployment.replicasets import Divided
from kubeherd.controller.workload.apps import (
    Deployment,
    DeploymentCondition,
    DeploymentStatus,
    ReplicaSet,
    ReplicaSetStatus,
)

TIMED_OUT = DeploymentCondition(type="Progressing", status="False", reason=Reason.TIMED_OUT)
COMPLETE = progress.progressing(Reason.COMPLETE, "", at(0))
UPDATED = progress.progressing(Reason.UPDATED, "", at(0))


def current(
    deadline_s: int | None,
    numbers: tuple[int, int, int, int],
    *known: DeploymentCondition,
) -> Deployment:
    """Desired, there, updated, available."""
    replicas, there, updated, available = numbers
    status = DeploymentStatus(
        observed_generation=1,
        replicas=there,
        updated_replicas=updated,
        available_replicas=available,
        conditions=list(known),
    )
    return deployment(
        replicas, strategy="Recreate", status=status, progress_deadline_seconds=deadline_s
    )


def of(name: str, replicas: int, there: int, available: int) -> ReplicaSet:
    status = ReplicaSetStatus(replicas=there, available_replicas=available)
    return replica_set(name, replicas, status=status)


@pytest.mark.parametrize(
    ("given", "after_s", "expected_s"),
    [
        (current(None, (4, 3, 3, 2), UPDATED), 0, None),
        (current(limits.NO_LIMIT, (4, 3, 3, 2), UPDATED), 0, None),
        (current(60, (4, 3, 3, 2)), 0, None),
        (current(60, (3, 3, 3, 3), UPDATED), 0, None),
        (current(60, (3, 3, 3, 0), TIMED_OUT), 0, None),
        (current(60, (3, 3, 3, 1), UPDATED), 30, 31),
        (current(60, (3, 3, 3, 1), UPDATED), 59, 2),
        (current(60, (3, 3, 3, 1), UPDATED), 59.5, 1.5),
        (current(60, (3, 3, 3, 1), UPDATED), 60, 1),
        (current(60, (3, 3, 3, 1), UPDATED), 61, 1),
        (current(60, (3, 3, 3, 1), UPDATED), 120, 1),
    ],
)
def test_requeue_stuck_deployment(
    given: Deployment, after_s: float, expected_s: float | None
) -> None:
    assert progress.check_after_s(given, given.status, moment(after_s)) == expected_s


@pytest.mark.parametrize(
    ("given", "old", "new", "expected"),
    [
        # no deadline: no condition
        (current(None, (3, 2, 2, 2), UPDATED), of("bar", 0, 1, 1), of("foo", 3, 2, 2), None),
        # nothing is estimated where one ReplicaSet has it all
        (current(60, (3, 3, 3, 3), COMPLETE), None, of("bar", 3, 3, 3),
         ("True", Reason.COMPLETE, at(0), at(0))),
        # progress (an old pod less than there was)
        (current(60, (3, 2, 2, 2), UPDATED), of("bar", 0, 1, 1), of("foo", 3, 2, 2),
         ("True", Reason.UPDATED, at(60), at(0))),
        (current(60, (3, 2, 2, 2), TIMED_OUT), of("bar", 0, 1, 1), of("foo", 3, 2, 2),
         ("True", Reason.UPDATED, at(60), at(60))),
        (current(60, (3, 2, 2, 2)), of("bar", 0, 1, 1), of("foo", 3, 2, 2),
         ("True", Reason.UPDATED, at(60), at(60))),
        # complete
        (current(60, (3, 3, 3, 3), UPDATED), None, of("foo", 3, 3, 3),
         ("True", Reason.COMPLETE, at(60), at(0))),
        (current(60, (3, 3, 3, 3), TIMED_OUT), None, of("foo", 3, 3, 3),
         ("True", Reason.COMPLETE, at(60), at(60))),
        (current(60, (3, 3, 3, 3)), None, of("foo", 3, 3, 3),
         ("True", Reason.COMPLETE, at(60), at(60))),
        (current(60, (0, 3, 3, 3), UPDATED), of("foo", 0, 0, 0), None,
         ("True", Reason.COMPLETE, at(60), at(0))),
        # late
        (current(60, (3, 2, 2, 2), UPDATED), None, of("foo", 3, 2, 2),
         ("False", Reason.TIMED_OUT, at(60), at(60))),
        (current(60, (3, 2, 2, 2), TIMED_OUT), None, of("foo", 3, 2, 2),
         ("False", Reason.TIMED_OUT, None, None)),
    ],
)  # fmt: skip
def test_sync_rollout_status(
    given: Deployment,
    old: ReplicaSet | None,
    new: ReplicaSet | None,
    expected: tuple[str, str, str | None, str | None] | None,
) -> None:
    sets = Divided(new, [] if old is None else [old])
    found = progress.rollout_status(given, sets, moment(3600))
    known = conditions.find(found.conditions, Type.PROGRESSING)
    if expected is None:
        assert known is None
        return
    assert known is not None
    assert expected == (
        known.status,
        known.reason,
        known.last_update_time,
        known.last_transition_time,
    )


@pytest.mark.parametrize(
    ("given", "new", "message"),
    [
        (current(60, (3, 3, 3, 3)), of("foo", 3, 3, 3),
         'ReplicaSet "foo" has successfully progressed.'),
        (current(60, (0, 3, 3, 3)), None, 'Deployment "web" has successfully progressed.'),
        (current(60, (3, 2, 1, 1)), of("foo", 3, 2, 2), 'ReplicaSet "foo" is progressing.'),
        (current(60, (3, 2, 2, 2), UPDATED), of("foo", 3, 2, 2),
         'ReplicaSet "foo" has timed out progressing.'),
    ],
)  # fmt: skip
def test_messages(given: Deployment, new: ReplicaSet | None, message: str) -> None:
    found = progress.rollout_status(given, Divided(new), moment(3600))
    known = conditions.find(found.conditions, Type.PROGRESSING)
    assert known is not None
    assert known.message == message


def test_what_keeps_a_replica_set_from_its_pods_is_shown_until_it_is_over() -> None:
    failure = Condition(
        type="ReplicaFailure",
        status="True",
        reason="FailedCreate",
        message="quota",
        last_transition_time=at(3),
    )
    bad = msgspec.structs.replace(of("bad", 3, 0, 0), status=ReplicaSetStatus(conditions=[failure]))
    given = current(None, (3, 2, 2, 2))
    found = progress.rollout_status(given, Divided(of("foo", 3, 0, 0), [bad]), moment())
    shown = conditions.find(found.conditions, Type.REPLICA_FAILURE)
    assert shown is not None
    assert (shown.reason, shown.message, shown.status) == ("FailedCreate", "quota", "True")
    assert shown.last_update_time == shown.last_transition_time == at(3)
    given = msgspec.structs.replace(given, status=found)
    found = progress.rollout_status(given, Divided(of("foo", 3, 0, 0)), moment())
    assert conditions.find(found.conditions, Type.REPLICA_FAILURE) is None


def test_a_pause_is_told_and_its_end() -> None:
    given = current(60, (3, 3, 3, 3), COMPLETE)
    paused = msgspec.structs.replace(given, spec=msgspec.structs.replace(given.spec, paused=True))
    (found,) = progress.with_pause(paused, at(9))
    assert (found.status, found.reason, found.message) == (
        Status.UNKNOWN,
        Reason.PAUSED,
        "Deployment is paused",
    )
    status = msgspec.structs.replace(given.status, conditions=[found])
    assert progress.with_pause(msgspec.structs.replace(paused, status=status), at(10)) == [found]
    (found,) = progress.with_pause(msgspec.structs.replace(given, status=status), at(10))
    assert (found.status, found.reason, found.message) == (
        Status.UNKNOWN,
        Reason.RESUMED,
        "Deployment is resumed",
    )


@pytest.mark.parametrize(
    "given", [current(None, (3, 3, 3, 3), COMPLETE), current(60, (3, 3, 3, 3), TIMED_OUT)]
)
def test_a_pause_is_not_told_without_deadline_or_after_it(given: Deployment) -> None:
    paused = msgspec.structs.replace(given, spec=msgspec.structs.replace(given.spec, paused=True))
    assert progress.with_pause(paused, at(9)) == given.status.conditions
