"""A record of a history in words: one line for a person, in all stories of a violation. Pure."""

from collections.abc import Iterator

from kubeherd.checks.objects import about, going, items, labels, part, ready, text
from kubeherd.history import (
    FaultBegan,
    FaultEnded,
    Leads,
    Process,
    Record,
    Request,
    Speed,
    Step,
    Told,
    Verb,
    Violation,
    Write,
)

_LEASES = "leases.coordination.k8s.io"


def words(record: Record) -> str:
    """What happened; "" for what is not worth a line."""
    match record:
        case Write() if record.restored or _renewal(record):
            return ""
        case Write():
            facts = ", ".join(_facts(record))
            who = f" by {record.actor.user}" if record.actor and record.actor.user else ""
            return f"{record.verb:6} {about(record)}{f' ({facts})' * bool(facts)}{who}"
        case FaultBegan():
            return f"fault  {record.fault}"
        case FaultEnded():
            return f"healed {record.id}"
        case Leads():
            return f"leads  {record.holder or 'nobody'} ({record.lease})"
        case Process():
            why = f" ({record.why})" if record.why else ""
            return f"{record.name} {'runs' if record.running else 'ended'}{why}"
        case Speed():
            return f"speed  {record.speed:g}"
        case Step():
            return f"step   {record.name} {record.text}".rstrip()
        case Violation():
            return f"broken {record.promise}: {record.text}"
        case Request():
            return f"asked  {record.verb} {about(record).rstrip()}: {record.status or 'no answer'}"
        case Told():
            return f"told   {record.type} {about(record)} ({record.observer})"
        case _:
            return ""


def _renewal(write: Write) -> bool:
    """A lease that its holder keeps: it is written all the time. A new holder's has just been
    acquired."""
    spec = part(write.object, "spec")
    return (
        write.resource == _LEASES
        and write.verb is Verb.UPDATE
        and bool(spec.get("holderIdentity"))
        and spec.get("acquireTime") != spec.get("renewTime")
    )


def _facts(write: Write) -> Iterator[str]:
    """What matters of an object at a glance."""
    tree = write.object
    if write.resource == "pods":
        yield text(tree, "status", "phase") or "no phase"
        if ready(tree):
            yield "ready"
        if node := text(tree, "spec", "nodeName"):
            yield f"on {node}"
        if revision := labels(tree).get("controller-revision-hash"):
            yield f"revision {revision}"
    elif write.resource == "nodes":
        yield "ready" if ready(tree) else "not ready"
        for taint in items(tree, "spec", "taints"):
            yield f"taint {taint.get('key')}:{taint.get('effect')}"
    elif write.resource == _LEASES:
        yield f"holder {text(tree, 'spec', 'holderIdentity') or 'nobody'}"
    elif write.resource == "events":
        yield f"{text(tree, 'reason')}: {text(tree, 'message') or text(tree, 'note')}"
    elif "replicas" in part(tree, "spec"):
        yield f"{part(tree, 'spec')['replicas']} replicas"
    if going(tree):
        yield "being deleted"
