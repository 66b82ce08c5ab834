"""What is being deleted goes when nothing uses it, not before."""

from typing import Any

import pytest
from controllerworld import play
from fakeapi import FakeApi

from kubeherd.cluster.api.kinds import PODS
from kubeherd.controller.storageprotection import plan
from kubeherd.controller.storageprotection.controller import (
    ClaimProtection,
    ClassProtection,
    VolumeProtection,
)

GONE = "2026-01-01T00:00:00Z"


def dying(name: str, finalizer: str, namespace: str = "", **fields: Any) -> dict[str, Any]:
    meta = {"name": name, "deletionTimestamp": GONE, "finalizers": [finalizer]}
    return {"metadata": {**meta, **({"namespace": namespace} if namespace else {})}, **fields}


def pod_with(volume: dict[str, Any], node: str = "n", **meta: Any) -> dict[str, Any]:
    spec = {"nodeName": node, "volumes": [{"name": "v", **volume}]}
    return {"metadata": {"name": "p", "namespace": "default", **meta}, "spec": spec}


@pytest.mark.parametrize(
    ("pod", "used"),
    [
        (pod_with({"persistentVolumeClaim": {"claimName": "c"}}), True),
        (pod_with({"persistentVolumeClaim": {"claimName": "d"}}), False),
        (pod_with({"persistentVolumeClaim": {"claimName": "c"}}, node=""), False),
        (pod_with({"ephemeral": {}}), False),
    ],
)
def test_who_uses_a_claim(pod: dict[str, Any], used: bool) -> None:
    assert plan.claim_in_use("c", [pod]) is used


def test_a_claim_made_for_a_pod_does_not_wait_for_its_last_finalizer() -> None:
    running = pod_with({"ephemeral": {}})
    assert plan.claim_in_use("p-v", [running])
    ended = pod_with({"ephemeral": {}}, deletionTimestamp=GONE, deletionGracePeriodSeconds=0)
    assert not plan.claim_in_use("p-v", [ended])


@pytest.mark.parametrize(
    ("claim", "used"),
    [
        ({"spec": {"volumeAttributesClassName": "gold"}}, True),
        ({"spec": {}, "status": {"currentVolumeAttributesClassName": "gold"}}, True),
        ({"spec": {}, "status": {
            "modifyVolumeStatus": {"targetVolumeAttributesClassName": "gold"},
        }}, True),
        ({"spec": {"volumeAttributesClassName": "silver"}}, False),
    ],
)  # fmt: skip
def test_who_uses_a_class(claim: dict[str, Any], used: bool) -> None:
    assert plan.class_in_use("gold", [], [claim]) is used


def test_a_claim_goes_when_its_pod_has_gone() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(PODS, pod_with({"persistentVolumeClaim": {"claimName": "c"}}))
        api.put(plan.CLAIMS, dying("c", "kubernetes.io/pvc-protection", "default"))
        api.put(plan.CLAIMS, dying("free", "kubernetes.io/pvc-protection", "default"))
        await api.clock.sleep(1)
        assert plan.CLAIMS.path("default", "free") not in api.objects
        assert plan.CLAIMS.path("default", "c") in api.objects
        api.remove(PODS, "p", "default")
        await api.clock.sleep(1)  # much less than the time after which it looks anyway
        assert plan.CLAIMS.path("default", "c") not in api.objects

    play(ClaimProtection, scenario=scenario)


def test_a_volume_goes_when_it_is_released() -> None:
    async def scenario(api: FakeApi) -> None:
        finalizer = "kubernetes.io/pv-protection"
        api.put(plan.VOLUMES, dying("v", finalizer, status={"phase": "Bound"}))
        await api.clock.sleep(1)
        assert plan.VOLUMES.path("", "v") in api.objects
        api.put(plan.VOLUMES, dying("v", finalizer, status={"phase": "Released"}))
        await api.clock.sleep(1)
        assert plan.VOLUMES.path("", "v") not in api.objects

    play(VolumeProtection, scenario=scenario)


def test_a_class_goes_when_its_last_volume_has_gone() -> None:
    async def scenario(api: FakeApi) -> None:
        spec = {"volumeAttributesClassName": "gold"}
        api.put(plan.VOLUMES, {"metadata": {"name": "v"}, "spec": spec})
        api.put(plan.CLASSES, dying("gold", "kubernetes.io/vac-protection"))
        await api.clock.sleep(1)
        assert plan.CLASSES.path("", "gold") in api.objects
        api.remove(plan.VOLUMES, "v")
        await api.clock.sleep(plan.RECHECK_S + 1)
        assert plan.CLASSES.path("", "gold") not in api.objects

    play(ClassProtection, scenario=scenario)
