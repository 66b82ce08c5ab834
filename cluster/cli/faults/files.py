"""Faults from a file: ours, or objects of Chaos Mesh for the cluster as it is now."""

import time
from collections.abc import Callable

import msgspec
import yaml

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults import chaosmesh
from kubeherd.cluster.launcher.faults.chaosmesh import API_VERSION, Deletion
from kubeherd.cluster.launcher.faults.chaosmeshselectors import Seen
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults import Fault, FaultError


class Planned(msgspec.Struct, frozen=True):
    """What a file asks for, in this cluster and from now on."""

    faults: list[Fault]
    deletions: list[Deletion]


def planned(text: str, look: Callable[[], Seen], speed: float, rng: Rng) -> Planned:
    """What the documents of a file ask for, all of them. LauncherError for what makes no sense.

    `look` shows the nodes and pods of the cluster; it is called if they are needed.
    """
    trees = _trees(text)
    found = Planned([], [])
    seen = None
    for tree in trees:
        if "apiVersion" not in tree and "kind" not in tree:
            found.faults.append(_fault(tree))
            continue
        if tree.get("apiVersion") != API_VERSION:
            raise LauncherError(f"{tree.get('apiVersion')} {tree.get('kind')} is no fault")
        seen = seen or look()
        part = chaosmesh.planned(tree, seen, rng)
        now_s = time.time()
        for fault, for_s in part.faults:
            until = now_s + for_s / speed if for_s else 0.0
            found.faults.append(msgspec.structs.replace(fault, until=until))
        found.deletions.extend(part.deletions)
    return found


def _trees(text: str) -> list[JsonObject]:
    """The mappings in a file of YAML: its documents, or what is in its lists."""
    try:
        documents = [one for one in yaml.safe_load_all(text) if one is not None]
    except yaml.YAMLError as error:
        raise LauncherError(f"the file is not YAML: {error}") from None
    trees = [
        tree
        for document in documents
        for tree in (document if isinstance(document, list) else [document])
    ]
    if not trees or not all(isinstance(tree, dict) for tree in trees):
        raise LauncherError("the file has no faults: it is not a mapping, and no list of them")
    return trees


def _fault(tree: JsonObject) -> Fault:
    """A fault as `kubeherd faults -o json` writes it; its id may be left out."""
    effect = tree.get("effect")
    kind = effect.get("kind") if isinstance(effect, dict) else None
    try:
        fault = msgspec.convert({"id": str(kind), **tree}, Fault)
        fault.check()
    except (msgspec.ValidationError, FaultError) as error:
        raise LauncherError(f"not a fault: {error}") from None
    return fault
