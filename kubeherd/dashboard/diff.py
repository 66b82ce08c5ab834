"""What differs between two revisions of a workload: their pod templates as YAML. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kubeherd.checks.objects import part
from kubeherd.dashboard.objects import Key
from kubeherd.dashboard.web.answers import Refused
from kubeherd.herd.herd import Herd
from kubeherd.herd.model import Revision, Rollout
from kubeherd.history.records import Object

HASH: Final = "pod-template-hash"
"""The label that a ReplicaSet's template has of its own."""
Lines = list[tuple[str, str]]
"""Each with ``" "``, ``"+"`` or ``"-"``."""


def asked(query: Mapping[str, str], herd: Herd) -> tuple[Key, Key]:
    """The objects that keep the revisions ``from`` and ``to`` of ``workload``; Refused."""
    rollout = herd.rollouts.get(query.get("workload", ""))
    if rollout is None:
        raise Refused(404, f'there is no workload "{query.get("workload", "")}"')
    kept = "replicasets.apps" if rollout.kind == "Deployment" else "controllerrevisions.apps"
    names = [_revision(rollout, query.get(one, "")).object for one in ("from", "to")]
    before, after = (Key(kept, rollout.namespace, name) for name in names)
    return before, after


def _revision(rollout: Rollout, named: str) -> Revision:
    """A revision by its hash or number; Refused."""
    for one in rollout.revisions:
        if named and named in (one.hash, str(one.number)):
            return one
    raise Refused(404, f'{rollout.key} has no revision "{named}"')


def template(tree: Object) -> dict[str, Any]:
    """The pod template that a ControllerRevision or a ReplicaSet keeps."""
    found = part(tree, "data", "spec", "template") or part(tree, "spec", "template")
    kept = {key: value for key, value in found.items() if key != "$patch"}
    metadata = dict(part(kept, "metadata"))
    if isinstance(own := metadata.get("labels"), Mapping):
        metadata["labels"] = {key: value for key, value in own.items() if key != HASH}
    return {**kept, "metadata": metadata}


def unified(before: Object, after: Object) -> Lines:
    """All lines of both, those that differ marked."""
    old, new = _lines(template(before)), _lines(template(after))
    return list(_marked(old, new))


def _lines(tree: dict[str, Any]) -> list[str]:
    from kubeherd.cluster.api.serializer.codecs import dumps_yaml  # noqa: PLC0415 - memory

    return dumps_yaml(tree).decode().splitlines()


def _marked(old: list[str], new: list[str]) -> Iterator[tuple[str, str]]:
    from difflib import SequenceMatcher  # noqa: PLC0415 - memory, for who asks for no difference

    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for what, begin, end, new_begin, new_end in matcher.get_opcodes():
        if what == "equal":
            yield from ((" ", line) for line in old[begin:end])
        else:
            yield from (("-", line) for line in old[begin:end])
            yield from (("+", line) for line in new[new_begin:new_end])
