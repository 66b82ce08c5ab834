"""Promises about ReplicaSets and Deployments: what they delete, and how far a rollout goes."""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from typing import Final

import msgspec

from kubeherd.checks.live import Recent
from kubeherd.checks.objects import (
    about,
    condition,
    ended,
    going,
    name_of,
    number,
    owner_uid,
    part,
    scaled,
    text,
    uid_of,
)
from kubeherd.checks.writes import WriteChecker, controller_did, deleted_pod
from kubeherd.history import Verb, Violation, Write
from kubeherd.history.records import Object

_SUSPECTS: Final = 1000
_DEPARTURES: Final = 10_000


class _Departure(msgspec.Struct):
    at: float
    by_controller: bool = False


class OnlySurplusDeleted(WriteChecker):
    """Deletions by the ReplicaSet controller.

    It may not know yet of pods that others took away; those of the last moments count as there.
    """

    name = "replicaset-deletes-only-surplus"
    promise = "The ReplicaSet controller deletes a pod only while there are more than replicas."
    source = "docs/spec/replicaset-controller.md; Concepts: ReplicaSet"
    resources = frozenset({"replicasets.apps", "pods", "events", "namespaces"})

    def __init__(self) -> None:
        super().__init__()
        self._sets: dict[str, Object] = {}
        self._wanted: dict[str, Recent] = {}
        self._active: Counter[str] = Counter()
        """Pods by ReplicaSet."""
        self._departed: dict[str, deque[tuple[str, _Departure]]] = {}
        self._suspects: OrderedDict[tuple[str, str], None] = OrderedDict()

    def note(self, write: Write, before: Object | None) -> None:
        """How many pods are wanted, how many there are, and which went."""
        if write.resource == "replicasets.apps":
            self._note_set(write)
        elif write.resource == "pods":
            was = _active_of(before) if before is not None else ""
            now = _active_of(write.object) if write.verb is not Verb.DELETE else ""
            if was == now:
                return
            for uid, change in ((was, -1), (now, 1)):
                if uid:
                    self._active[uid] += change
                    if not self._active[uid]:
                        del self._active[uid]
            if was in self._wanted:
                self._depart(write, was)

    def _note_set(self, write: Write) -> None:
        uid = uid_of(write.object)
        if write.verb is Verb.DELETE:
            self._sets.pop(uid, None)
            self._wanted.pop(uid, None)
            self._departed.pop(uid, None)
        else:
            self._sets[uid] = write.object
            replicas = number(write.object, "spec", "replicas", default=1)
            self._wanted.setdefault(uid, Recent()).set(write.at, replicas, self.lag_s)

    def _depart(self, write: Write, uid: str) -> None:
        gone = self._departed.setdefault(uid, deque(maxlen=_DEPARTURES))
        while gone and gone[0][1].at < write.at - self.lag_s:
            gone.popleft()
        gone.append((write.name, _Departure(write.at)))

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """A deletion by the controller, known at once or by its event."""
        if write.resource == "events":
            told = deleted_pod(write.object)
            if told and told in self._suspects:
                del self._suspects[told]
                yield from self._deleted(write, *told)
        elif write.resource == "pods" and before is not None:
            uid = _active_of(before)
            if uid not in self._wanted or not (write.verb is Verb.DELETE or going(write.object)):
                return
            if self.ending(write.namespace) or condition(write.object, "DisruptionTarget"):
                return
            did = controller_did(write.actor, "replicaset-controller")
            if did:
                yield from self._deleted(write, uid, write.name)
            elif did is None:
                self._suspects[uid, write.name] = None
                if len(self._suspects) > _SUSPECTS:
                    self._suspects.popitem(last=False)

    def _deleted(self, write: Write, uid: str, name: str) -> Iterator[Violation]:
        gone = self._departed.get(uid, deque())
        for pod, departure in gone:
            departure.by_controller |= pod == name
        owner = self._sets.get(uid)
        if owner is None or going(owner):
            return
        self.looked_at += 1
        excused = sum(not d.by_controller and d.at >= write.at - self.lag_s for _, d in gone)
        left = self._active[uid]
        wanted = self._wanted[uid].least(write.at, self.lag_s)
        if left + excused < wanted:
            what = (
                f"ReplicaSet {write.namespace}/{name_of(owner)}: pod {name} is deleted, "
                f"which leaves {left} of {wanted}"
            )
            yield self.violation(write, what, about(write))


def _active_of(pod: Object) -> str:
    """The ReplicaSet for which a pod counts; "" if it counts for none."""
    return "" if ended(pod) or going(pod) else owner_uid(pod, "ReplicaSet")


class _Set:
    """A ReplicaSet of a Deployment, as of the last moments."""

    def __init__(self) -> None:
        self.replicas = Recent()
        self.available = Recent()


