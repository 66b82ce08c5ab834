"""A node's status: computed every 10 s, sent when it changed or every 5 minutes.

Source: spec node-lifecycle 2.3. "Changed" is decided against the Node in the API, so that a
status set to Unknown by the node lifecycle controller is put right at the next computation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import orjson
import structlog

from kubeherd.agents.equipment import Hindrance
from kubeherd.agents.node import nodestatus as node
from kubeherd.agents.node.nodestatus import HEARTBEAT_INTERVAL, NodeConfig, NodeIdentity
from kubeherd.agents.pods.facts import Transition
from kubeherd.cluster.api.errors import ApiError, NotFound
from kubeherd.cluster.api.helpers import nodestandin
from kubeherd.cluster.api.helpers.scripts import parse_seconds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import NODES
from kubeherd.cluster.api.objects import Condition, Node, PartialObject
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.client import ApiClient, PatchKind
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.bell import Bell
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

UPDATE_INTERVAL_S: Final = 10.0
REPORT_INTERVAL_S: Final = 300.0
IMAGES_INTERVAL_S: Final = 30.0
JITTER: Final = 0.04
TRIES: Final = 5

_log = structlog.get_logger(__name__)


class NodeEvents(Protocol):
    """Where events on the Node go."""

    def __call__(self, type_: str, reason: str, message: str) -> None: ...


def interval_s(node_annotations: Mapping[str, str]) -> float:
    """Seconds between heartbeats: 10, or what the Node's annotation says."""
    return parse_seconds(node_annotations.get(HEARTBEAT_INTERVAL)) or UPDATE_INTERVAL_S


class StatusReporter:
    """Reports one node's status. `run` is a task of its owner."""

    def __init__(
        self,
        client: ApiClient,
        config: NodeConfig,
        identity: NodeIdentity,
        clock: Clock,
        rng: Rng,
        *,
        observed: Callable[[], Node | None],
        images: Callable[[], Sequence[str]],
        events: NodeEvents,
        existing: JsonObject,
    ) -> None:
        """`existing`: the Node as registration found or made it."""
        self.client = client
        self._config = config
        self._identity = identity
        self.clock = clock
        self._rng = rng
        self._observed = observed
        self._images = images
        self._events = events
        self._sent_content: JsonObject = {}
        self._sent_made_of: tuple[Mapping[str, str], Sequence[str]] | None = None
        """What of that can change in a life of the node: its annotations, the images there."""
        self._sent_conditions: list[JsonObject] = list(
            (existing.get("status") or {}).get("conditions") or ()
        )
        self._sent_revision = int(existing["metadata"].get("resourceVersion") or 0)
        self._due_s = 0.0
        self._images_due_s = 0.0
        self._shown_images: Sequence[str] = ()
        self.hindrance: Hindrance | None = None
        self._failing = False
        self._again = Bell()
        self.reported = Bell()

    def look_again(self) -> None:
        """Compute now instead of at the next tick: the Node's annotations changed."""
        self._again.set()

    async def run(self) -> None:
        """Compute and send for ever."""
        while True:
            self._again.clear()
            if self.hindrance is None or not await self.hindrance():
                await self._attempt()
            seen = self._observed()
            every_s = interval_s(seen.metadata.annotations if seen else self._config.annotations)
            try:
                wait_s = self._rng.jittered(every_s, JITTER)
                await self.clock.wait_for(self._again.wait(), wait_s)
            except TimeoutError:
                continue

    async def _attempt(self) -> None:
        for _ in range(TRIES):
            try:
                await self._report()
            except NotFound:
                if not self._failing:
                    self._failing = True
                    _log.warning("node_missing", node=self._config.name)
                return
            except TransportError as error:
                self._trouble(error)
                return
            except ApiError as error:
                self._trouble(error)
            else:
                if self._failing:
                    self._failing = False
                    _log.info("status_recovered", node=self._config.name)
                return

    def _trouble(self, error: Exception) -> None:
        if not self._failing and not self.client.unreachable:
            self._failing = True
            _log.warning("status_failing", node=self._config.name, error=str(error))

    async def _report(self) -> None:
        seen = self._observed()
        if seen is None and self.reported.is_set():
            raise NotFound(f'error getting node "{self._config.name}"')
        now_s = self.clock.monotonic_s()
        if now_s >= self._images_due_s:
            self._images_due_s = now_s + IMAGES_INTERVAL_S
            self._shown_images = tuple(self._images())
        noted = seen.metadata.annotations if seen else self._config.annotations
        made_of = noted, self._shown_images
        if made_of == self._sent_made_of:
            content = self._sent_content
        else:
            content = nodestandin.shown(
                node.status_content(self._config, self._identity, self._shown_images), noted
            )
        before = self._known_conditions(seen)
        wanted = node.conditions(noted)
        trees, _, changed = node.condition_trees(
            wanted, transitions(before), format_time(self.clock.now())
        )
        differs = content != self._sent_content or conditions_differ(before, trees)
        if not differs and now_s < self._due_s:
            return
        await self._send(content, trees)
        self._sent_made_of = made_of
        shift = self._rng.uniform(-0.5, 0.5) if differs else 0.0
        self._due_s = now_s + REPORT_INTERVAL_S * (1 + shift)
        for condition in changed:
            self._events(
                "Normal",
                condition.event,
                f"Node {self._config.name} status is now: {condition.event}",
            )
        self.reported.set()

    async def _send(self, content: JsonObject, trees: list[JsonObject]) -> None:
        status = {k: v for k, v in content.items() if self._sent_content.get(k) != v}
        for key in self._sent_content:
            if key not in content:
                status[key] = None
        status["conditions"] = trees
        answer = await self.client.send(
            "PATCH",
            NODES.path(name=self._config.name, subresource="status"),
            body=orjson.dumps({"status": status}),
            content_type=PatchKind.STRATEGIC.value,
        )
        stored = self.client.decode(answer, PartialObject)
        self._sent_revision = int(stored.metadata.resource_version or 0)
        self._sent_content, self._sent_conditions = content, trees

    def _known_conditions(self, seen: Node | None) -> list[JsonObject]:
        """The conditions in the API: our last write, or what the watch showed if it is newer."""
        if seen is not None and int(seen.metadata.resource_version or 0) > self._sent_revision:
            return [_tree(condition) for condition in seen.status.conditions]
        return self._sent_conditions


def transitions(conditions: Sequence[JsonObject]) -> dict[str, Transition]:
    """Status and transition time by condition type."""
    return {
        c["type"]: Transition(c["status"], c["lastTransitionTime"])
        for c in conditions
        if c.get("lastTransitionTime")
    }


def conditions_differ(before: Sequence[JsonObject], wanted: Sequence[JsonObject]) -> bool:
    """Whether anything but the heartbeat times differs."""
    known = {c["type"]: (c["status"], c.get("reason"), c.get("message")) for c in before}
    return any(known.get(c["type"]) != (c["status"], c["reason"], c["message"]) for c in wanted)


def _tree(condition: Condition) -> JsonObject:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": condition.last_transition_time,
    }
