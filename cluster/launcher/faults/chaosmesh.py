"""Faults from objects of Chaos Mesh (chaos-mesh.org/v1alpha1): PodChaos, NetworkChaos, TimeChaos.
Pure but for the chance that is handed in.

Field names and meanings: api/v1alpha1 of github.com/chaos-mesh/chaos-mesh, master of August 2026.
Pods have no network of their own here, only nodes have, with the API server: a fault of the network
or of the clock hurts the nodes of the pods that are selected. What has no counterpart is refused by
name; nothing that stands in a file is left out silently but `limit` and `buffer` of a bandwidth,
which it has to have.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from kubeherd.cluster.api import goduration
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults import chaosmeshselectors as selectors
from kubeherd.cluster.launcher.faults.chaosmeshselectors import PodKey, Seen, Selector
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults import Effect, Fault, Nodes, effects
from kubeherd.faults.effects import Direction, Moment

API_VERSION: Final = "chaos-mesh.org/v1alpha1"
KILLED: Final = 128 + 9
MOMENT_S: Final = 1.0
"""A container that is killed once: all that run for longer end, and what starts then does not run
so long while the fault is there."""
_RATE = re.compile(r"\s*(\d+)\s*([kmgt]?)(bit|bps)\s*", re.IGNORECASE)
_THOUSANDS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Deletion(msgspec.Struct, frozen=True):
    """A pod to delete, with so many seconds of grace."""

    pod: PodKey
    grace_period_s: int


class Planned(msgspec.Struct, frozen=True):
    """What a file asks for: faults to begin, `for_s` nominal seconds each (0: until undone), and
    pods to delete."""

    faults: tuple[tuple[Fault, float], ...] = ()
    deletions: tuple[Deletion, ...] = ()


class _Spec(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What all have; the fields of Any have no counterpart."""

    selector: Selector
    mode: selectors.Mode
    value: str = ""
    duration: str = ""
    container_names: tuple[str, ...] = ()
    remote_cluster: Any = None


