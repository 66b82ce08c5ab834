"""The bugs: what went wrong, where it was told, what keeps kubeherd from it, and who would notice.

Each has an experiment of its name (`bugs/NAME.yaml`): with the protecting code broken, its promise
is violated; as the code is, every promise holds.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from kubeherd.chaos.experiment import Experiment, load
from kubeherd.knownbugs.breaking import (
    Broken,
    as_if_kept,
    does_nothing,
    gives,
    keeps_what_is_gone,
    of_silent_nodes,
)

BUGS = Path(__file__).parent / "bugs"
_UPSTREAM: Final = "kubernetes/kubernetes#"


class Bug(msgspec.Struct, frozen=True):
    """`protects`: what is broken to see the bug; `promise`: what notices."""

    name: str
    issues: tuple[str, ...]
    wrong: str
    protects: Broken
    promise: str

    @property
    def experiment(self) -> Experiment:
        """The history that shows it."""
        return load(BUGS / f"{self.name}.yaml")


def _bug(name: str, issues: str, wrong: str, where: str, make: Any, promise: str) -> Bug:
    told = tuple(one if "#" in one else _UPSTREAM + one for one in issues.split())
    return Bug(name, told, wrong, Broken(where, make), promise)


def _any_list(old: Any) -> Any:
    async def send(self: Any, method: str, path: str, **named: Any) -> Any:
        query = named.get("query") or {}
        if "limit" in query and "continue" not in query:
            named["query"] = {"resourceVersion": "0", **query}
        return await old(self, method, path, **named)

    return send


def _probed_at_creation(old: Any) -> Any:
    def observe(known: Any, node: Any, renew_time: Any, now_s: float, created_s: float) -> Any:
        seen = old(known, node, renew_time, now_s, created_s)
        return seen if known else msgspec.structs.replace(seen, probe_s=created_s)

    return observe


class _AnyUid(str):
    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


def _of_any_uid(old: Any) -> Any:
    async def look(*args: Any) -> Any:
        found = await old(*args)
        return found and msgspec.structs.replace(found, uid=_AnyUid(found.uid))

    return look


def _swallowed(old: Any) -> Any:
    async def create(*args: Any) -> Any:
        made = await old(*args)
        return None if isinstance(made, Exception) else made

    return create


_ALL = (
    _bug("daemon-twice-after-failover", "54096",
         "After a failover with a slow pod cache a node got a second pod of a DaemonSet.",
         "cluster.client.sending:Sender.send", _any_list, "daemonset-one-pod-per-node"),
    _bug("back-in-time", "59848",
         "A component that restarted was served an older state than it had seen, and acted on it.",
         "cluster.client.sending:Sender.send", _any_list, "replicaset-makes-only-missing"),
    _bug("deposed-leader", "23731 67651",
         "Two leaders at a time: who lost the lease went on acting.",
         "cluster.apiserver.write.fencing:check", gives(None), "only-the-leader-writes"),
    _bug("pods-made-again", "129795",
         "A ReplicaSet got too many pods when expectations ended before the cache showed its pods.",
         "controller.workload.written:Written.wait_seen", does_nothing,
         "replicaset-makes-only-missing"),
    _bug("answer-lost", "67662",
         "A create that timed out may have made its pod: to swallow that or to repeat it blindly "
         "is both wrong.",
         "controller.workload.pods.podnames:PodNames.unanswered", gives(None),
         "replicaset-makes-only-missing"),
    _bug("create-given-up", "67662 72155",
         "A create that timed out was not tried again, and the pod was missing for good.",
         "controller.workload.pods.podcontrol:PodControl._create", _swallowed,
         "replicasets-settle"),
    _bug("job-counts-twice", "105200",
         "A Job counted a pod again whose finalizer was still there in its cache.",
         "controller.job.sync:Sync._untrack", does_nothing, "job-counts-once"),
    _bug("informer-misses-deletes", "115658",
         "After a new list an informer kept an object for ever that had been deleted.",
         "cluster.client.reflector:Reflector._replace", keeps_what_is_gone,
         "statefulsets-settle"),
    _bug("watch-with-a-gap", "123072 49956",
         "A watch left events out, and its reader was never told to list again.",
         "cluster.store.watch.history:History.since", as_if_kept, "statefulsets-settle"),
    _bug("pod-killed-by-hearsay", "35145",
         "Pods on a node that was cut off were removed while they ran: split brain.",
         "controller.podgc.controller:PodGarbageCollector._collect_orphans", of_silent_nodes,
         "pods-end-where-they-run"),
    _bug("failover-calls-nodes-dead", "32510",
         "After a failover of the controller manager all nodes were NotReady, and their pods went.",
         "controller.nodes.health:observe", _probed_at_creation, "silence-is-waited-for"),
    _bug("scheduler-remembers-a-node", "56261 94437 101872",
         "The scheduler missed that a node was deleted, and sent pods there.",
         "controller.scheduler.cache:Cache.remove_node", gives(None),
         "pods-bound-where-they-may-run"),
    _bug("owner-of-the-same-name", "65200",
         "The garbage collector mistook another object for the owner.",
         "controller.garbage.writer:GarbageWriter.look", _of_any_uid, "orphans-are-collected"),
    _bug("pods-of-a-gone-node", "118261",
         "Pods of nodes that were gone stayed as Running or Terminating.",
         "controller.podgc.controller:PodGarbageCollector._collect_orphans", does_nothing,
         "daemonsets-settle"),
    _bug("never-available", "77203",
         "A rollout stood still because nobody looked again when minReadySeconds were over.",
         "controller.workload.pods.activepods:until_available_s", gives(None),
         "deployments-settle"),
)  # fmt: skip

CATALOGUE: Final[Mapping[str, Bug]] = MappingProxyType({bug.name: bug for bug in _ALL})
