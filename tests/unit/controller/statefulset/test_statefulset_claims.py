"""Who owns the claims of a pod: the retention policy (spec statefulset-controller 6)."""

from itertools import product

import pytest
from statefulset_world import RETENTION, claim, owner, pod, statefulset

from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.objects import OwnerReference
from kubeherd.controller.statefulset.claims import Owners, owners
from kubeherd.controller.workload.apps import ClaimRetentionPolicy

BY_SET = owner()
BY_POD = owner("uid-web-1", "web-1", "Pod")
STALE_POD = owner("old", "web-1", "Pod")
STALE_SET = owner("old")
OTHER = OwnerReference(api_version="v1", kind="Pod", name="rand1", uid="rand1-uid")
FOREIGN = OwnerReference(
    api_version="custom/v1", kind="Unknown", name="unknown", uid="xyz", controller=True
)
NONE_OF_POD = OwnerReference(api_version="v1", kind="Pod", name="web-1", uid="uid-web-1")
NONE_OF_SET = OwnerReference(api_version="appsv1", kind="StatefulSet", name="web", uid="set-uid")


def of(scaled: str, deleted: str, *, condemned: bool) -> Owners:
    policy = ClaimRetentionPolicy(when_scaled=scaled, when_deleted=deleted)
    replicas = 1 if condemned else 2
    return owners(statefulset(replicas, claims=["data"], retention=policy), 1, pod("web-1"))


TABLE = [
    ("retain", "Retain", "Retain", False, False, False),
    ("retain, condemned", "Retain", "Retain", True, False, False),
    ("on deletion of the set", "Retain", "Delete", False, False, True),
    ("on scaling, condemned", "Delete", "Retain", True, True, False),
    ("on scaling, remains", "Delete", "Retain", False, False, False),
    ("on both, condemned", "Delete", "Delete", True, True, False),
    ("on both, remains", "Delete", "Delete", False, False, True),
]
each_policy = pytest.mark.parametrize(
    ("name", "scaled", "deleted", "condemned", "by_pod", "by_set"), TABLE
)


@each_policy
def test_owners_are_right_when_the_policy_has_them(
    name: str, scaled: str, deleted: str, condemned: bool, by_pod: bool, by_set: bool
) -> None:
    """TestIsClaimOwnerUpToDate."""
    found = of(scaled, deleted, condemned=condemned)
    for has_pod, has_set, has_others in product([False, True], repeat=3):
        references = [BY_POD] * has_pod + [BY_SET] * has_set + [OTHER] * has_others
        right = (has_pod, has_set) == (by_pod, by_set)
        assert found.are_right(references) == right, name


@each_policy
def test_owners_are_put_right(
    name: str, scaled: str, deleted: str, condemned: bool, by_pod: bool, by_set: bool
) -> None:
    """TestUpdateClaimOwnerRefForSetAndPod."""
    found = of(scaled, deleted, condemned=condemned)
    for has_pod, has_set, has_others in product([False, True], repeat=3):
        references = [BY_POD] * has_pod + [BY_SET] * has_set + [OTHER] * has_others
        after = found.put_right(references)
        assert (BY_POD in after, BY_SET in after, OTHER in after) == (by_pod, by_set, has_others)
        assert found.are_right(after)
        assert found.put_right(after) == after


@pytest.mark.parametrize("references", [[FOREIGN, BY_POD], [BY_SET, FOREIGN], [FOREIGN]])
def test_beside_a_foreign_controller_ours_go(references: list[OwnerReference]) -> None:
    found = of("Delete", "Delete", condemned=True)
    assert found.has_foreign_controller(references)
    assert found.put_right(references) == [FOREIGN]


EDGES = [
    ("normal controller, pod", [BY_POD], "Delete", "Delete", True),
    ("non-controller, pod", [NONE_OF_POD], "Delete", "Delete", False),
    ("stale controller, pod", [STALE_POD], "Delete", "Delete", True),
    ("unexpected controller, pod", [BY_POD, FOREIGN], "Delete", "Delete", False),
    ("normal controller, set", [BY_SET], "Retain", "Delete", True),
    ("non-controller, set", [NONE_OF_SET], "Retain", "Delete", False),
    ("stale controller, set", [STALE_SET], "Retain", "Delete", True),
    ("unexpected controller, set", [BY_SET, FOREIGN], "Retain", "Delete", False),
    ("right set, stale pod", [BY_SET, STALE_POD], "Retain", "Delete", True),
    ("unexpected controller alone", [FOREIGN], "Retain", "Delete", True),
]


@pytest.mark.parametrize(("name", "references", "scaled", "deleted", "right"), EDGES)
def test_owners_of_others_and_of_before(
    name: str, references: list[OwnerReference], scaled: str, deleted: str, right: bool
) -> None:
    """TestClaimOwnerUpToDateEdgeCases."""
    assert of(scaled, deleted, condemned=True).are_right(references) == right, name


FOREIGNERS = [
    ([FOREIGN], True),
    ([OTHER], False),
    ([OwnerReference(api_version="v1", kind="Pod", name="s", uid="o", controller=True)], True),
    ([OwnerReference(api_version="apps/v1", kind="Set", name="s", uid="o", controller=True)], True),
    ([BY_SET], False),
    ([STALE_SET], True),
    ([BY_POD], False),
    ([STALE_POD], True),
    ([BY_POD, FOREIGN], True),
    ([BY_POD, OTHER], False),
]


@pytest.mark.parametrize(("references", "foreign"), FOREIGNERS)
def test_what_counts_as_a_foreign_controller(
    references: list[OwnerReference], foreign: bool
) -> None:
    """TestHasUnexpectedController: none does where all is retained."""
    assert not of("Retain", "Retain", condemned=True).has_foreign_controller(references)
    for scaled, deleted in (("Delete", "Retain"), ("Retain", "Delete"), ("Delete", "Delete")):
        found = of(scaled, deleted, condemned=True)
        assert found.has_foreign_controller(references) == foreign


def test_a_stale_reference_is_to_another_object_of_the_name() -> None:
    """TestHasStaleOwnerRef, TestPodClaimIsStale."""
    present = owners(statefulset(2), 1, pod("web-1"))
    to_come = owners(statefulset(2), 1, None)
    for references, stale, stale_to_come in (
        ([], False, False),
        ([OTHER], False, False),
        ([BY_POD], False, True),
        ([STALE_POD], True, True),
        ([OTHER, STALE_POD], True, True),
    ):
        assert present.pod.is_stale(references) == stale
        assert to_come.pod.is_stale(references) == stale_to_come
    assert present.pod.resource is PODS


@pytest.mark.parametrize("policy", RETENTION)
def test_what_is_put_right_stays(policy: ClaimRetentionPolicy | None) -> None:
    for replicas in (1, 2):
        found = owners(statefulset(replicas, retention=policy), 1, pod("web-1"))
        for references in ([], [BY_SET], [BY_POD], [BY_SET, BY_POD], [NONE_OF_POD], [OTHER]):
            after = claim("data-web-1", found.put_right(references)).metadata.owner_references
            assert found.are_right(after)
