"""How many replicas a metric asks for (spec podautoscaler 3). Pure.

Values are thousandths of a unit, as in Kubernetes. Invariant: a change smaller than the tolerance,
or in another direction than the metrics that there are say, is no change.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec

from kubeherd.cluster.api import quantity
from kubeherd.cluster.api.helpers import resources
from kubeherd.cluster.api.helpers.podutil import is_ready, is_terminating
from kubeherd.cluster.api.objects import Pod

CPU = "cpu"
CPU_INITIALIZATION_S = 300.0
"""So long after its start a pod's CPU counts only in a whole window of readiness."""
INITIAL_READINESS_S = 30.0
"""A pod that became unready so soon after its start has never been ready."""
MAX_REPLICAS = 2**31 - 1
AgeOf = Callable[[str], float]


class NoReplicas(Exception):
    """A metric says nothing; the text says why."""


class PodMetric(msgspec.Struct, frozen=True):
    """One pod's value, measured `age_s` ago over a window."""

    value: int
    age_s: float = 0.0
    window_s: float = 0.0


class Tolerances(msgspec.Struct, frozen=True):
    """How far the usage may be from the target without consequences, as a share of it."""

    down: float
    up: float

    def hold(self, ratio: float) -> bool:
        """Whether this ratio of usage to target is near enough to one."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class Groups(msgspec.Struct, frozen=True):
    """Names of pods by what their metrics are worth."""

    ready: int
    unready: set[str]
    missing: set[str]
    ignored: set[str]


class Proposal(msgspec.Struct, frozen=True):
    """`usage` is the average over pods, or the value; `percent` of what they request."""

    replicas: int
    usage: int
    percent: int = 0


def group(
    pods: Sequence[Pod], metrics: Mapping[str, PodMetric], resource: str, age_s: AgeOf
) -> Groups:
    """Sort pods by whether their metrics count."""
    groups = Groups(0, set(), set(), set())
    ready = 0
    for pod in pods:
        name = pod.metadata.name
        metric = metrics.get(name)
        if is_terminating(pod) or pod.status.phase == "Failed":
            groups.ignored.add(name)
        elif pod.status.phase == "Pending":
            groups.unready.add(name)
        elif metric is None:
            groups.missing.add(name)
        elif resource == CPU and _is_unready(pod, metric, age_s):
            groups.unready.add(name)
        else:
            ready += 1
    return Groups(ready, groups.unready, groups.missing, groups.ignored)


def _is_unready(pod: Pod, metric: PodMetric, age_s: AgeOf) -> bool:
    """Whether a running pod's CPU says nothing of what it will use."""
    condition, started = pod.status.condition("Ready"), pod.status.start_time
    if condition is None or started is None:
        return True
    since = condition.last_transition_time
    unchanged_s = age_s(since) if since is not None else math.inf
    if age_s(started) < CPU_INITIALIZATION_S:
        return condition.status == "False" or unchanged_s - metric.age_s < metric.window_s
    return condition.status == "False" and unchanged_s > age_s(started) - INITIAL_READINESS_S


class _Usage(msgspec.Struct, frozen=True):
    """What is compared: the ratio of usage to target, and what is shown of it."""

    ratio: float
    usage: int
    percent: int = 0


