"""One look at one autoscaler: its target's scale, its metrics, the new scale, its status."""

from collections.abc import Sequence

import msgspec

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.errors import ApiError, BadRequest, Conflict
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import HORIZONTALPODAUTOSCALERS, POD_METRICS
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.cache import Cache
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.controller.podautoscaler import limits, metrics
from kubeherd.controller.podautoscaler.evaluate import MetricFailed, View, evaluate
from kubeherd.controller.podautoscaler.limits import Bounds, Memory
from kubeherd.controller.podautoscaler.model import Autoscaler, MetricType
from kubeherd.controller.podautoscaler.status import ConditionType, Draft
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.events import Event, EventType, Record
from kubeherd.controller.workload.pods import podindex
from kubeherd.controller.workload.scaling import NoSuchKind, NotScalable, Scale, Scales, group_of
from kubeherd.controller.workload.storestatus import status_body

_SCALE_TRIES = 5
_RESOURCES = (MetricType.RESOURCE, MetricType.CONTAINER_RESOURCE)
_UNREADABLE = "the HPA controller was unable to get the target's current scale"


class Failed(Exception):
    """The look ended with an error, which the autoscaler's status and events tell."""


class Surroundings(msgspec.Struct, frozen=True):
    """What a look needs of the controller; `selectors`: of which pods each autoscaler is."""

    client: ApiClient
    clock: Clock
    scales: Scales
    pods: Cache[Pod]
    selectors: dict[tuple[str, str], Selector]


class _Wanted(msgspec.Struct, frozen=True):
    """A number of replicas, why, and the status of the metrics it comes from; `problem`: what was
    wrong with some of them."""

    replicas: int
    reason: str = ""
    metrics: Sequence[JsonObject] = ()
    problem: str = ""


