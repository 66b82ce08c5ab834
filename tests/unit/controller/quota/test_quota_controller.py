"""The quota controller counts, counts again after deletes, and never undoes a charge."""

from datetime import UTC, datetime
from typing import Any

from controllerworld import play
from fakeapi import FakeApi

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import conflict
from kubeherd.cluster.api.kinds import CONFIGMAPS, PODS, RESOURCEQUOTAS
from kubeherd.controller.quota import plan
from kubeherd.controller.quota.controller import QuotaController

SERVICES = kinds.resource("", "v1", "services")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def quota(name: str = "q", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def named(name: str, namespace: str = "default", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, **fields}


def pod(name: str, phase: str = "Running") -> dict[str, Any]:
    containers = [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]
    return named(name, spec={"containers": containers}, status={"phase": phase})


def status(api: FakeApi) -> Any:
    return (api.get(RESOURCEQUOTAS, "q", "default") or {}).get("status")


def test_which_kinds_a_quota_counts() -> None:
    hard = [
        "pods",
        "count/deployments.apps",
        "count/horizontalpodautoscalers.autoscaling",
        "events",
    ]
    found = plan.counted_kinds(hard, kinds.ALL)
    assert sorted(kind.group_resource for kind in found) == [
        "deployments.apps", "horizontalpodautoscalers.autoscaling", "pods",
    ]  # fmt: skip
    assert plan.unknown([*hard, "count/widgets.a.b"], kinds.ALL) == {"count/widgets.a.b"}


def test_a_status_that_is_right_is_not_written() -> None:
    tree = quota(hard={"pods": "2"})
    wanted = plan.with_status(tree, {"pods": [pod("a")]}, NOW)
    assert wanted is not None
    assert wanted["status"] == {"hard": {"pods": "2"}, "used": {"pods": "1"}}
    assert plan.with_status(wanted, {"pods": [pod("a")]}, NOW) is None
    # A limit that was taken out, and one that nobody can count.
    fewer = {**wanted, "spec": {"hard": {"count/nothing": "1"}}}
    changed = plan.with_status(fewer, {}, NOW)
    assert changed is not None
    assert changed["status"] == {"hard": {"count/nothing": "1"}, "used": {}}


def test_it_counts_what_there_is_and_what_has_gone() -> None:
    async def scenario(api: FakeApi) -> None:
        for name in ("a", "b"):
            api.put(PODS, pod(name))
            api.put(CONFIGMAPS, named(name))
        api.put(CONFIGMAPS, named("c", "other"))
        hard = {"pods": "5", "requests.cpu": "2", "configmaps": "9"}
        api.put(RESOURCEQUOTAS, quota(hard=hard))
        await api.clock.sleep(1)
        used = {"configmaps": "2", "pods": "2", "requests.cpu": "1"}
        assert status(api) == {"hard": dict(sorted(hard.items())), "used": used}
        api.put(PODS, pod("a", "Succeeded"))
        await api.clock.sleep(1)
        assert status(api)["used"] == {**used, "pods": "1", "requests.cpu": "500m"}
        api.remove(PODS, "b", "default")
        api.remove(CONFIGMAPS, "b", "default")
        await api.clock.sleep(1)
        assert status(api)["used"] == {"configmaps": "1", "pods": "0", "requests.cpu": "0"}

    play(QuotaController, scenario=scenario)


def test_a_charge_alone_makes_nobody_count() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(RESOURCEQUOTAS, quota(hard={"pods": "5"}))
        await api.clock.sleep(1)
        before = api.count("GET", PODS.path("default"))
        charged = {"status": {"used": {"pods": "3"}}}
        api.change(RESOURCEQUOTAS, "q", charged, "default")
        await api.clock.sleep(5)
        assert api.count("GET", PODS.path("default")) == before
        assert status(api)["used"] == {"pods": "3"}
        await api.clock.sleep(plan.RESYNC_S)
        assert status(api)["used"] == {"pods": "0"}

    play(QuotaController, scenario=scenario)


def test_a_count_that_somebody_overtook_is_made_again() -> None:
    async def scenario(api: FakeApi) -> None:
        path = RESOURCEQUOTAS.path("default", "q", "status")
        refused: list[str] = []

        def overtake(sent: Any) -> Exception | None:
            if sent.method == "PUT" and sent.path == path and not refused:
                refused.append(sent.path)
                api.put(CONFIGMAPS, named("late"))
                return conflict(RESOURCEQUOTAS, "q", "changed")
            return None

        api.disturbance = overtake
        api.put(RESOURCEQUOTAS, quota(hard={"configmaps": "5"}))
        await api.clock.sleep(5)
        assert refused == [path]
        assert status(api)["used"] == {"configmaps": "1"}

    play(QuotaController, scenario=scenario)


def test_a_service_that_changed_is_counted_again() -> None:
    async def scenario(api: FakeApi) -> None:
        ports = [{"port": 1}]
        api.put(SERVICES, named("s", spec={"type": "NodePort", "ports": ports}))
        api.put(RESOURCEQUOTAS, quota(hard={"services.nodeports": "5"}))
        await api.clock.sleep(1)
        assert status(api)["used"] == {"services.nodeports": "1"}
        api.put(SERVICES, named("s", spec={"type": "ClusterIP", "ports": ports}))
        await api.clock.sleep(1)
        assert status(api)["used"] == {"services.nodeports": "0"}

    play(QuotaController, scenario=scenario)
