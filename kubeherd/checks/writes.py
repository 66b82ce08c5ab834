"""Checkers that look at writes, and who made them."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final

from kubeherd.checks.checker import NOTHING, Checker
from kubeherd.checks.live import LAG_S, MIN_LAG_S, Live
from kubeherd.checks.objects import condition, going, number, ready, seconds, text
from kubeherd.history import Actor, Began, Record, Speed, Violation, Write
from kubeherd.history.records import Object

NOISE: Final = frozenset({"events", "events.events.k8s.io", "leases.coordination.k8s.io"})
"""Resources that are written for ever, or after the fact."""

EVERYTHING: Final = frozenset({"*"})

MANAGER: Final = "system:kube-controller-manager"
ACCOUNT: Final = "system:serviceaccount:kube-system:"


class WriteChecker(Checker):
    """One promise about writes. What was there before the history began is taken over unjudged."""

    def __init__(self) -> None:
        super().__init__()
        self.live = Live()
        self.speed = 0.0
        """Nominal seconds in a second; 0: not known."""
        self.lag_s = LAG_S
        """Seconds by the history's clock that a cache may be behind."""

    def see(self, record: Record) -> Iterator[Violation]:
        """Take over a write of one of its resources, and judge it if it is a new one."""
        if isinstance(record, Write):
            before = self.live.take(record)
            self.note(record, before)
            if not record.restored:
                return self.judge(record, before)
        elif isinstance(record, Began | Speed):
            self.speed = record.speed
            self.lag_s = max(LAG_S / (record.speed or 1.0), MIN_LAG_S)
        return NOTHING

    def share(self, live: Live, others: Sequence[Checker]) -> None:
        """As `Checker.share`."""
        self.live = live

    def looks_at(self, write: Write) -> bool:
        """A restored one is not judged."""
        kind = type(self)
        takes = kind.note is not WriteChecker.note or kind.see is not WriteChecker.see
        return self.minds(write.resource) and (takes or not write.restored)

    def note(self, write: Write, before: Object | None) -> None:
        """Remember what will be needed; `before` is the state that the write replaced."""
        return

    @abstractmethod
    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """What a new write shows to be wrong; `live` has it already."""

    def ending(self, namespace: str) -> bool:
        """Whether a namespace is being deleted: then all in it is, too, by another controller."""
        tree = self.live.get("namespaces", "", namespace)
        return tree is not None and going(tree)

    def available(self, pod: Object, min_ready_s: int, at: float) -> bool:
        """Whether a pod may count as available: Ready for long enough, as far as can be known."""
        return ready(pod) and (
            not (min_ready_s and self.speed) or self.ready_s(pod, at) >= min_ready_s
        )

    def ready_s(self, pod: Object, at: float) -> float:
        """For how many nominal seconds a pod has been Ready, by its own word."""
        since = seconds(condition(pod, "Ready").get("lastTransitionTime"))
        return (at - since) * (self.speed or 1.0)


def controller_did(actor: Actor | None, account: str) -> bool | None:
    """Whether a controller made a write, by its account or as a part of the controller manager;
    None if it is not known who made it."""
    if actor is None or not actor.user:
        return None
    return actor.user in (MANAGER, ACCOUNT + account)


def deleted_pod(event: Object) -> tuple[str, str] | None:
    """The owner's uid and the pod's name that a controller's event of a deletion tells of."""
    if event.get("reason") != "SuccessfulDelete":
        return None
    about = text(event, "involvedObject", "uid") or text(event, "regarding", "uid")
    message = text(event, "message") or text(event, "note")
    _, told, name = message.rpartition("Deleted pod: ")
    return (about, name) if told else None


def generation(tree: Object) -> int:
    """``metadata.generation``."""
    return number(tree, "metadata", "generation")
