"""Decisions about claims; numbers of cases as in upstream's binder_test.go (v1.36)."""

from typing import NamedTuple

import pytest
from volume_objects import Store, Tree, claim, storage_class, volume

from kubeherd.cluster.api.storageobjects import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)
from kubeherd.controller.volume import plan


class Binding(NamedTuple):
    """What there is of a binding, in short."""

    claim_phase: str
    volume_name: str
    claim_notes: str
    volume_phase: str
    reference: str
    volume_notes: str


NOTES = {BIND_COMPLETED: "done", BOUND_BY_CONTROLLER: "controller"}
BOUND = Binding("Bound", "v", "controller done", "Bound", "c uid-c", "controller")
BY_USER = BOUND._replace(volume_notes="")
NAMED = BOUND._replace(claim_notes="done")
ATTRIBUTES: Tree = {"volumeAttributesClassName": "a"}
FREE = Binding("Pending", "", "", "Available", "", "")


def seen(store: Store, name: str = "v") -> Binding:
    """The binding of claim c and a volume."""
    mine, its = store.claims["c"], store.volumes.get(name, PersistentVolume())
    reference = its.claim
    return Binding(
        mine.phase,
        mine.volume_name,
        " ".join(sorted(NOTES[key] for key in mine.metadata.annotations if key in NOTES)),
        its.phase,
        "" if reference is None else f"{reference.name} {reference.uid}".strip(),
        " ".join(sorted(NOTES[key] for key in its.metadata.annotations if key in NOTES)),
    )


def synced(*objects: PersistentVolume | PersistentVolumeClaim) -> Store:
    """Claim c after one sync."""
    store = Store(*objects)
    store.sync("c")
    return store


@pytest.mark.parametrize(
    ("number", "the_claim", "the_volume", "expected"),
    [
        ("1-1", claim(), volume(), BOUND),
        ("1-2", claim(size="10Gi"), volume(), FREE),
        ("1-3", claim(size="10Gi", phase="Bound"), volume(), FREE),
        ("1-5", claim(), volume(of="c"), BY_USER),
        ("1-6", claim(), volume(of="c", uid="uid-c"), BY_USER),
        ("1-7", claim(), volume(of="other"), FREE._replace(reference="other")),
        ("1-8", claim(), volume(of="c", uid="uid-c", notes="controller"), BOUND),
        ("1-9", claim(), volume(of="c", uid="uid-c", notes="controller", phase="Bound"), BOUND),
        ("1-17", claim(), volume(phase="Pending"), FREE._replace(volume_phase="Pending")),
        ("2-3", claim(to="v"), volume(), NAMED),
        ("2-4", claim(to="v"), volume(of="c"), BY_USER._replace(claim_notes="done")),
        ("2-5", claim(to="v"), volume(of="c", uid="uid-c"), BY_USER._replace(claim_notes="done")),
        ("3-3", claim(to="v", notes="done", phase="Bound"), volume(), NAMED),
        (
            "3-5",
            claim(to="v", notes="done", phase="Pending"),
            volume(of="c", uid="uid-c", phase="Bound"),
            BY_USER._replace(claim_notes="done"),
        ),
        ("13-1", claim(storage_class="gold"), volume(storage_class="gold"), BOUND),
        ("13-2", claim(), volume(storage_class="gold"), FREE),
        ("14-1", claim(volumeMode="Block"), volume(volumeMode="Block"), BOUND),
        ("14-3", claim(volumeMode="Block"), volume(), FREE),
        ("14-4", claim(), volume(volumeMode="Block"), FREE),
        ("14-10", claim(volumeMode="Block"), volume(of="c", volumeMode="Block"), BY_USER),
        ("2-12", claim(**ATTRIBUTES), volume(**ATTRIBUTES), BOUND),
        ("2-11", claim(**ATTRIBUTES), volume(), FREE),
    ],
)  # fmt: skip
def test_bindings(
    number: str,
    the_claim: PersistentVolumeClaim,
    the_volume: PersistentVolume,
    expected: Binding,
) -> None:
    store = synced(the_claim, the_volume)
    assert seen(store) == expected, number
    if expected.claim_phase == "Bound":
        assert store.sync("c") == 0, "a fixed point"


