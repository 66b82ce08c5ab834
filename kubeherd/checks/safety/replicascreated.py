"""A ReplicaSet gets no pod too many."""

from collections.abc import Iterator

from kubeherd.checks.live import Recent
from kubeherd.checks.objects import about, ended, going, name_of, number, owner_uid, uid_of
from kubeherd.checks.writes import WriteChecker, controller_did
from kubeherd.history import Verb, Violation, Write
from kubeherd.history.records import Object


class OnlyMissingMade(WriteChecker):
    """Pods that the ReplicaSet controller creates.

    It knows what it has made itself: a cache that is behind, or an answer that was lost, is no
    reason to make a pod twice.
    """

    name = "replicaset-makes-only-missing"
    promise = "The ReplicaSet controller makes a pod only while there are fewer than replicas."
    source = "docs/spec/replicaset-controller.md; Concepts: ReplicaSet"
    resources = frozenset({"replicasets.apps", "pods"})

    def __init__(self) -> None:
        super().__init__()
        self._wanted: dict[str, Recent] = {}

    def note(self, write: Write, before: Object | None) -> None:
        """How many pods are wanted."""
        if write.resource != "replicasets.apps":
            return
        uid = uid_of(write.object)
        if write.verb is Verb.DELETE:
            self._wanted.pop(uid, None)
        else:
            replicas = number(write.object, "spec", "replicas", default=1)
            self._wanted.setdefault(uid, Recent()).set(write.at, replicas, self.lag_s)

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """A new pod, and those that there are."""
        uid = owner_uid(write.object, "ReplicaSet")
        if write.resource != "pods" or write.verb is not Verb.CREATE or uid not in self._wanted:
            return
        if not controller_did(write.actor, "replicaset-controller"):
            return
        self.looked_at += 1
        pods = self.live.owned(uid, "pods")
        active = [pod for pod in pods if not going(pod) and not ended(pod)]
        wanted = self._wanted[uid].most(write.at, self.lag_s)
        if len(active) > wanted:
            others = ", ".join(sorted(name_of(pod) for pod in active if pod is not write.object))
            what = f"pod {write.namespace}/{write.name} is made beside {others}; {wanted} may be"
            yield self.violation(write, what, about(write))