class PodsTarget(msgspec.Struct, frozen=True):
    """What is wanted of the pods: an average, or a percentage of what they (or their containers
    called `container`) request."""

    resource: str
    average: int = 0
    percent: int = 0
    container: str = ""

    def measure(self, metrics: Mapping[str, PodMetric], requests: Mapping[str, int]) -> _Usage:
        """Compare; NoReplicas if none of the pods requests anything."""
        if not self.percent:
            usage = sum(metric.value for metric in metrics.values()) // len(metrics)
            return _Usage(usage / self.average, usage)
        known = {name: metric for name, metric in metrics.items() if name in requests}
        total = sum(metric.value for metric in known.values())
        requested = sum(requests[name] for name in known)
        if requested == 0:
            raise NoReplicas("no metrics returned matched known pods")
        percent = total * 100 // requested
        return _Usage(percent / self.percent, total // len(known), percent)

    def full(self, name: str, requests: Mapping[str, int]) -> int:
        """What a pod without metrics is taken to use where fewer replicas are asked for."""
        if not self.percent:
            return self.average
        return requests[name] * max(100, self.percent) // 100


def requests_of(pods: Sequence[Pod], resource: str, container: str) -> dict[str, int]:
    """What each pod requests of a resource; NoReplicas if one says nothing."""
    return {pod.metadata.name: _request(pod, resource, container) for pod in pods}


def _request(pod: Pod, resource: str, container: str) -> int:
    whole = pod.spec.resources
    if whole is not None and whole.requests and not container:
        spec = msgspec.to_builtins(pod.spec)
        amounts = resources.of_pod(spec, resources.REQUESTS, overhead=True)
        if resource not in amounts:
            raise NoReplicas(f"missing pod-level request for {resource} in Pod {pod.metadata.name}")
        return amounts[resource].milli_value()
    sidecars = [one for one in pod.spec.init_containers if one.restart_policy == "Always"]
    chosen = [one for one in (*pod.spec.containers, *sidecars) if container in ("", one.name)]
    if not chosen:
        raise NoReplicas(f"container {container} not found in Pod {pod.metadata.name}")
    total = 0
    for one in chosen:
        amount = one.resources.requests.get(resource)
        if amount is None:
            raise NoReplicas(
                f"missing request for {resource} in container {one.name} of Pod {pod.metadata.name}"
            )
        total += quantity.parse(amount).milli_value()
    return total


def of_pods(
    current: int,
    target: PodsTarget,
    pods: Sequence[Pod],
    metrics: Mapping[str, PodMetric],
    tolerances: Tolerances,
    age_s: AgeOf,
) -> Proposal:
    """What the metrics of pods ask for; NoReplicas."""
    if not pods:
        raise NoReplicas("no pods returned by selector while calculating replica count")
    groups = group(pods, metrics, target.resource, age_s)
    known = {
        name: metric
        for name, metric in metrics.items()
        if name not in groups.ignored and name not in groups.unready
    }
    if not known:
        raise NoReplicas("did not receive metrics for targeted pods (pods might be unready)")
    requests = requests_of(pods, target.resource, target.container) if target.percent else {}
    seen = target.measure(known, requests)
    unready_count = bool(groups.unready) and seen.ratio > 1.0
    replicas = current
    if not unready_count and not groups.missing:
        if not tolerances.hold(seen.ratio):
            replicas = math.ceil(seen.ratio * groups.ready)
        return Proposal(replicas, seen.usage, seen.percent)
    if seen.ratio < 1.0:
        known |= {name: PodMetric(target.full(name, requests)) for name in groups.missing}
    elif seen.ratio > 1.0:
        known |= {name: PodMetric(0) for name in groups.missing | groups.unready}
    ratio = target.measure(known, requests).ratio
    turned = (seen.ratio < 1.0 < ratio) or (ratio < 1.0 < seen.ratio)
    if not tolerances.hold(ratio) and not turned:
        wanted = math.ceil(ratio * len(known))
        if (wanted - current) * (ratio - 1.0) >= 0:
            replicas = wanted
    return Proposal(replicas, seen.usage, seen.percent)


def of_value(
    current: int, usage: int, target: int, pods: Sequence[Pod], tolerances: Tolerances
) -> Proposal:
    """What one value asks for, in proportion to the pods that are ready; NoReplicas."""
    ratio = usage / target
    if current == 0:
        return Proposal(math.ceil(ratio), usage)
    if tolerances.hold(ratio):
        return Proposal(current, usage)
    if not pods:
        reason = "no pods returned by selector while calculating replica count"
        raise NoReplicas(f"unable to calculate ready pods: {reason}")
    ready = sum(pod.status.phase == "Running" and is_ready(pod) for pod in pods)
    return Proposal(min(MAX_REPLICAS, math.ceil(ratio * ready)), usage)


def of_average(current: int, usage: int, target: int, tolerances: Tolerances) -> Proposal:
    """What one value asks for that is to be shared evenly; `current`: replicas that there are."""
    ratio = usage / (target * current) if current else math.inf
    replicas = current
    if not tolerances.hold(ratio):
        replicas = min(MAX_REPLICAS, math.ceil(usage / target))
    return Proposal(replicas, -(-usage // current) if current else usage)