class Sync:
    """One look; `memory` is the autoscaler's and outlives it."""

    def __init__(
        self, autoscaler: Autoscaler, memory: Memory, record: Record, around: Surroundings
    ) -> None:
        self._autoscaler = autoscaler
        self._memory = memory
        self._record = record
        self._around = around
        self._now_s = around.clock.monotonic_s()
        self._draft = Draft(autoscaler.status, format_time(around.clock.now()))

    async def run(self) -> None:
        """Do it; Failed, after the status has been written."""
        scale = await self._scale()
        self._memory.began(scale.replicas, self._now_s)
        wanted = await self._wanted(scale)
        rescaled = wanted.replicas != scale.replicas
        if rescaled:
            await self._rescale(scale, wanted)
        self._draft.numbers(scale.replicas, wanted.replicas, wanted.metrics, rescaled=rescaled)
        await self._store()
        if wanted.problem:
            raise Failed(wanted.problem)

    # --- the target ---

    async def _scale(self) -> Scale:
        meta, target = self._autoscaler.metadata, self._autoscaler.spec.scale_target_ref
        group = group_of(target.api_version)
        try:
            scale = await self._around.scales.get(group, target.kind, meta.namespace, target.name)
        except (NoSuchKind, NotScalable, ApiError, TransportError) as error:
            self._warn("FailedGetScale", str(error))
            text = f"{_UNREADABLE}: {error}"
            self._draft.set(ConditionType.ABLE_TO_SCALE, False, "FailedGetScale", text)
            await self._store()
            raise Failed(str(error)) from error
        text = "the HPA controller was able to get the target's current scale"
        self._draft.set(ConditionType.ABLE_TO_SCALE, True, "SucceededGetScale", text)
        return scale

    async def _rescale(self, scale: Scale, wanted: _Wanted) -> None:
        try:
            await self._put(scale, wanted.replicas)
        except (NoSuchKind, NotScalable, ApiError, TransportError) as error:
            text = f"New size: {wanted.replicas}; reason: {wanted.reason}; error: {error}"
            self._warn("FailedRescale", text)
            text = f"the HPA controller was unable to update the target scale: {error}"
            self._draft.set(ConditionType.ABLE_TO_SCALE, False, "FailedUpdateScale", text)
            await self._give_up(scale, wanted.metrics)
            raise Failed(f"failed to rescale: {error}") from error
        text = f"the HPA controller was able to update the target scale to {wanted.replicas}"
        self._draft.set(ConditionType.ABLE_TO_SCALE, True, "SucceededRescale", text)
        self._draft.drop(ConditionType.SCALED_TO_ZERO)
        text = f"New size: {wanted.replicas}; reason: {wanted.reason}"
        self._record(Event(EventType.NORMAL, "SuccessfulRescale", text))
        if self._autoscaler.spec.behavior is not None:
            self._memory.scaled(scale.replicas, wanted.replicas, self._now_s)

    async def _put(self, scale: Scale, replicas: int) -> None:
        """Set the replicas; the newest scale is taken where another writer was faster."""
        meta, target = self._autoscaler.metadata, self._autoscaler.spec.scale_target_ref
        group = group_of(target.api_version)
        for attempt in range(_SCALE_TRIES):
            try:
                await self._around.scales.put(group, target.kind, meta.namespace, scale, replicas)
            except Conflict:
                if attempt == _SCALE_TRIES - 1:
                    raise
                scale = await self._around.scales.get(
                    group, target.kind, meta.namespace, target.name
                )
            else:
                return

    # --- what is wanted of it ---

    async def _wanted(self, scale: Scale) -> _Wanted:
        spec, current = self._autoscaler.spec, scale.replicas
        if current == 0:
            text = "scaling is disabled since the replica count of the target is zero"
            self._draft.set(ConditionType.SCALING_ACTIVE, False, "ScalingDisabled", text)
            self._draft.drop(ConditionType.SCALED_TO_ZERO)
            return _Wanted(0)
        if current > spec.max_replicas:
            return _Wanted(spec.max_replicas, "Current number of replicas above Spec.MaxReplicas")
        if current < spec.min_replicas:
            return _Wanted(spec.min_replicas, "Current number of replicas below Spec.MinReplicas")
        asked = await self._asked(scale)
        bounds = Bounds(current, spec.min_replicas, spec.max_replicas, spec.behavior)
        limited = limits.limit(asked.replicas, bounds, self._memory, self._now_s)
        stable, verdict = limited.stabilized, limited.limited
        self._draft.set(ConditionType.ABLE_TO_SCALE, True, stable.reason, stable.message)
        self._draft.set(
            ConditionType.SCALING_LIMITED, limited.held, verdict.reason, verdict.message
        )
        return msgspec.structs.replace(asked, replicas=limited.replicas)

    async def _asked(self, scale: Scale) -> _Wanted:
        """What the metrics ask for: the most that one of them does. Failed if they say nothing, or
        some do not and the others ask for less."""
        specs = self._autoscaler.spec.metrics
        statuses: list[JsonObject] = [{"type": ""} for _ in specs]
        replicas, name, failures = 0, "", list[MetricFailed]()
        try:
            view = await self._view(scale)
        except Failed as error:
            await self._give_up_metrics(scale, [], str(error))
            raise
        for number, spec in enumerate(specs):
            try:
                asked = evaluate(spec, self._autoscaler, view)
            except MetricFailed as error:
                self._warn(error.reason, error.problem)
                failures.append(error)
                continue
            statuses[number] = asked.status
            if replicas == 0 or asked.replicas > replicas:
                replicas, name = asked.replicas, asked.name
        problem = ""
        if failures:
            counted = f"({len(failures)} invalid out of {len(specs)})"
            problem = f"invalid metrics {counted}, first error is: {failures[0]}"
        if failures and (len(failures) == len(specs) or replicas < scale.replicas):
            text = f"the HPA was unable to compute the replica count: {failures[0].problem}"
            self._draft.set(ConditionType.SCALING_ACTIVE, False, failures[0].reason, text)
            await self._give_up_metrics(scale, statuses, problem)
            raise Failed(problem)
        text = f"the HPA was able to successfully calculate a replica count from {name}"
        self._draft.set(ConditionType.SCALING_ACTIVE, True, "ValidMetricFound", text)
        reason = ""
        if replicas != scale.replicas:
            above = replicas > scale.replicas
            reason = f"{name} above target" if above else "All metrics below target"
        return _Wanted(replicas, reason, statuses, problem)

    async def _view(self, scale: Scale) -> View:
        """The pods of the target and what they use; Failed if it does not say which they are."""
        namespace = self._autoscaler.metadata.namespace
        selector = self._selector(scale)
        pods = podindex.selected(self._around.pods, namespace, selector)
        self._check_alone(scale, pods)
        used: Sequence[JsonObject] = ()
        unused = ""
        if any(spec.type in _RESOURCES for spec in self._autoscaler.spec.metrics):
            used, unused = await self._used(namespace, scale.selector)
        clock = self._around.clock
        return View(scale.replicas, scale.current, pods, used, unused, clock.age_s)

    async def _used(self, namespace: str, selector: str) -> tuple[Sequence[JsonObject], str]:
        """What metrics.k8s.io says of the pods, or why it says nothing."""
        query = {"labelSelector": selector}
        try:
            answer = await self._around.client.request(
                "GET", POD_METRICS.path(namespace), query=query
            )
        except (ApiError, TransportError) as error:
            return (), f"unable to fetch metrics from resource metrics API: {error}"
        items = answer.get("items") or ()
        return items, "" if items else metrics.NO_RESOURCE

    def _selector(self, scale: Scale) -> Selector:
        """The selector of the target's pods; Failed if it has none, or a bad one."""
        if not scale.selector:
            text = "the HPA target's scale is missing a selector"
            raise self._no_selector("SelectorRequired", "selector is required", text)
        try:
            selector = labels.parse(scale.selector)
        except BadRequest as error:
            text = (
                f"couldn't convert selector into a corresponding internal selector object: {error}"
            )
            raise self._no_selector("InvalidSelector", text, text) from None
        self._around.selectors[self._key] = selector
        return selector

    def _check_alone(self, scale: Scale, pods: Sequence[Pod]) -> None:
        """Failed if another autoscaler is there for some of the pods, too."""
        namespace = self._autoscaler.metadata.namespace
        found = sorted(
            key
            for key, selector in self._around.selectors.items()
            if key[0] == namespace and any(selector.matches(pod.metadata.labels) for pod in pods)
        )
        if len(found) > 1:
            shown = " ".join(f"{{{name} {namespace}}}" for _, name in found)
            text = f"pods by selector {scale.selector} are controlled by multiple HPAs: [{shown}]"
            raise self._no_selector("AmbiguousSelector", text, text)

    def _no_selector(self, reason: str, problem: str, condition: str) -> Failed:
        self._warn(reason, problem)
        kind = reason if reason == "AmbiguousSelector" else "InvalidSelector"
        self._draft.set(ConditionType.SCALING_ACTIVE, False, kind, condition)
        return Failed(problem)

    # --- what is told ---

    @property
    def _key(self) -> tuple[str, str]:
        meta = self._autoscaler.metadata
        return meta.namespace, meta.name

    def _warn(self, reason: str, message: str) -> None:
        self._record(Event(EventType.WARNING, reason, message))

    async def _give_up_metrics(
        self, scale: Scale, statuses: Sequence[JsonObject], problem: str
    ) -> None:
        await self._give_up(scale, statuses)
        self._warn("FailedComputeMetricsReplicas", problem)

    async def _give_up(self, scale: Scale, statuses: Sequence[JsonObject]) -> None:
        """Write the status of a look that changes nothing."""
        desired = self._autoscaler.status.desired_replicas
        self._draft.numbers(scale.replicas, desired, statuses, rescaled=False)
        await self._store()

    async def _store(self) -> None:
        """Write the status if it has changed; a refusal is told, and tried again in 15 s."""
        status = self._draft.tree()
        if status is None:
            return
        tree = status_body(Owner(HORIZONTALPODAUTOSCALERS, self._autoscaler.metadata), status)
        try:
            await self._around.client.update(HORIZONTALPODAUTOSCALERS, tree, subresource="status")
        except (ApiError, TransportError) as error:
            self._warn("FailedUpdateStatus", str(error))
