"""What upstream's deployment_util_test.go pins: fenceposts, annotations, templates, conditions."""

import msgspec
import pytest
from deployment_world import at, deployment, moment, replica_set

from kubeherd.cluster.api.intstr import InvalidNumber
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.controller.deployment import annotations, conditions, limits, progress, status
from kubeherd.controller.deployment.annotations import REVISION, REVISION_HISTORY
from kubeherd.controller.deployment.conditions import Reason, Status, Type
from kubeherd.controller.deployment.replicasets import divide, terminating, total, wanted
from kubeherd.controller.deployment.scaling import fraction_of, is_saturated
from kubeherd.controller.deployment.template import replica_set_name, same_template
from kubeherd.controller.workload.apps import DeploymentStatus, ReplicaSetStatus


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        ("0%", "0%", 0, (0, 1)),
        ("39%", "39%", 10, (4, 3)),
        (None, "39%", 10, (0, 3)),
        ("39%", None, 10, (4, 0)),
        (None, None, 10, (0, 1)),
    ],
)
def test_resolve_fenceposts(
    surge: str | None, unavailable: str | None, replicas: int, expected: tuple[int, int]
) -> None:
    assert limits.fenceposts(surge, unavailable, replicas) == expected


@pytest.mark.parametrize(("surge", "unavailable"), [("oops", "39%"), ("55%", "urg")])
def test_fenceposts_that_are_no_numbers(surge: str, unavailable: str) -> None:
    with pytest.raises(InvalidNumber):
        limits.fenceposts(surge, unavailable, 10)


@pytest.mark.parametrize(
    ("replicas", "unavailable", "expected"),
    [(10, 5, 5), (10, 10, 10), (5, 10, 5), (0, 10, 0), (10, "50%", 5), (10, "100%", 10)],
)
def test_max_unavailable(replicas: int, unavailable: int | str, expected: int) -> None:
    given = deployment(replicas, surge=1, unavailable=unavailable)
    assert limits.max_unavailable(given) == expected
    assert limits.min_available(given) == replicas - expected


def test_recreate_has_no_limits() -> None:
    given = deployment(10, strategy="Recreate")
    assert (limits.max_unavailable(given), limits.max_surge(given)) == (0, 0)
    assert limits.min_available(given) == 0


def pod_template(name: str, noted: dict[str, str], labels: dict[str, str]) -> JsonObject:
    metadata = {"name": name, "annotations": noted, "labels": labels}
    return {"metadata": metadata, "spec": {"nodeName": "foo-node"}}


HASH = "pod-template-hash"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("foo", {}, {HASH: "1", "some": "1"}), ("foo", {}, {HASH: "1", "some": "1"}), True),
        (("foo", {}, {HASH: "1", "some": "1"}), ("foo", {}, {HASH: "2", "some": "1"}), True),
        (("foo", {}, {"some": "1"}), ("foo", {}, {HASH: "2", "some": "1"}), True),
        (("foo", {}, {"some": "1"}), ("foo", {}, {HASH: "2"}), False),
        (("foo", {}, {HASH: "1"}), ("foo", {}, {"some": "1"}), False),
        (("foo", {}, {HASH: "1"}), ("foo", {}, {HASH: "1", "some": "1"}), False),
        (("foo", {"a": "v"}, {HASH: "1"}), ("foo", {"b": "v"}, {HASH: "1"}), False),
        (("foo-1", {}, {HASH: "1"}), ("foo-2", {}, {HASH: "2"}), False),
        (("foo-1", {}, {"some": "1"}), ("foo-2", {}, {HASH: "2", "some": "1"}), False),
        (("foo", {}, {"some": "1"}), ("foo", {}, {"none": "1"}), False),
    ],
)
def test_equal_ignore_hash(
    one: tuple[str, dict[str, str], dict[str, str]],
    other: tuple[str, dict[str, str], dict[str, str]],
    expected: bool,
) -> None:
    assert same_template(pod_template(*one), pod_template(*other)) is expected
    assert same_template(pod_template(*other), pod_template(*one)) is expected


def container(**fields: object) -> JsonObject:
    return {"spec": {"containers": [{"name": "main", "image": "a", **fields}]}}