class _PodSpec(_Spec, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    action: str
    grace_period: Annotated[int, Meta(ge=0)] = 0


class _Delay(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    latency: str
    jitter: str = "0ms"
    correlation: Any = None
    reorder: Any = None


class _Loss(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    loss: str
    correlation: Any = None


class _Rate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    rate: str
    limit: int = 0
    buffer: int = 0
    peakrate: Any = None
    minburst: Any = None


class _NetworkSpec(_Spec, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    action: str
    direction: str = "to"
    delay: _Delay | None = None
    loss: _Loss | None = None
    bandwidth: _Rate | None = None
    rate: _Rate | None = None
    duplicate: Any = None
    corrupt: Any = None
    device: Any = None
    target: Any = None
    target_device: Any = None
    external_targets: Any = None


class _TimeSpec(_Spec, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    time_offset: str
    clock_ids: tuple[str, ...] = ("CLOCK_REALTIME",)


def planned(tree: JsonObject, seen: Seen, rng: Rng) -> Planned:
    """What an object of Chaos Mesh asks for, in a cluster with these nodes and pods.

    LauncherError names what is wrong with it or has no counterpart.
    """
    kind = str(tree.get("kind") or "an object without a kind")
    reader = _READERS.get(kind)
    if reader is None:
        raise LauncherError(f"{kind} of {API_VERSION} has no counterpart")
    return reader(_Object(kind, tree), seen, rng)


class _Object:
    """One object: its spec, its name, and how its problems are told."""

    def __init__(self, kind: str, tree: JsonObject) -> None:
        self.kind = kind
        metadata = tree.get("metadata") or {}
        self.namespace = str(metadata.get("namespace") or "default")
        name = re.sub(r"[^-a-z0-9]+", "-", str(metadata.get("name") or kind).lower())
        self.name = name[:63].strip("-") or "chaos"
        self._spec = tree.get("spec") or {}

    def spec(self, of: type[selectors.S]) -> selectors.S:
        """The spec, every field of which is known and means something here."""
        try:
            spec = msgspec.convert(self._spec, of)
        except msgspec.ValidationError as error:
            raise LauncherError(f"{self.kind}.spec: {error}") from None
        self.refuse_unmapped(spec, "spec")
        return spec

    def refuse_unmapped(self, part: msgspec.Struct, path: str) -> None:
        """LauncherError for what is set and is no more than named here."""
        for field in msgspec.structs.fields(type(part)):
            value = getattr(part, field.name)
            where = f"{path}.{field.encode_name}"
            if isinstance(value, msgspec.Struct):
                self.refuse_unmapped(value, where)
            elif field.type is Any and value not in (None, "", [], {}, "0"):
                raise self.unmapped(where)

    def unmapped(self, path: str, value: str = "") -> LauncherError:
        """The error for what has no counterpart."""
        shown = f' "{value}"' if value else ""
        return LauncherError(f"{self.kind}.{path}{shown} has no counterpart")

    def wrong(self, path: str, why: object) -> LauncherError:
        """The error for a bad value."""
        return LauncherError(f"{self.kind}.{path}: {why}")

    def seconds(self, path: str, text: str) -> float:
        """A duration as Go writes it; "" is 0."""
        try:
            return goduration.nanoseconds(text) / 1e9 if text else 0.0
        except ValueError as error:
            raise self.wrong(path, error) from None

    def chosen(self, spec: _Spec, seen: Seen, rng: Rng) -> selectors.Chosen:
        """The pods or nodes that the selector and the mode mean."""
        try:
            return selectors.choose(spec.selector, spec.mode, spec.value, self.namespace, seen, rng)
        except ValueError as error:
            raise self.wrong("spec", error) from None

    def faults(self, spec: _Spec, nodes: Sequence[str], hurts: Sequence[Effect]) -> Planned:
        """The same nodes hurt in each of these ways."""
        for_s = self.seconds("spec.duration", spec.duration)
        target = Nodes(tuple(nodes))
        return Planned(
            tuple((Fault(id=self.name, target=target, effect=effect), for_s) for effect in hurts)
        )


def _pod_chaos(obj: _Object, seen: Seen, rng: Rng) -> Planned:
    spec = obj.spec(_PodSpec)
    if spec.action not in ("pod-kill", "pod-failure", "container-kill"):
        raise obj.unmapped("spec.action", spec.action)
    if spec.grace_period and spec.action != "pod-kill":
        raise obj.unmapped("spec.gracePeriod")
    chosen = obj.chosen(spec, seen, rng)
    pods = chosen.pods(seen)
    if spec.action == "pod-kill":
        return Planned(deletions=tuple(Deletion(pod.key, spec.grace_period) for pod in pods))
    names = tuple(str(pod.key) for pod in pods)
    if spec.action == "pod-failure":
        return obj.faults(spec, chosen.nodes(seen), [effects.PodUnready(names=names)])
    for pod in pods:
        if not set(pod.containers) <= set(spec.container_names or pod.containers[:1]):
            raise obj.unmapped("spec.containerNames", ", ".join(spec.container_names))
    kill = effects.PodCrash(after_s=MOMENT_S, exit_code=KILLED, names=names)
    found = obj.faults(spec, chosen.nodes(seen), [kill])
    return Planned(tuple((fault, MOMENT_S * 0.9) for fault, _ in found.faults))


def _network_chaos(obj: _Object, seen: Seen, rng: Rng) -> Planned:
    spec = obj.spec(_NetworkSpec)
    if spec.container_names:
        raise obj.unmapped("spec.containerNames")
    if spec.direction not in _DIRECTIONS:
        raise obj.wrong("spec.direction", f'"{spec.direction}" is none of to, from, both')
    hurts = list(_network(obj, spec))
    return obj.faults(spec, obj.chosen(spec, seen, rng).nodes(seen), hurts)


def _network(obj: _Object, spec: _NetworkSpec) -> Iterator[Effect]:
    """What hurts a node's network; a part that its action does not use is no mistake there."""
    if spec.action == "partition":
        yield effects.Partition(direction=_DIRECTIONS[spec.direction])
        return
    if spec.action not in ("delay", "loss", "bandwidth", "netem"):
        raise obj.unmapped("spec.action", spec.action)
    parts = {"delay": spec.delay, "loss": spec.loss, "bandwidth": spec.bandwidth, "rate": spec.rate}
    wanted = ("delay", "loss", "rate") if spec.action == "netem" else (spec.action,)
    used = [name for name in wanted if parts[name] is not None]
    if not used:
        raise obj.wrong(f"spec.{wanted[0]}", f"is needed for the action {spec.action}")
    if spec.delay is not None and "delay" in used:
        yield _delay(obj, spec.delay, spec.direction)
    if spec.loss is not None and "loss" in used:
        yield from _loss(obj, spec.loss.loss, spec.direction)
    rate = spec.bandwidth if "bandwidth" in used else spec.rate if "rate" in used else None
    if rate is not None:
        yield effects.SlowNetwork(bandwidth_bytes_per_s=_bytes_per_s(obj, rate.rate))


def _delay(obj: _Object, delay: _Delay, direction: str) -> Effect:
    """Latency is each way here; of one way, half each way: the round trip is the same."""
    ways = 1.0 if direction == "both" else 0.5
    return effects.SlowNetwork(
        latency_s=ways * obj.seconds("spec.delay.latency", delay.latency),
        jitter_s=ways * obj.seconds("spec.delay.jitter", delay.jitter),
    )


def _loss(obj: _Object, text: str, direction: str) -> Iterator[Effect]:
    """All packets lost is a partition; some are requests whose connection breaks, or its answer."""
    try:
        share = float(text) / 100
    except ValueError:
        raise obj.wrong("spec.loss.loss", f'"{text}" is no number') from None
    if not 0 < share <= 1:
        raise obj.wrong("spec.loss.loss", f'"{text}" is not between 0 and 100')
    if share == 1:
        yield effects.Partition(direction=_DIRECTIONS[direction])
        return
    if direction in ("to", "both"):
        yield effects.ApiDrop(moment=Moment.BEFORE, probability=share)
    if direction in ("from", "both"):
        yield effects.ApiDrop(moment=Moment.AFTER, probability=share)


def _bytes_per_s(obj: _Object, text: str) -> int:
    """``1mbps`` are bytes, ``1mbit`` are bits, of which there are thousands in a kilobit."""
    rate = _RATE.fullmatch(text)
    if rate is None:
        raise obj.wrong("spec rate", f'"{text}" is no rate, as 1mbps')
    amount = int(rate[1]) * _THOUSANDS[rate[2].lower()]
    return max(1, amount // 8 if rate[3].lower() == "bit" else amount)


def _time_chaos(obj: _Object, seen: Seen, rng: Rng) -> Planned:
    spec = obj.spec(_TimeSpec)
    if spec.container_names:
        raise obj.unmapped("spec.containerNames")
    for clock in spec.clock_ids:
        if clock != "CLOCK_REALTIME":
            raise obj.unmapped("spec.clockIds", clock)
    skew = effects.ClockSkew(offset_s=obj.seconds("spec.timeOffset", spec.time_offset))
    return obj.faults(spec, obj.chosen(spec, seen, rng).nodes(seen), [skew])


_DIRECTIONS: Final = {
    "to": Direction.REQUESTS,
    "from": Direction.ANSWERS,
    "both": Direction.BOTH,
}
_READERS: Final[Mapping[str, Callable[[_Object, Seen, Rng], Planned]]] = {
    "PodChaos": _pod_chaos,
    "NetworkChaos": _network_chaos,
    "TimeChaos": _time_chaos,
}
