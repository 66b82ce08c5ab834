"""Claiming (the table of spec section 7)."""

import pytest
from daemonset_world import UID, daemonset, owner, pod

from kubeherd.cluster.api import labels
from kubeherd.controller.daemonset.owner import owner as owner_of
from kubeherd.controller.workload.claim import adopt_patch, claim, release_patch


@pytest.mark.parametrize(
    ("controller", "matches", "ds_deleting", "deleting", "claimed", "action"),
    [
        ("other", True, False, False, False, ""),
        ("other", False, False, False, False, ""),
        (UID, True, False, False, True, ""),
        (UID, True, True, True, True, ""),
        (UID, False, False, False, False, "release"),
        (UID, False, False, True, False, "release"),
        (UID, False, True, False, False, ""),
        ("", True, False, False, True, "adopt"),
        ("", True, True, False, False, ""),
        ("", True, False, True, False, ""),
        ("", False, False, False, False, ""),
    ],
)
def test_what_is_claimed_adopted_and_released(
    controller: str, matches: bool, ds_deleting: bool, deleting: bool, claimed: bool, action: str
) -> None:
    ds = daemonset(deleting=ds_deleting)
    target = pod(
        "p",
        "n0",
        owned_by=owner(controller) if controller else None,
        labels={"app": "a"} if matches else {"app": "x"},
        deleting=deleting,
    )
    result = claim(owner_of(ds), labels.from_selector(ds.spec.selector), [target])
    assert result.claimed == ([target] if claimed else [])
    assert result.adopt == ([target] if action == "adopt" else [])
    assert result.release == ([target] if action == "release" else [])


def test_patches_name_the_targets_uid() -> None:
    adopt = adopt_patch(owner_of(daemonset()), "pod-uid")
    assert adopt["metadata"]["uid"] == "pod-uid"
    assert adopt["metadata"]["ownerReferences"][0]["controller"] is True
    release = release_patch(owner_of(daemonset()), "pod-uid")
    assert release == {
        "metadata": {"uid": "pod-uid", "ownerReferences": [{"$patch": "delete", "uid": UID}]}
    }
