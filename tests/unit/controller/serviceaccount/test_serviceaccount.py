"""Every namespace gets its ServiceAccount and its CA, and gets them back."""

from controllerworld import play
from fakeapi import FakeApi

from kubeherd.cluster.api.kinds import CONFIGMAPS, NAMESPACES, SERVICEACCOUNTS
from kubeherd.controller.serviceaccount import plan
from kubeherd.controller.serviceaccount.controller import ServiceAccountController
from kubeherd.controller.serviceaccount.rootca import RootCAPublisher


def test_objects_appear_and_reappear() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NAMESPACES, {"metadata": {"name": "ns"}})
        await api.clock.sleep(1)
        assert api.get(SERVICEACCOUNTS, "default", "ns") is not None
        configmap = api.get(CONFIGMAPS, "kube-root-ca.crt", "ns")
        assert configmap is not None
        assert configmap["data"] == {"ca.crt": "CA\n"}
        api.remove(SERVICEACCOUNTS, "default", "ns")
        api.change(CONFIGMAPS, "kube-root-ca.crt", {"data": {"ca.crt": "forged"}}, "ns")
        await api.clock.sleep(1)
        assert api.get(SERVICEACCOUNTS, "default", "ns") is not None
        configmap = api.get(CONFIGMAPS, "kube-root-ca.crt", "ns")
        assert configmap is not None
        assert configmap["data"] == {"ca.crt": "CA\n"}
        writes = len(api.writes)
        await api.clock.sleep(60)
        assert len(api.writes) == writes, "nothing to do any more"

    play(ServiceAccountController, RootCAPublisher, scenario=scenario)


def test_a_namespace_that_is_being_deleted_gets_nothing() -> None:
    async def scenario(api: FakeApi) -> None:
        metadata = {"name": "ns", "deletionTimestamp": "2026-01-01T00:00:00Z"}
        api.put(NAMESPACES, {"metadata": metadata, "status": {"phase": "Terminating"}})
        await api.clock.sleep(1)
        assert api.writes == []

    play(ServiceAccountController, RootCAPublisher, scenario=scenario)


def test_a_right_configmap_is_not_rewritten() -> None:
    right = plan.root_ca_configmap("ns", "CA\n")
    assert plan.repaired_configmap(right, "CA\n") is None
    repaired = plan.repaired_configmap({**right, "data": {"x": "y"}}, "CA\n")
    assert repaired is not None
    assert repaired["data"] == {"ca.crt": "CA\n"}
