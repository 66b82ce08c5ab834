"""Volumes and claims that are being deleted go when nobody uses them, and not before."""

from typing import Any

from controllerworld import play
from fakeapi import FakeApi

from kubeherd.cluster.api.kinds import PODS
from kubeherd.controller.volumes import plan
from kubeherd.controller.volumes.controller import (
    CLAIMS,
    VOLUMES,
    ClaimProtection,
    VolumeProtection,
)

GONE = "2026-01-01T00:00:00Z"


def claim(finalizers: list[str], **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": "c", "namespace": "ns", "finalizers": finalizers, **meta}}


def pod(phase: str = "Running", node: str = "n") -> dict[str, Any]:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    return {
        "metadata": {"name": "p", "namespace": "ns"},
        "spec": {"nodeName": node, "volumes": volumes},
        "status": {"phase": phase},
    }


def finalizers(api: FakeApi) -> list[str]:
    found = api.get(CLAIMS, "c", "ns") or {"metadata": {}}
    return list(found["metadata"].get("finalizers") or ())


def test_a_claim_goes_when_its_last_pod_does() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(CLAIMS, claim([plan.CLAIM_FINALIZER, "a.b/c"]))
        api.put(PODS, pod())
        await api.clock.sleep(1)
        assert api.writes == []
        api.change(CLAIMS, "c", {"metadata": {"deletionTimestamp": GONE}}, "ns")
        await api.clock.sleep(1)
        assert api.writes == []
        api.change(PODS, "p", {"status": {"phase": "Succeeded"}}, "ns")
        await api.clock.sleep(1)
        assert finalizers(api) == ["a.b/c"]

    play(ClaimProtection, scenario=scenario)


def test_a_pod_without_a_node_uses_nothing() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(PODS, pod(phase="Pending", node=""))
        api.put(CLAIMS, claim([plan.CLAIM_FINALIZER], deletionTimestamp=GONE))
        await api.clock.sleep(1)
        assert finalizers(api) == []

    play(ClaimProtection, scenario=scenario)


def test_a_bound_volume_stays() -> None:
    async def scenario(api: FakeApi) -> None:
        meta = {"name": "v", "finalizers": [plan.VOLUME_FINALIZER], "deletionTimestamp": GONE}
        api.put(VOLUMES, {"metadata": meta, "status": {"phase": "Bound"}})
        await api.clock.sleep(1)
        assert api.writes == []
        api.change(VOLUMES, "v", {"status": {"phase": "Released"}})
        await api.clock.sleep(31)
        assert [method for method, _ in api.writes] == ["PATCH"]

    play(VolumeProtection, scenario=scenario)


def test_an_ephemeral_volume_is_a_claim_of_its_pod() -> None:
    user = plan.User(
        metadata=plan.ObjectMeta(name="p"),
        spec=plan.UserSpec(node_name="n", volumes=[plan.Source(name="v", ephemeral={})]),
    )
    assert plan.in_use("p-v", [user])
    assert not plan.in_use("v", [user])