def volume(**source: object) -> JsonObject:
    return {"spec": {"volumes": [{"name": "data", **source}]}}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (container(args=[]), container(), True),
        (container(tty=False), container(), True),
        (container(resources={}), container(), True),
        (container(resources={"limits": {"memory": "1Gi"}}),
         container(resources={"limits": {"memory": "1073741824"}}), True),
        (container(resources={"limits": {"memory": "1Gi"}}),
         container(resources={"limits": {"memory": "1G"}}), False),
        (container(resources={"limits": {"cpu": "1"}}), container(), False),
        (container(securityContext={}), container(), False),
        (container(securityContext={"privileged": False}), container(securityContext={}), False),
        (container(env=[{"name": "A", "value": ""}]), container(env=[{"name": "A"}]), True),
        (container(env=[{"name": "A"}]), container(env=[{"name": "B"}]), False),
        (container(ports=[{"containerPort": 80}, {"containerPort": 81}]),
         container(ports=[{"containerPort": 80}]), False),
        (container(readinessProbe={"httpGet": {"port": 80}}),
         container(readinessProbe={"httpGet": {"port": "80"}}), False),
        (volume(emptyDir={}), volume(), False),
        (volume(emptyDir={"medium": ""}), volume(emptyDir={}), True),
        (volume(configMap={"name": "a"}), volume(configMap={"name": "a", "items": []}), True),
        (volume(configMap={"name": "a"}), volume(configMap={"name": "b"}), False),
        ({"metadata": {"creationTimestamp": None}}, {}, True),
        ({"spec": {"nodeSelector": {}}}, {"spec": {}}, True),
        ({"spec": {"nodeSelector": {"a": "b"}}}, {"spec": {"nodeSelector": {"a": "c"}}}, False),
        ({"spec": {"replicas": 1}}, {"spec": {}}, True),
    ],
)  # fmt: skip
def test_templates_are_compared_as_gos_values(
    one: JsonObject, other: JsonObject, expected: bool
) -> None:
    """The last one: what Go does not know is lost when it decodes."""
    assert same_template(one, other) is expected
    assert same_template(other, one) is expected


def test_find_new_replica_set_takes_the_oldest_of_the_template() -> None:
    given = deployment()
    later, now = replica_set("b", 1, age=1), replica_set("a", 0)
    old = replica_set("c", 0, image="old", age=2)
    assert divide(given, [later, old]).new == later
    found = divide(given, [later, old, now])
    assert found.new == now
    assert found.old == [later, old]
    assert divide(given, [old]).new is None
    assert divide(given, []).all == []


def test_sums_over_replica_sets() -> None:
    def one(replicas: int, there: int, going: int | None, seen: int = 1) -> ReplicaSetStatus:
        return ReplicaSetStatus(
            replicas=there, terminating_replicas=going, observed_generation=seen
        )

    first = replica_set("a", 1, status=one(1, 2, 3))
    second = replica_set("b", 2, status=one(2, 3, 1))
    unseen = replica_set("c", 3, status=one(3, 0, None, 0))
    silent = replica_set("d", 1, status=one(1, 1, None))
    assert wanted([first, second, unseen]) == 6
    assert total([first, second, unseen], lambda rs: rs.status.replicas) == 5
    assert terminating([first]) == 3
    assert terminating([first, second, unseen]) == 4
    assert terminating([unseen]) == 0
    assert terminating([silent]) is None
    assert terminating([first, second, unseen, silent]) is None


@pytest.mark.parametrize(
    ("name", "hash_", "expected"),
    [
        ("my-deployment", "abcde12345", "my-deployment-abcde12345"),
        ("a" * 242, "abcde12345", "a" * 242 + "-abcde12345"),
        ("b" * 250, "abcde12345", "b" * 242 + "-abcde12345"),
        ("d" * 252, "h" * 252, "d" * 252 + "-" + "h" * 252),
    ],
)
def test_generate_replica_set_name(name: str, hash_: str, expected: str) -> None:
    assert replica_set_name(name, hash_) == expected


