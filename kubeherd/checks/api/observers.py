"""What each observer sees for itself: time does not go backwards."""

from collections.abc import Iterator

from kubeherd.checks.checker import Checker
from kubeherd.checks.objects import key
from kubeherd.history import Record, Request, Told, Violation


class RevisionsSeenGrow(Checker):
    """Revisions by observer: of objects that it gets, of collections that it lists or watches."""

    name = "observers-see-revisions-grow"
    promise = (
        "No observer sees an older state than it saw before: of an object, of a collection, in a "
        "watch."
    )
    source = "API concepts: Resource versions, semantics for get, list and watch"

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str, str], int] = {}
        """By observer, resource, and object or "" for the collection."""

    def see(self, record: Record) -> Iterator[Violation]:
        """Compare an answer or event with the one before."""
        if isinstance(record, Request):
            if record.verb in ("get", "list") and record.status == 200 and not record.stale:
                whole = record.verb == "list"
                name = "" if whole else key(record.namespace, record.name)
                yield from self._grows(record, record.client, record.resource, name)
        elif isinstance(record, Told) and record.type == "LIST":
            yield from self._grows(record, record.observer, record.resource, "")
        elif isinstance(record, Told):  # their own order is for the promises of watch
            place = (record.observer, record.resource, "")
            self._seen[place] = max(self._seen.get(place, 0), record.revision)

    def _grows(
        self, record: Request | Told, observer: str, resource: str, name: str
    ) -> Iterator[Violation]:
        if not record.revision:
            return
        self.looked_at += 1
        place = (observer, resource, name)
        before = self._seen.get(place, 0)
        if record.revision < before:
            what = f"{observer} sees {resource} {name or 'as a whole'} at {record.revision}"
            yield self.violation(record, f"{what} after {before}", f"{resource} {name}".strip())
        self._seen[place] = max(before, record.revision)