def test_1_4_the_smallest_volume_that_suffices() -> None:
    sizes = {"a": "10Gi", "b": "2Gi", "d": "500Mi", "e": "3Gi"}
    store = synced(claim(size="1Gi"), *(volume(name, size=size) for name, size in sizes.items()))
    assert store.claims["c"].volume_name == "b"
    assert store.claims["c"].status["capacity"] == {"storage": "2Gi"}


def test_fewer_access_modes_go_before_smaller_size() -> None:
    modes = ["ReadWriteOnce", "ReadOnlyMany"]
    store = synced(claim(), volume("a", accessModes=modes), volume("b", size="5Gi"))
    assert store.claims["c"].volume_name == "b"


def test_1_15_a_reserved_volume_goes_before_all_others() -> None:
    store = synced(claim(), volume("a"), volume("b", size="5Gi", of="c"))
    assert store.claims["c"].volume_name == "b"


@pytest.mark.parametrize(("labels", "found"), [({"zone": "a"}, "v"), ({"zone": "b"}, ""), ({}, "")])
def test_1_11_and_1_12_the_selector(labels: dict[str, str], found: str) -> None:
    wanted = claim(selector={"matchLabels": {"zone": "a"}})
    assert synced(wanted, volume(metadata={"labels": labels})).claims["c"].volume_name == found


@pytest.mark.parametrize(
    ("the_claim", "the_volume", "reason", "message"),
    [
        (claim(size="2Gi"), None, "FailedBinding", plan.NO_VOLUME),
        (claim(to="v"), volume(of="d", uid="u"), "FailedBinding",
         'volume "v" already bound to a different claim.'),
        (claim(to="v", size="2Gi"), volume(), "VolumeMismatch",
         'Cannot bind to requested volume "v": requested PV is too small'),
        (claim(to="v", storage_class="gold"), volume(), "VolumeMismatch",
         'Cannot bind to requested volume "v": storageClassName does not match'),
        (claim(to="v", volumeMode="Block"), volume(), "VolumeMismatch",
         'Cannot bind to requested volume "v": incompatible volumeMode'),
        (claim(to="v", accessModes=["ReadWriteMany"]), volume(), "VolumeMismatch",
         'Cannot bind to requested volume "v": incompatible accessMode'),
        (claim(to="v", volumeAttributesClassName="a"), volume(), "VolumeMismatch",
         'Cannot bind to requested volume "v": volumeAttributesClassName does not match'),
        (claim(to="v"), volume(metadata={"deletionTimestamp": "T"}), "VolumeMismatch",
         'Cannot bind to requested volume "v": the volume is marked for deletion "v"'),
        (claim(notes="done", phase="Bound"), volume(), "ClaimLost", plan.LOST_REFERENCE),
        (claim(to="v", notes="done", phase="Bound"), None, "ClaimLost", plan.LOST_VOLUME),
        (claim(to="v", notes="done", phase="Bound"), volume(of="d", uid="u"), "ClaimMisbound",
         plan.MISBOUND),
    ],
)  # fmt: skip
def test_what_is_said_of_claims_without_a_volume(
    the_claim: PersistentVolumeClaim,
    the_volume: PersistentVolume | None,
    reason: str,
    message: str,
) -> None:
    store = synced(the_claim, *([the_volume] if the_volume else []))
    assert store.events == [(reason, message)]
    lost = reason in ("ClaimLost", "ClaimMisbound")
    assert store.claims["c"].phase == ("Lost" if lost else "Pending")
    assert "capacity" not in store.claims["c"].status
    assert store.sync("c") == 0


# --- delayed binding and provisioning ---


LATE: Tree = {"volumeBindingMode": "WaitForFirstConsumer"}


def test_1_13_the_binder_leaves_delayed_claims_alone() -> None:
    late = storage_class(**LATE)
    store = Store(claim(storage_class="fast"), volume(storage_class="fast"), late)
    store.sync("c")
    store.pods = ["p"]
    store.sync("c")
    store.pods = ["p", "q"]
    store.sync("c")
    assert store.events == [
        ("WaitForFirstConsumer", "waiting for first consumer to be created before binding"),
        ("WaitForPodScheduled", "waiting for pod p to be scheduled"),
        ("WaitForPodScheduled", "waiting for pods p,q to be scheduled"),
    ]
    assert seen(store) == FREE


