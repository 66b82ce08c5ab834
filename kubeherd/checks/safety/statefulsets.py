"""Promises about StatefulSets: one pod for each identity."""

import re
from collections.abc import Iterator
from typing import Final

from kubeherd.checks.live import Recent
from kubeherd.checks.objects import labels, name_of, number, owner_uid, uid_of
from kubeherd.checks.safety.metadata import label
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
        identity, name = labels(write.object).get(_IDENTITY, write.name), label(write)
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
