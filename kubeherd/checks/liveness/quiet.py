"""Controllers that have nothing to do write nothing."""

from collections.abc import Iterator

from kubeherd.checks.objects import about, items, part
from kubeherd.checks.writes import EVERYTHING, NOISE, WriteChecker
from kubeherd.history import Record, Step, Verb, Violation, Write
from kubeherd.history.records import QUIET, SETTLED, Object

_REPORTED = ("conditions", "images")


class StopWriting(WriteChecker):
    """Writes between the steps ``quiet`` and ``settled``."""

    name = "controllers-stop-writing"
    promise = (
        "When all has converged and nobody asks for anything, nothing is written but heartbeats, "
        "leases and events."
    )
    source = "API conventions: controllers are level-based; a status is written when it changes"
    resources = EVERYTHING

    def __init__(self) -> None:
        super().__init__()
        self._quiet = False

    def see(self, record: Record) -> Iterator[Violation]:
        """The span in which it holds."""
        if isinstance(record, Step):
            if record.name == QUIET:
                self._quiet = True
                self.looked_at += 1
            elif record.name == SETTLED:
                self._quiet = False
        return super().see(record)

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """Whether it is one of the writes that never end."""
        if not self._quiet or write.resource in NOISE:
            return
        if write.actor and write.actor.user and not write.actor.user.startswith("system:"):
            return
        self.looked_at += 1
        if changes(write, before):
            yield self.violation(write, f"{about(write)} is written ({write.verb})", about(write))


def changes(write: Write, before: Object | None) -> bool:
    """Whether it is more than a Node's word that it is alive."""
    if write.resource != "nodes" or write.verb is not Verb.UPDATE or before is None:
        return True
    return _but_heartbeats(before) != _but_heartbeats(write.object)


def _but_heartbeats(node: Object) -> object:
    """What of a Node changes when something happens; kubelets report the rest when they do."""
    conditions = [
        {key: value for key, value in one.items() if key != "lastHeartbeatTime"}
        for one in items(node, "status", "conditions")
    ]
    metadata = part(node, "metadata")
    return (
        conditions,
        metadata.get("labels"),
        metadata.get("annotations"),
        part(node, "spec"),
        {key: value for key, value in part(node, "status").items() if key not in _REPORTED},
    )