def test_1_14_a_volume_that_is_reserved_is_bound_without_waiting() -> None:
    late = storage_class(**LATE)
    store = Store(claim(storage_class="fast"), volume(storage_class="fast", of="c"), late)
    store.settle()
    assert seen(store) == BY_USER


def test_a_volume_is_provisioned() -> None:
    store = Store(claim(storage_class="fast", size="3Gi"), storage_class())
    store.settle()
    made = store.volumes["pvc-uid-c"]
    assert seen(store, "pvc-uid-c") == BOUND._replace(volume_name="pvc-uid-c")
    assert store.events == [
        (
            "ProvisioningSucceeded",
            "Successfully provisioned volume pvc-uid-c using kubeherd.io/fake",
        )
    ]
    assert made.spec["capacity"] == store.claims["c"].status["capacity"] == {"storage": "3Gi"}
    assert made.reclaim_policy == "Delete"
    assert made.storage_class == "fast"
    assert "nodeAffinity" not in made.spec
    assert store.claims["c"].metadata.annotations[STORAGE_PROVISIONER] == "kubeherd.io/fake"


def test_a_local_volume_stays_on_the_selected_node() -> None:
    late = storage_class(**LATE, provisioner="rancher.io/local-path")
    selected = claim(storage_class="fast", annotations={SELECTED_NODE: "node-1"})
    store = Store(selected, late)
    store.sync("c")
    assert store.events == [
        ("ProvisioningFailed", 'Failed to get target node: node "node-1" not found')
    ]
    store.nodes = frozenset({"node-1"})
    store.settle()
    required = store.volumes["pvc-uid-c"].spec["nodeAffinity"]["required"]
    assert required["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] == ["node-1"]


@pytest.mark.parametrize(
    ("classes", "reason", "message"),
    [
        ([], "ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found'),
        ([storage_class(provisioner="kubernetes.io/no-provisioner")], "ProvisioningFailed",
         "no volume plugin matched name: kubernetes.io/no-provisioner"),
        ([storage_class(provisioner="ebs.csi.aws.com")], "ExternalProvisioning",
         "Waiting for a volume to be created either by the external provisioner 'ebs.csi.aws.com' "
         "or manually by the system administrator. If volume creation is delayed, please verify "
         "that the provisioner is running and correctly registered."),
    ],
)  # fmt: skip
def test_what_is_not_provisioned_here(
    classes: list[StorageClass], reason: str, message: str
) -> None:
    store = Store(claim(storage_class="fast"), *classes)
    store.settle()
    assert store.events[0] == (reason, message)
    assert not store.volumes


def test_a_class_may_ask_that_its_provisioner_is_stood_in_for() -> None:
    asks = {"annotations": {"kubeherd.io/provision": "true"}}
    store = Store(
        claim(storage_class="fast"), storage_class(provisioner="ebs.csi.aws.com", metadata=asks)
    )
    store.settle()
    assert store.claims["c"].phase == "Bound"


@pytest.mark.parametrize(("asked", "given"), [(None, "new"), ("", ""), ("other", "other")])
def test_a_claim_without_a_class_gets_the_newest_default(asked: str | None, given: str) -> None:
    def marked(name: str, since: str) -> Tree:
        annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
        return {"metadata": {"name": name, "annotations": annotations, "creationTimestamp": since}}

    classes = [
        storage_class("old", **marked("old", "2026-01-01T00:00:00Z")),
        storage_class("new", **marked("new", "2026-01-02T00:00:00Z")),
        storage_class("znew", **marked("znew", "2026-01-02T00:00:00Z")),
    ]
    store = Store(claim(storage_class=asked), *classes)
    store.sync("c")
    assert store.claims["c"].storage_class == given


def test_a_claim_that_asks_for_more_gets_it() -> None:
    grows = storage_class(allowVolumeExpansion=True)
    bound = claim(
        to="v", notes="done", phase="Bound", size="2Gi", capacity="1Gi", storage_class="fast"
    )
    of_claim = volume(of="c", uid="uid-c", phase="Bound", storage_class="fast")
    store = Store(bound, of_claim, grows)
    store.settle()
    assert store.volumes["v"].spec["capacity"] == {"storage": "2Gi"}
    assert store.claims["c"].status["capacity"] == {"storage": "2Gi"}
    assert store.events == [("VolumeResizeSuccessful", "Resize volume succeeded")]
    still = Store(bound, of_claim, storage_class())
    assert still.sync("c") == 0