# --- annotations ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("invalid", None),
        ("-1", None),
        ("0", 0),
        ("13", 13),
        (str(2**31 - 1), 2**31 - 1),
        (str(2**31), None),
        (str(2**32), None),
    ],
)
def test_non_negative_int32_from_annotation(text: str | None, expected: int | None) -> None:
    noted = {"foo": "2"} if text is None else {"test": text, "foo": "2"}
    assert annotations.count(noted, "test") == expected


def test_set_new_replica_set_annotations() -> None:
    """Revisions 11 to 20 with a history of five characters, as in TestAnnotationUtils."""
    given = deployment(annotations={REVISION: "1", "why": "because"})
    noted: dict[str, str] = {}
    for number in range(10, 20):
        noted = annotations.of_new(given, noted, number + 1, 5)
        assert noted[REVISION] == str(number + 1)
        if number >= 12:
            assert noted[REVISION_HISTORY] == f"{number - 1},{number}"
    assert noted["why"] == "because"


def test_a_history_that_does_not_fit_is_left_as_it_is() -> None:
    noted = {REVISION: "123456", REVISION_HISTORY: "1,2"}
    assert annotations.of_new(deployment(), noted, 200000, 5)[REVISION_HISTORY] == "1,2"


def test_a_revision_never_goes_down_and_is_left_alone_if_it_is_no_number() -> None:
    for text in ("7", "seven"):
        assert annotations.of_new(deployment(), {REVISION: text}, 3) == {REVISION: text}


def test_the_own_annotations_are_not_copied() -> None:
    own = {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        REVISION: "9",
        REVISION_HISTORY: "8",
        annotations.DESIRED_REPLICAS: "1",
        annotations.MAX_REPLICAS: "1",
        annotations.ROLLBACK_TO: "1",
    }
    given = deployment(annotations={**own, "kubernetes.io/change-cause": "v2"})
    noted = annotations.of_new(given, {}, 1)
    assert noted == {"kubernetes.io/change-cause": "v2", REVISION: "1"}
    back = annotations.rolled_back(given.metadata.annotations, {"kubernetes.io/change-cause": "v1"})
    assert back["kubernetes.io/change-cause"] == "v1"
    assert back[REVISION] == "9"
    assert annotations.ROLLBACK_TO not in back


def test_revisions_that_are_no_numbers_are_left_out() -> None:
    sets = [replica_set(str(i), 0, revision=text) for i, text in enumerate(["3", "x", "7", ""])]
    assert annotations.highest_revision(sets) == 7
    assert annotations.previous_revision(sets) == 3
    assert annotations.previous_revision(sets[:2]) == 0
    assert annotations.highest_revision([]) == 0


def test_is_saturated() -> None:
    given = deployment(1)
    status_ = ReplicaSetStatus(available_replicas=1)
    noted = {annotations.DESIRED_REPLICAS: "1"}
    assert is_saturated(given, replica_set("a", 1, annotations=noted, status=status_))
    assert not is_saturated(given, replica_set("a", 1, annotations=noted))
    assert not is_saturated(given, replica_set("a", 1, status=status_))


@pytest.mark.parametrize(
    ("replicas", "there", "surge", "size", "noted", "expected"),
    [
        (0, 0, 0, 10, None, -10),
        (10, 0, 0, 5, None, 0),
        (10, 0, 0, 5, "0", 0),
        (120, 100, 0, 50, None, 10),
        (120, 100, 0, 50, "0", 10),
        (120, 0, 0, 50, "100", 10),
        (120, 0, 10, 50, "110", 9),
        (10, 0, 0, 6, "12", -1),
        (100, 0, 10, 50, "130", -8),
    ],
)
def test_get_replica_set_fraction(
    replicas: int, there: int, surge: int, size: int, noted: str | None, expected: int
) -> None:
    given = deployment(
        replicas, surge=surge, unavailable=1, status=DeploymentStatus(replicas=there)
    )
    found = {annotations.MAX_REPLICAS: noted} if noted else {}
    assert fraction_of(given, replica_set("a", size, annotations=found)) == expected


# --- conditions ---


PROGRESSING = conditions.condition(Type.PROGRESSING, Status.FALSE, Reason.TIMED_OUT, "", at(0))
AVAILABLE = conditions.condition(Type.AVAILABLE, Status.TRUE, Reason.AVAILABLE, "", at(0))


