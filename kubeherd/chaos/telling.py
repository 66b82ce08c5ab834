"""A record of a history in words: one line for a person. Pure."""

from collections.abc import Mapping
from typing import Any

from kubeherd.history import (
    Actor,
    FaultBegan,
    FaultEnded,
    Leads,
    Process,
    Record,
    Request,
    Step,
    Told,
    Verb,
    Violation,
    Write,
)

_PAST = {Verb.CREATE: "created", Verb.UPDATE: "changed", Verb.DELETE: "deleted"}


def words(record: Record) -> str:
    """What happened; "" for what is not worth a line."""
    match record:
        case Write():
            who = _who(record.actor)
            state = _state(record.resource, record.object)
            where = f"{record.namespace}/{record.name}".lstrip("/")
            return f"{record.resource} {where} {_PAST[record.verb]}{who}{state}"
        case FaultBegan():
            return f"FAULT {record.fault}"
        case FaultEnded():
            return f"healed {record.id}"
        case Process():
            why = f" ({record.why})" if record.why else ""
            return f"process {record.name} {'runs' if record.running else 'ended'}{why}"
        case Leads():
            return f"{record.holder or 'nobody'} leads ({record.lease})"
        case Step():
            return f"step {record.name}: {record.text}" if record.text else f"step {record.name}"
        case Violation():
            return f"VIOLATED {record.promise}: {record.text}"
        case Request():
            answer = record.status or "no answer"
            what = f"{record.verb} {record.resource} {record.namespace}/{record.name}"
            return f"{record.client}: {what}: {answer}"
        case Told():
            what = f"{record.type} {record.resource} {record.namespace}/{record.name}"
            return f"{record.observer} was told {what}"
        case _:
            return ""


def _who(actor: Actor | None) -> str:
    return f" by {actor.user}" if actor is not None and actor.user else ""


def _state(resource: str, tree: Mapping[str, Any]) -> str:
    """What matters of an object at a glance."""
    metadata, spec, status = tree["metadata"], tree.get("spec") or {}, tree.get("status") or {}
    facts = []
    if resource == "pods":
        facts.append(f"on {spec.get('nodeName') or 'no node'}")
        facts.append(str(status.get("phase", "")))
        if "controller-revision-hash" in (metadata.get("labels") or {}):
            facts.append(f"revision {metadata['labels']['controller-revision-hash']}")
    if resource == "nodes":
        ready = [c["status"] for c in status.get("conditions") or () if c["type"] == "Ready"]
        facts.append(f"Ready={ready[0] if ready else '?'}")
        facts += [f"taint {t['key']}:{t['effect']}" for t in spec.get("taints") or ()]
    if metadata.get("deletionTimestamp"):
        facts.append("is being deleted")
    return f": {', '.join(fact for fact in facts if fact)}" if facts else ""
