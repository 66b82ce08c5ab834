"""Static pods: what a kubelet makes of a manifest, and the mirror pod that shows it in the API.

Source: spec node-lifecycle 17. Pure.
Decision: the mirror pod is the pod: what runs here is what the API has. The hash is of the
manifest's content; that of Kubernetes is of Go's structs.
"""

import hashlib
from collections.abc import Mapping
from copy import deepcopy
from typing import Final

import orjson

from kubeherd.cluster.api.jsontypes import JsonObject

CONFIG_HASH: Final = "kubernetes.io/config.hash"
CONFIG_MIRROR: Final = "kubernetes.io/config.mirror"
CONFIG_SEEN: Final = "kubernetes.io/config.seen"
CONFIG_SOURCE: Final = "kubernetes.io/config.source"
_ENDURES: Final = {"operator": "Exists", "effect": "NoExecute"}


class NoPod(ValueError):
    """A manifest that describes no pod; the text says why."""


def static_pod(manifest: object, node: str, file: str, seen: str) -> JsonObject:
    """The pod that a kubelet runs for a manifest in a file; `seen`: when it was read. NoPod."""
    if not isinstance(manifest, dict) or manifest.get("kind") != "Pod":
        raise NoPod("it is no Pod")
    metadata, spec = manifest.get("metadata"), manifest.get("spec")
    if not isinstance(metadata, dict) or not isinstance(spec, dict) or not metadata.get("name"):
        raise NoPod("name is needed for the pod")
    pod: JsonObject = deepcopy(manifest)
    content = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.md5(content + f"host:{node}file:{file}".encode(), usedforsecurity=False)
    metadata = pod["metadata"]
    metadata["name"] = f"{metadata['name']}-{node}"
    metadata.setdefault("namespace", "default")
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        CONFIG_HASH: digest.hexdigest(),
        CONFIG_SEEN: seen,
        CONFIG_SOURCE: "file",
    }
    pod["spec"]["nodeName"] = node
    tolerations = pod["spec"].get("tolerations") or []
    pod["spec"]["tolerations"] = [*(t for t in tolerations if t != _ENDURES), _ENDURES]
    return pod


def mirror_pod(pod: JsonObject, node_uid: str) -> JsonObject:
    """What is created in the API for a static pod; its Node owns it."""
    metadata = pod["metadata"]
    annotations = metadata["annotations"]
    owner = {
        "apiVersion": "v1",
        "kind": "Node",
        "name": pod["spec"]["nodeName"],
        "uid": node_uid,
        "controller": True,
    }
    return {
        **pod,
        "metadata": {
            **metadata,
            "annotations": {**annotations, CONFIG_MIRROR: annotations[CONFIG_HASH]},
            "ownerReferences": [owner],
        },
    }


def is_mirror_of(annotations: Mapping[str, str], pod: JsonObject) -> bool:
    """Whether a pod of the API with these annotations shows this static pod."""
    config_hash: str = pod["metadata"]["annotations"][CONFIG_HASH]
    return annotations.get(CONFIG_MIRROR) == config_hash