class DeploymentBudget(WriteChecker):
    """Scaling of a Deployment's ReplicaSets.

    Judged by what the ReplicaSets' specs and statuses say, which is what the controller goes by.
    """

    name = "deployment-budget"
    promise = (
        "A rolling update of a Deployment asks for no more than replicas and maxSurge pods, and "
        "gives up no available ones below replicas less maxUnavailable."
    )
    source = "docs/spec/deployment-controller.md; Concepts: Deployments, Rolling Update Deployment"
    resources = frozenset({"deployments.apps", "replicasets.apps", "namespaces"})

    def __init__(self) -> None:
        super().__init__()
        self._sets: dict[str, _Set] = {}
        self._most: dict[str, Recent] = {}
        self._least: dict[str, Recent] = {}

    def note(self, write: Write, before: Object | None) -> None:
        """What the Deployments allow, and what their ReplicaSets have."""
        uid, tree, gone = uid_of(write.object), write.object, write.verb is Verb.DELETE
        if write.resource == "deployments.apps":
            most = self._most.setdefault(uid, Recent())
            least = self._least.setdefault(uid, Recent())
            if gone:
                del self._most[uid], self._least[uid]
                return
            low, high = rollout_limits(tree)
            most.set(write.at, high, self.lag_s)
            least.set(write.at, low, self.lag_s)
        elif write.resource == "replicasets.apps":
            had = self._sets.setdefault(uid, _Set())
            if gone:
                del self._sets[uid]
                return
            if before is None and not write.restored:
                had.replicas.set(write.at, 0, self.lag_s)  # the controller may not know of it
            had.replicas.set(write.at, number(tree, "spec", "replicas", default=1), self.lag_s)
            had.available.set(write.at, number(tree, "status", "availableReplicas"), self.lag_s)

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """A ReplicaSet that is scaled."""
        if write.resource != "replicasets.apps" or write.verb is Verb.DELETE:
            return
        owner = owner_uid(write.object, "Deployment")
        if owner not in self._most or self.ending(write.namespace):
            return
        if controller_did(write.actor, "deployment-controller") is False:
            return
        was = number(before or {}, "spec", "replicas") if before is not None else 0
        now = number(write.object, "spec", "replicas", default=1)
        if before is not None and _desired(before) != _desired(write.object):
            return  # the Deployment was scaled, and its ReplicaSets in proportion
        if now == was or (before is not None and owner_uid(before, "Deployment") != owner):
            return
        self.looked_at += 1
        others = [s for s in self.live.owned(owner, "replicasets.apps") if s is not write.object]
        if now > was:
            yield from self._more(write, owner, others, now)
        else:
            yield from self._fewer(write, owner, others, now)

    def _more(
        self, write: Write, owner: str, others: list[Object], now: int
    ) -> Iterator[Violation]:
        most = self._most[owner].most(write.at, self.lag_s)
        total = now + sum(
            self._sets[uid_of(one)].replicas.least(write.at, self.lag_s) for one in others
        )
        if total > most:
            what = f"{about(write)} is scaled to {now}, which makes {total} pods; {most} may be"
            yield self.violation(write, what, about(write))

    def _fewer(
        self, write: Write, owner: str, others: list[Object], now: int
    ) -> Iterator[Violation]:
        least = self._least[owner].least(write.at, self.lag_s)
        has = self._sets[uid_of(write.object)].available.least(write.at, self.lag_s)
        if has <= now:
            return  # it gives up none that are available, or such as just became so
        left = now + sum(
            min(
                self._sets[uid_of(one)].available.most(write.at, self.lag_s),
                self._sets[uid_of(one)].replicas.most(write.at, self.lag_s),
            )
            for one in others
        )
        if left < least:
            what = (
                f"{about(write)} is scaled to {now}, which leaves {left} available; {least} must be"
            )
            yield self.violation(write, what, about(write))


def _desired(replicaset: Object) -> str:
    """For how many replicas of its Deployment a ReplicaSet was scaled last."""
    return text(replicaset, "metadata", "annotations", "deployment.kubernetes.io/desired-replicas")


def rollout_limits(deployment: Object) -> tuple[int, int]:
    """How many available pods a rollout must leave, and how many pods there may be."""
    replicas = number(deployment, "spec", "replicas", default=1)
    strategy = part(deployment, "spec", "strategy")
    if text(strategy, "type") == "Recreate":
        return 0, replicas
    rolling = part(strategy, "rollingUpdate")
    surge = scaled(rolling.get("maxSurge", "25%"), replicas, up=True)
    fewer = scaled(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    if not surge and not fewer:
        fewer = 1
    return max(0, replicas - fewer), replicas + surge