def test_get_set_and_remove_condition() -> None:
    both = [PROGRESSING, AVAILABLE]
    assert conditions.find(both, Type.AVAILABLE) == AVAILABLE
    assert conditions.find(both, Type.REPLICA_FAILURE) is None
    assert conditions.with_condition([], AVAILABLE) == [AVAILABLE]
    assert conditions.with_condition([PROGRESSING], AVAILABLE) == both
    other = progress.progressing(Reason.UPDATED, "", at(1))
    assert conditions.with_condition([PROGRESSING], other) == [other]
    assert conditions.without([PROGRESSING], Type.PROGRESSING) == []
    assert conditions.without(both, Type.REPLICA_FAILURE) == both


def test_the_transition_time_changes_with_the_status_only() -> None:
    first = progress.progressing(Reason.CREATED, "made", at(0))
    second = progress.progressing(Reason.COMPLETE, "done", at(5))
    (found,) = conditions.with_condition([first], second)
    assert (found.last_transition_time, found.last_update_time) == (at(0), at(5))
    assert found.reason == Reason.COMPLETE
    (found,) = conditions.with_condition([PROGRESSING], second)
    assert found.last_transition_time == at(5)


def test_a_condition_that_says_the_same_is_left_alone() -> None:
    again = progress.progressing(Reason.UPDATED, "other words", at(9))
    known = progress.progressing(Reason.UPDATED, "words", at(0))
    assert conditions.with_condition([known], again) == [known]


@pytest.mark.parametrize(
    ("replicas", "there", "updated", "available", "expected"),
    [
        (5, 5, 5, 4, False),
        (5, 5, 5, 3, False),
        (5, 5, 5, 5, True),
        (5, 5, 4, 5, False),
        (1, 2, 1, 1, False),
        (1, 1, 1, 0, False),
    ],
)
def test_deployment_complete(
    replicas: int, there: int, updated: int, available: int, expected: bool
) -> None:
    found = DeploymentStatus(
        replicas=there,
        updated_replicas=updated,
        available_replicas=available,
        observed_generation=1,
    )
    assert status.is_complete(deployment(replicas), found) is expected
    unseen = msgspec.structs.replace(found, observed_generation=0)
    assert not status.is_complete(deployment(replicas), unseen)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((10, 4, 4, 4), (10, 6, 4, 4), True),
        ((10, 4, 4, 4), (10, 4, 4, 4), False),
        ((10, 4, 6, 6), (8, 4, 6, 6), True),
        ((10, 7, 3, 3), (10, 6, 3, 3), False),
        ((10, 4, 7, 7), (8, 8, 5, 5), True),
        ((10, 10, 9, 8), (10, 10, 10, 8), True),
        ((10, 10, 10, 9), (10, 10, 10, 10), True),
    ],
)
def test_deployment_progressing(
    before: tuple[int, int, int, int], after: tuple[int, int, int, int], expected: bool
) -> None:
    def made(numbers: tuple[int, int, int, int]) -> DeploymentStatus:
        there, updated, ready, available = numbers
        return DeploymentStatus(
            replicas=there,
            updated_replicas=updated,
            ready_replicas=ready,
            available_replicas=available,
        )

    assert progress.makes_progress(made(before), made(after)) is expected


@pytest.mark.parametrize(
    ("deadline_s", "reason", "age_s", "expected"),
    [
        (None, Reason.UPDATED, 11, False),
        (limits.NO_LIMIT, Reason.UPDATED, 11, False),
        (10, Reason.UPDATED, 11, True),
        (10, Reason.UPDATED, 9, False),
        (10, Reason.COMPLETE, 11, False),
        (10, Reason.TIMED_OUT, 0, True),
    ],
)
def test_deployment_timed_out(
    deadline_s: int | None, reason: Reason, age_s: float, expected: bool
) -> None:
    given = deployment(progress_deadline_seconds=deadline_s)
    known = progress.progressing(reason, "", at(0))
    assert progress.has_timed_out(given, [known], moment(age_s)) is expected
    assert not progress.has_timed_out(given, [], moment(age_s))
