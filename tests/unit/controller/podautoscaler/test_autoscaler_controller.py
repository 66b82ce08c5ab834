"""The autoscaler against a server, on virtual time (upstream: horizontal_test.go)."""

from collections.abc import Awaitable, Callable

import pytest
from controllerworld import play, pod
from fakeapi import FakeApi

from kubeherd.cluster.api.errors import ApiError, Forbidden, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DEPLOYMENTS, HORIZONTALPODAUTOSCALERS, PODS
from kubeherd.controller.podautoscaler.controller import HorizontalPodAutoscalerController
from kubeherd.simulation.transport import Request

Scenario = Callable[[FakeApi], Awaitable[None]]
SCALE = DEPLOYMENTS.path("ns", "web", "scale")
METRICS = "/apis/metrics.k8s.io/v1beta1/namespaces/ns/pods"
CPU_HALF = [{"type": "Resource", "resource": {
    "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]  # fmt: skip


class World(FakeApi):
    """A server that also has scales, and what pods use."""

    milli = "100m"
    selector = "app=web"

    async def _answer(self, request: Request) -> JsonObject:
        if request.path == "/apis/example.com":
            raise NotFound("the server could not find the requested resource")
        if request.path == METRICS:
            assert request.query["labelSelector"] == self.selector
            return {"items": [self._metrics(tree) for tree in self.all(PODS)]}
        if request.path.endswith("/scale"):
            path = request.path.removesuffix("/scale")
            tree = self.objects.get(path)
            if tree is None:
                raise NotFound('deployments.apps "web" not found')
            if request.method == "PUT":
                replicas = request.tree["spec"]["replicas"]
                self.edit(path, lambda one: one["spec"].update(replicas=replicas))
                tree = self.objects[path]
            return self._scale(tree)
        return await super()._answer(request)

    def _metrics(self, tree: JsonObject) -> JsonObject:
        usage = {"cpu": self.milli, "memory": "64Mi"}
        return {
            "metadata": {"name": tree["metadata"]["name"]},
            "timestamp": self.clock.now().isoformat(), "window": "15s",
            "containers": [{"name": "c", "usage": usage}],
        }  # fmt: skip

    def _scale(self, tree: JsonObject) -> JsonObject:
        replicas = tree["spec"]["replicas"]
        meta = {key: tree["metadata"][key] for key in ("name", "namespace", "uid")}
        return {
            "metadata": {**meta, "resourceVersion": tree["metadata"]["resourceVersion"]},
            "spec": {"replicas": replicas} if replicas else {},
            "status": {"replicas": replicas, "selector": self.selector},
        }


def autoscaler(api: FakeApi, name: str = "hpa", **spec: object) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    annotations = spec.pop("annotations", {})
    api.put(HORIZONTALPODAUTOSCALERS, {
        "metadata": {"name": name, "namespace": "ns", "annotations": annotations},
        "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 10,
                 "metrics": CPU_HALF, **spec},
        "status": {"desiredReplicas": 0, "currentMetrics": None},
    })  # fmt: skip


def deployment(api: FakeApi, replicas: int, pods: int = -1) -> None:
    api.put(DEPLOYMENTS, {
        "metadata": {"name": "web", "namespace": "ns"}, "spec": {"replicas": replicas},
    })  # fmt: skip
    for number in range(replicas if pods < 0 else pods):
        tree = pod(f"web-{number}", "n")
        tree["metadata"]["labels"] = {"app": "web"}
        tree["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "200m"}}
        long_ago = "2025-12-31T00:00:00Z"
        tree["status"]["startTime"] = long_ago
        tree["status"]["conditions"][0]["lastTransitionTime"] = long_ago
        api.put(PODS, tree)


def status(api: FakeApi, name: str = "hpa") -> JsonObject:
    tree = api.get(HORIZONTALPODAUTOSCALERS, name, "ns")
    assert tree is not None
    found: JsonObject = tree.get("status") or {}
    return found


def conditions(api: FakeApi, name: str = "hpa") -> dict[str, tuple[str, str, str]]:
    return {
        one["type"]: (one["status"], one["reason"], one["message"])
        for one in status(api, name)["conditions"]
    }


def replicas(api: FakeApi) -> int:
    tree = api.get(DEPLOYMENTS, "web", "ns")
    assert tree is not None
    return int(tree["spec"]["replicas"])


def events(api: FakeApi) -> list[tuple[str, str]]:
    return [(reason, text) for name, reason, text in api.events() if name == "hpa"]


def played(scenario: Callable[[World], Awaitable[None]]) -> World:
    world = play(HorizontalPodAutoscalerController, scenario=scenario, api_of=World)  # type: ignore[arg-type]
    assert isinstance(world, World)
    return world


def test_up_and_down_with_the_load() -> None:
    async def scenario(api: World) -> None:
        deployment(api, 3)
        api.milli = "200m"
        autoscaler(api)
        await api.clock.sleep(14)
        assert replicas(api) == 3, "the first look is after 15 s"
        await api.clock.sleep(3)
        assert replicas(api) == 6
        found = status(api)
        assert (found["currentReplicas"], found["desiredReplicas"]) == (3, 6)
        assert found["currentMetrics"] == [{
            "type": "Resource",
            "resource": {"name": "cpu",
                         "current": {"averageUtilization": 100, "averageValue": "200m"}},
        }]  # fmt: skip
        assert found["lastScaleTime"]
        assert conditions(api) == {
            "AbleToScale": (
                "True", "SucceededRescale",
                "the HPA controller was able to update the target scale to 6",
            ),
            "ScalingActive": (
                "True", "ValidMetricFound",
                "the HPA was able to successfully calculate a replica count from cpu resource "
                "utilization (percentage of request)",
            ),
            "ScalingLimited": (
                "False", "DesiredWithinRange", "the desired count is within the acceptable range",
            ),
        }  # fmt: skip
        deployment(api, 6)
        api.milli = "10m"
        await api.clock.sleep(30)
        assert replicas(api) == 6
        assert conditions(api)["AbleToScale"][1] == "ScaleDownStabilized"
        await api.clock.sleep(320)
        assert replicas(api) == 1

    said = events(played(scenario))
    reason = "cpu resource utilization (percentage of request) above target"
    assert said[0] == ("SuccessfulRescale", f"New size: 6; reason: {reason}")
    assert ("SuccessfulRescale", "New size: 1; reason: All metrics below target") in said


@pytest.mark.parametrize(
    ("wanted", "left", "reason"),
    [(20, 10, "Current number of replicas above Spec.MaxReplicas"),
     (1, 2, "Current number of replicas below Spec.MinReplicas")],
)  # fmt: skip
def test_bounds_need_no_metrics(wanted: int, left: int, reason: str) -> None:
    async def scenario(api: World) -> None:
        deployment(api, wanted, pods=0)
        autoscaler(api, minReplicas=2)
        await api.clock.sleep(16)
        assert replicas(api) == left

    assert events(played(scenario))[0] == (
        "SuccessfulRescale",
        f"New size: {left}; reason: {reason}",
    )


def test_no_replicas_disable_scaling() -> None:
    async def scenario(api: World) -> None:
        deployment(api, 0)
        autoscaler(api)
        await api.clock.sleep(40)
        assert replicas(api) == 0
        assert conditions(api)["ScalingActive"] == (
            "False", "ScalingDisabled",
            "scaling is disabled since the replica count of the target is zero",
        )  # fmt: skip

    assert events(played(scenario)) == []


def named(kind: str, target: JsonObject) -> list[JsonObject]:
    extra = {}
    if kind == "object":
        extra = {"describedObject": {"apiVersion": "v1", "kind": "Service", "name": "front"}}
    return [{"type": kind.title(), kind: {"metric": {"name": "qps"}, "target": target, **extra}}]


@pytest.mark.parametrize(
    ("metrics", "value", "result", "current"),
    [
        (named("pods", {"type": "AverageValue", "averageValue": "10"}), "20", 6,
         {"averageValue": "20"}),
        (named("object", {"type": "Value", "value": "10"}), "20", 6, {"value": "20"}),
        (named("object", {"type": "AverageValue", "averageValue": "10"}), "50", 5,
         {"averageValue": "16667m"}),
        (named("external", {"type": "Value", "value": "10"}), "20", 6, {"value": "20"}),
        (named("external", {"type": "AverageValue", "averageValue": "10"}), "40", 4,
         {"averageValue": "13334m"}),
        ([{"type": "ContainerResource", "containerResource": {
            "name": "cpu", "container": "c",
            "target": {"type": "Utilization", "averageUtilization": 25}}}], "", 6,
         {"averageUtilization": 50, "averageValue": "100m"}),
        ([{"type": "Resource", "resource": {
            "name": "memory", "target": {"type": "AverageValue", "averageValue": "32Mi"}}}],
         "", 6, {"averageValue": "64Mi"}),
    ],
)  # fmt: skip
def test_every_kind_of_metric(
    metrics: list[JsonObject], value: str, result: int, current: JsonObject
) -> None:
    async def scenario(api: World) -> None:
        deployment(api, 3)
        autoscaler(api, metrics=metrics, annotations={"kubeherd.io/metric.qps": value})
        await api.clock.sleep(17)
        assert replicas(api) == result
        (found,) = status(api)["currentMetrics"]
        (told,) = (part for part in found.values() if isinstance(part, dict))
        assert told["current"] == current

    played(scenario)


@pytest.mark.parametrize(
    ("metrics", "reason", "problem"),
    [
        (named("pods", {"type": "AverageValue", "averageValue": "10"}), "FailedGetPodsMetric",
         "unable to get metric qps: unable to fetch metrics from custom metrics API: no custom "
         "metrics API (custom.metrics.k8s.io) registered"),
        (named("object", {"type": "Value", "value": "10"}), "FailedGetObjectMetric",
         "unable to get metric qps: unable to fetch metrics from custom metrics API: no custom "
         "metrics API (custom.metrics.k8s.io) registered on Service ns/front"),
        (named("external", {"type": "Value", "value": "10"}), "FailedGetExternalMetric",
         "unable to get external metric ns/qps/nil: unable to fetch metrics from external metrics "
         "API: the server could not find the requested resource (get "
         "qps.external.metrics.k8s.io)"),
        ([{"type": "Resource", "resource": {
            "name": "memory", "target": {"type": "Utilization", "averageUtilization": 5}}}],
         "FailedGetResourceMetric",
         "failed to get memory utilization: missing request for memory in container c of Pod "
         "web-0"),
        ([{"type": "ContainerResource", "containerResource": {
            "name": "cpu", "container": "x",
            "target": {"type": "Utilization", "averageUtilization": 5}}}],
         "FailedGetContainerResourceMetric",
         "failed to get cpu utilization: did not receive metrics for targeted pods (pods might be "
         "unready)"),
    ],
)  # fmt: skip
def test_a_metric_that_fails(metrics: list[JsonObject], reason: str, problem: str) -> None:
    async def scenario(api: World) -> None:
        deployment(api, 3)
        autoscaler(api, metrics=metrics)
        await api.clock.sleep(30)
        assert replicas(api) == 3
        text = f"the HPA was unable to compute the replica count: {problem}"
        assert conditions(api)["ScalingActive"] == ("False", reason, text)
        assert status(api)["currentMetrics"] == [{"type": ""}]

    said = events(played(scenario))
    assert (reason, problem) in said
    failed = [text for kind, text in said if kind == "FailedComputeMetricsReplicas"]
    assert failed[0].startswith(
        "invalid metrics (1 invalid out of 1), first error is: failed to get"
    )


def test_one_metric_of_two_may_fail_while_the_other_asks_for_more() -> None:
    broken = named("external", {"type": "Value", "value": "10"})

    async def up(api: World) -> None:
        deployment(api, 3)
        api.milli = "200m"
        autoscaler(api, metrics=[*broken, *CPU_HALF])
        await api.clock.sleep(16)
        assert replicas(api) == 6

    played(up)

    async def down(api: World) -> None:
        deployment(api, 3)
        api.milli = "1m"
        autoscaler(api, metrics=[*broken, *CPU_HALF])
        await api.clock.sleep(400)
        assert replicas(api) == 3

    played(down)


def test_a_target_that_cannot_be_scaled() -> None:
    async def scenario(api: World) -> None:
        autoscaler(api)
        await api.clock.sleep(17)
        reads = "the HPA controller was unable to get the target's current scale"
        assert conditions(api)["AbleToScale"] == (
            "False", "FailedGetScale", f'{reads}: deployments.apps "web" not found',
        )  # fmt: skip
        deployment(api, 20)

        def refusing(request: Request) -> ApiError | None:
            return (
                Forbidden("not you") if (request.method, request.path) == ("PUT", SCALE) else None
            )

        api.disturbance = refusing
        await api.clock.sleep(30)
        assert conditions(api)["AbleToScale"] == (
            "False", "FailedUpdateScale",
            "the HPA controller was unable to update the target scale: not you",
        )  # fmt: skip

    said = events(played(scenario))
    assert ("FailedGetScale", 'deployments.apps "web" not found') in said
    reason = "Current number of replicas above Spec.MaxReplicas"
    assert ("FailedRescale", f"New size: 10; reason: {reason}; error: not you") in said


def test_a_kind_that_nobody_serves() -> None:
    async def scenario(api: World) -> None:
        target = {"apiVersion": "example.com/v1", "kind": "Web", "name": "web"}
        autoscaler(api, scaleTargetRef=target)
        await api.clock.sleep(16)
        assert conditions(api)["AbleToScale"][2].endswith(
            'no matches for kind "Web" in group "example.com"'
        )

    played(scenario)


def test_selectors() -> None:
    async def none(api: World) -> None:
        api.selector = ""
        deployment(api, 3)
        autoscaler(api)
        await api.clock.sleep(30)
        assert conditions(api)["ScalingActive"] == (
            "False", "InvalidSelector", "the HPA target's scale is missing a selector",
        )  # fmt: skip

    assert ("SelectorRequired", "selector is required") in events(played(none))

    async def ambiguous(api: World) -> None:
        deployment(api, 3)
        autoscaler(api)
        autoscaler(api, "other")
        await api.clock.sleep(40)
        assert conditions(api)["ScalingActive"] == (
            "False", "AmbiguousSelector",
            "pods by selector app=web are controlled by multiple HPAs: [{hpa ns} {other ns}]",
        )  # fmt: skip
        api.remove(HORIZONTALPODAUTOSCALERS, "other", "ns")
        await api.clock.sleep(30)
        assert conditions(api)["ScalingActive"][0] == "True"

    played(ambiguous)


def test_nothing_is_written_when_nothing_changes() -> None:
    async def scenario(api: World) -> None:
        deployment(api, 3)
        autoscaler(api)
        await api.clock.sleep(40)
        before = len([path for _, path in api.writes if "horizontal" in path])
        await api.clock.sleep(600)
        assert len([path for _, path in api.writes if "horizontal" in path]) == before

    played(scenario)
