"""Promises about StatefulSets: one pod for each identity, made in order."""

import re
from collections.abc import Iterator
from typing import Final

from kubeherd.checks.live import Recent
from kubeherd.checks.objects import (
    about,
    going,
    labels,
    name_of,
    number,
    owner_uid,
    ready,
    text,
    uid_of,
)
from kubeherd.checks.writes import WriteChecker, controller_did
from kubeherd.history import Verb, Violation, Write
from kubeherd.history.records import Object

_ORDINAL: Final = re.compile(r"-(\d+)$")
_IDENTITY: Final = "statefulset.kubernetes.io/pod-name"


class OnePodPerIdentity(WriteChecker):
    """Pods of a StatefulSet by ordinal."""

    name = "statefulset-one-pod-per-identity"
    promise = (
        "An identity of a StatefulSet has one pod: no second one is made while an object of the "
        "first is there, wherever it runs, and none outside of the ordinals that are wanted."
    )
    source = "Concepts: StatefulSets, Pod Identity; docs/spec/statefulset-controller.md"
    resources = frozenset({"statefulsets.apps", "pods"})

    def __init__(self) -> None:
        super().__init__()
        self._end: dict[str, Recent] = {}

    def note(self, write: Write, before: Object | None) -> None:
        """The first ordinal that is not wanted."""
        if write.resource != "statefulsets.apps":
            return
        uid, tree = uid_of(write.object), write.object
        if write.verb is Verb.DELETE:
            self._end.pop(uid, None)
            return
        end = number(tree, "spec", "ordinals", "start") + number(
            tree, "spec", "replicas", default=1
        )
        self._end.setdefault(uid, Recent()).set(write.at, end, self.lag_s)

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """A new pod, and those that are there."""
        uid = owner_uid(write.object, "StatefulSet")
        if write.resource != "pods" or write.verb is not Verb.CREATE or not uid:
            return
        found = _ORDINAL.search(write.name)
        if uid not in self._end or found is None:
            return
        self.looked_at += 1
        identity, name = labels(write.object).get(_IDENTITY, write.name), about(write)
        for other in self.live.owned(uid, "pods"):
            has = labels(other).get(_IDENTITY, name_of(other))
            if other is not write.object and has == identity:
                what = f"pod {name_of(other)} has the identity {identity} of {write.name}"
                yield self.violation(write, f"{what} in {write.namespace}", name)
        end = self._end[uid].most(write.at, self.lag_s)
        if (
            int(found[1]) >= end
            and controller_did(write.actor, "statefulset-controller") is not False
        ):
            what = f"pod {write.namespace}/{write.name} is made; the ordinals end before {end}"
            yield self.violation(write, what, name)


class InOrder(WriteChecker):
    """Pods of a StatefulSet by time."""

    name = "statefulset-in-order"
    promise = (
        "A StatefulSet that is OrderedReady makes a pod only when those of all smaller ordinals "
        "are ready."
    )
    source = "Concepts: StatefulSets, Deployment and Scaling Guarantees"
    resources = frozenset({"statefulsets.apps", "pods"})

    def __init__(self) -> None:
        super().__init__()
        self._sets: dict[str, Object] = {}
        self._good: dict[str, dict[int, float]] = {}
        """Until when each ordinal's pod was ready, by StatefulSet."""

    def note(self, write: Write, before: Object | None) -> None:
        """Which pods are ready."""
        if write.resource == "statefulsets.apps":
            uid = uid_of(write.object)
            if write.verb is Verb.DELETE:
                self._sets.pop(uid, None)
                self._good.pop(uid, None)
            else:
                self._sets[uid] = write.object
            return
        uid, found = owner_uid(write.object, "StatefulSet"), _ORDINAL.search(write.name)
        if uid not in self._sets or found is None:
            return
        good, ordinal = self._good.setdefault(uid, {}), int(found[1])
        if write.verb is not Verb.DELETE and ready(write.object) and not going(write.object):
            good[ordinal] = float("inf")
        elif good.get(ordinal) == float("inf"):
            good[ordinal] = write.at

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """A new pod, and those before it."""
        tree = self._sets.get(owner_uid(write.object, "StatefulSet"))
        found = _ORDINAL.search(write.name)
        if write.resource != "pods" or write.verb is not Verb.CREATE or tree is None:
            return
        if found is None or text(tree, "spec", "podManagementPolicy") == "Parallel":
            return
        if controller_did(write.actor, "statefulset-controller") is False:
            return
        self.looked_at += 1
        good, first = self._good.get(uid_of(tree), {}), number(tree, "spec", "ordinals", "start")
        for ordinal in range(first, int(found[1])):
            if good.get(ordinal, 0.0) < write.at - self.lag_s:
                what = f"pod {write.namespace}/{write.name} is made, and {ordinal} is not ready"
                yield self.violation(write, what, about(write))
                return
