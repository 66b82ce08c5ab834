"""Decisions about volumes; numbers of cases as in upstream's binder_test.go and delete_test.go."""

import pytest
from volume_objects import Store, Tree, claim, storage_class, volume

from kubeherd.cluster.api.storageobjects import (
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)

PROVISIONED = {"pv.kubernetes.io/provisioned-by": "kubeherd.io/fake"}
BOUND: Tree = {"of": "c", "uid": "uid-c", "phase": "Bound"}


def synced(
    the_volume: PersistentVolume, *others: PersistentVolume | PersistentVolumeClaim | StorageClass
) -> Store:
    store = Store(the_volume, *others)
    store.sync("v")
    assert "v" not in store.volumes or store.sync("v") == 0, "a fixed point"
    return store


def test_4_1_and_4_2_free_and_reserved_volumes_are_available() -> None:
    assert synced(volume(phase="Pending")).volumes["v"].phase == "Available"
    assert synced(volume(phase="Pending", of="c")).volumes["v"].phase == "Available"


def test_4_3_the_claim_is_gone() -> None:
    assert synced(volume(**BOUND)).volumes["v"].phase == "Released"


def test_4_4_another_claim_of_its_name() -> None:
    other = volume(of="c", uid="uid-before", phase="Bound")
    assert synced(other, claim()).volumes["v"].phase == "Released"


def test_4_5_the_claim_completes_the_binding() -> None:
    half = volume(of="c", uid="uid-c", phase="Available", notes="controller")
    assert synced(half, claim()).volumes["v"] == half


def test_4_6_the_phase_follows_a_complete_binding() -> None:
    half = volume(of="c", uid="uid-c", phase="Available")
    assert synced(half, claim(to="v", notes="done", phase="Bound")).volumes["v"].phase == "Bound"


@pytest.mark.parametrize(("notes", "left"), [("controller", None), ("", "c")])
def test_4_7_and_4_8_the_claim_has_another_volume(notes: str, left: str | None) -> None:
    elsewhere = claim(to="other", notes="done", phase="Bound")
    after = synced(volume(**BOUND, notes=notes), elsewhere).volumes["v"]
    assert after.phase == "Available"
    assert (after.claim and after.claim.name) == left
    assert not (after.claim and after.claim.uid)
    assert not after.metadata.annotations


def test_8_11_a_second_provisioned_volume_of_a_claim_is_deleted() -> None:
    elsewhere = claim(to="other", notes="done", phase="Bound")
    second = volume(**BOUND, policy="Delete", annotations=PROVISIONED)
    assert not synced(second, elsewhere).volumes


def test_14_13_volume_modes_that_cannot_be_bound() -> None:
    store = synced(volume(of="c", uid="uid-c", volumeMode="Block"), claim())
    messages = [
        'Cannot bind PersistentVolume to requested PersistentVolumeClaim "c" due to incompatible '
        "volumeMode.",
        'Cannot bind PersistentVolume "v" to requested PersistentVolumeClaim due to incompatible '
        "volumeMode.",
    ]
    assert store.events[:2] == [("VolumeMismatch", message) for message in messages]


def test_4_9_a_volume_in_use_is_never_deleted() -> None:
    used = volume(**BOUND, policy="Delete", annotations=PROVISIONED)
    store = synced(used, claim(to="v", notes="done", phase="Bound"))
    assert store.volumes["v"] == used


NOT_MATCHED = 'error getting deleter volume plugin for volume "v": no '


@pytest.mark.parametrize(
    ("fields", "phase", "said"),
    [
        ({"policy": "Retain"}, "Released", None),
        ({"policy": "Delete", "annotations": PROVISIONED}, "", None),
        ({"policy": "Delete"}, "", None),  # a path in /tmp
        ({"policy": "Delete", "hostPath": {"path": "/data"}}, "Failed",
         ("VolumeFailedDelete",
          "host_path deleter only supports /tmp/.+ but received provided /data")),
        ({"policy": "Delete", "nfs": {}}, "Failed",
         ("VolumeFailedDelete", NOT_MATCHED + "deletable volume plugin matched")),
        ({"policy": "Delete", "csi": {"driver": "x"}}, "Released", None),
        ({"policy": "Delete",
          "annotations": {"pv.kubernetes.io/provisioned-by": "ebs.csi.aws.com"}}, "Released", None),
        ({"policy": "Delete",
          "annotations": {"pv.kubernetes.io/migrated-to": "ebs.csi.aws.com"}}, "Released", None),
        ({"policy": "Recycle"}, "Available", ("VolumeRecycled", "Volume recycled")),
        ({"policy": "Recycle", "csi": {"driver": "x"}}, "Failed",
         ("VolumeFailedRecycle", "No recycler plugin found for the volume!")),
        ({"policy": "Shred"}, "Failed",
         ("VolumeUnknownReclaimPolicy", "Volume has unrecognized PersistentVolumeReclaimPolicy")),
    ],
)  # fmt: skip
def test_reclaim(fields: Tree, phase: str, said: tuple[str, str] | None) -> None:
    store = synced(volume(**BOUND, notes="controller", **fields))
    after = store.volumes.get("v")
    assert (after.phase if after else "") == phase
    assert store.events == ([said] if said else [])
    if phase == "Failed" and after is not None and said is not None:
        assert after.status["message"] == said[1]


def test_a_recycled_volume_has_no_claim_any_more() -> None:
    assert synced(volume(**BOUND, notes="controller", policy="Recycle")).volumes["v"].claim is None


def test_a_class_whose_provisioner_is_stood_in_for() -> None:
    asks = {"annotations": {"kubeherd.io/provision": "true"}}
    of_class = storage_class(provisioner="ebs.csi.aws.com", metadata=asks)
    made = volume(
        **BOUND,
        policy="Delete",
        storage_class="fast",
        annotations={"pv.kubernetes.io/provisioned-by": "ebs.csi.aws.com"},
    )
    assert not synced(made, of_class).volumes
