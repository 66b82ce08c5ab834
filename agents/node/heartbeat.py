"""A node's status: computed every 10 s, sent when it changed or every 5 minutes.

Source: spec node-lifecycle 2.3. "Changed" is decided against the Node in the API, so that a
status set to Unknown by the node lifecycle controller is put right at the next computation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

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


class _MadeOf(NamedTuple):
    """What of a node's status, but for the conditions, can change in a life of the node."""

    annotations: Mapping[str, str]
    images: Sequence[str]


class NodeEvents(Protocol):
    """Where events on the Node go."""

    def __call__(self, type_: str, reason: str, message: str) -> None: ...


def interval_s(node_annotations: Mapping[str, str]) -> float:
    """Seconds between heartbeats: 10, or what the Node's annotation says."""
    return parse_seconds(node_annotations.get(HEARTBEAT_INTERVAL)) or UPDATE_INTERVAL_S


class StatusReporter:
    """Reports one node's status, beat by beat (`agents.node.beat`)."""

    __slots__ = ("_config", "_due_s", "_events", "_failing", "_found", "_identity", "_images",
                 "_images_due_s", "_observed", "_rng", "_sent_conditions", "_sent_of",
                 "_sent_revision", "_settled", "_shown_images", "client", "clock", "hindrance",
                 "reported")  # fmt: skip

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
        self._sent_of: _MadeOf | None = None
        """What the content that was sent is made of: a few words instead of two kilobytes."""
        self._found: JsonObject = existing.get("status") or {}
        """The status as registration found or made it, until the first one is sent: of it only what
        differs is. As a kubelet, whose registration has its status, too."""
        self._sent_conditions: Sequence[JsonObject] = tuple(self._found.get("conditions") or ())
        """Until the watch shows them."""
        self._sent_revision = int(existing["metadata"].get("resourceVersion") or 0)
        self._settled: Node | None = None
        """The Node as it was seen when it was last found to be as it ought to be."""
        self._due_s = 0.0
        self._images_due_s = 0.0
        self._shown_images: Sequence[str] = ()
        self.hindrance: Hindrance | None = None
        self._failing = False
        self.reported = Bell()

    async def beat(self) -> None:
        """Compute the status, and send it if it differs or is due."""
        if self.hindrance is None or not await self.hindrance():
            await self._attempt()

    def rests(self) -> bool:
        """Whether the status would be computed from the same as when it was last found to be as it
        ought to be."""
        seen = self._observed()
        if seen is None or seen is not self._settled or self.hindrance is not None:
            return False
        now_s = self.clock.monotonic_s()
        return now_s < self._due_s and self._made_of(seen, now_s) == self._sent_of

    def interval_s(self) -> float:
        """How long until the status is computed again."""
        seen = self._observed()
        every_s = interval_s(seen.metadata.annotations if seen else self._config.annotations)
        return self._rng.jittered(every_s, JITTER)

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
        made_of = self._made_of(seen, now_s)
        before = self._known_conditions(seen)
        wanted = node.conditions(made_of.annotations)
        trees, _, changed = node.condition_trees(
            wanted, transitions(before), format_time(self.clock.now())
        )
        differs = made_of != self._sent_of or conditions_differ(before, trees)
        if not differs and now_s < self._due_s:
            self._settled = seen
            return
        await self._send(made_of, trees)
        shift = self._rng.uniform(-0.5, 0.5) if differs else 0.0
        self._due_s = now_s + REPORT_INTERVAL_S * (1 + shift)
        for condition in changed:
            self._events(
                "Normal",
                condition.event,
                f"Node {self._config.name} status is now: {condition.event}",
            )
        self.reported.set()

    def _made_of(self, seen: Node | None, now_s: float) -> _MadeOf:
        """What the content is made of now; images are looked for every half minute only."""
        if now_s >= self._images_due_s:
            self._images_due_s = now_s + IMAGES_INTERVAL_S
            self._shown_images = tuple(self._images())
        noted = seen.metadata.annotations if seen else self._config.annotations
        return _MadeOf(noted, self._shown_images)

    def _content(self, made_of: _MadeOf | None) -> JsonObject:
        """All of the status but the conditions; nothing if nothing was sent."""
        if made_of is None:
            return {}
        content = node.status_content(self._config, self._identity, made_of.images)
        return nodestandin.shown(content, made_of.annotations)

    async def _send(self, made_of: _MadeOf, trees: list[JsonObject]) -> None:
        content, sent = self._content(made_of), self._content(self._sent_of)
        known = sent or self._found
        status = {k: v for k, v in content.items() if known.get(k) != v}
        for key in sent:
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
        self._sent_of, self._sent_conditions, self._found = made_of, trees, {}

    def _known_conditions(self, seen: Node | None) -> Sequence[JsonObject]:
        """The conditions in the API: what the watch shows, unless our last write is newer."""
        if seen is not None and int(seen.metadata.resource_version or 0) >= self._sent_revision:
            self._sent_conditions = ()
        if seen is not None and not self._sent_conditions:
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
