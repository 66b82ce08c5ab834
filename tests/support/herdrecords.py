"""Records of a history as tests of a herd want them."""

from typing import Any

from kubeherd.history import Verb, Write


def write(resource: str, tree: dict[str, Any], verb: Verb = Verb.UPDATE, **facts: Any) -> Write:
    metadata = tree["metadata"]
    return Write(
        at=facts.pop("at", 10.0), revision=facts.pop("revision", 1), verb=verb, resource=resource,
        namespace=metadata.get("namespace", ""), name=metadata["name"],
        uid=metadata.get("uid", f"u-{metadata['name']}"), object=tree, **facts,
    )  # fmt: skip


def node(name: str, ready: str = "True", verb: Verb = Verb.UPDATE, **facts: Any) -> Write:
    labels = {"topology.kubernetes.io/zone": facts.pop("zone", "")}
    tree = {
        "metadata": {"name": name, "labels": labels},
        "spec": facts.pop("spec", {}),
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }
    return write("nodes", tree, verb, **facts)


def pod(name: str, node: str = "", verb: Verb = Verb.UPDATE, **facts: Any) -> Write:
    owner = facts.pop("owner", "DaemonSet/agent").split("/")
    tree = {
        "metadata": {
            "name": name,
            "namespace": "x",
            "labels": {"controller-revision-hash": facts.pop("hash", "one")},
            "ownerReferences": [{"kind": owner[0], "name": owner[1], "controller": True}],
            **({"deletionTimestamp": "now"} if facts.pop("deleted", False) else {}),
        },
        "spec": {"nodeName": node},
        "status": {
            "phase": facts.pop("phase", "Running"),
            "conditions": [{"type": "Ready", "status": str(facts.pop("ready", True))}],
            "containerStatuses": facts.pop("containers", []),
        },
    }
    return write("pods", tree, verb, **facts)


def daemonset(desired: int, updated: int, available: int, **facts: Any) -> Write:
    tree = {
        "metadata": {"name": "agent", "namespace": "x", "generation": facts.pop("generation", 1)},
        "spec": {
            "updateStrategy": {
                "type": facts.pop("strategy", "RollingUpdate"),
                "rollingUpdate": {"maxUnavailable": facts.pop("budget", 1), "maxSurge": 0},
            }
        },
        "status": {
            "observedGeneration": 1,
            "desiredNumberScheduled": desired,
            "updatedNumberScheduled": updated,
            "numberReady": available,
            "numberAvailable": available,
        },
    }
    return write("daemonsets.apps", tree, **facts)


def revision(number: int, hash_: str, image: str, verb: Verb = Verb.UPDATE) -> Write:
    template = {"spec": {"containers": [{"name": "c", "image": image}]}}
    tree = {
        "metadata": {
            "name": f"agent-{hash_}",
            "namespace": "x",
            "labels": {"controller-revision-hash": hash_},
            "annotations": {"kubernetes.io/change-cause": f"to {image}"},
            "ownerReferences": [{"kind": "DaemonSet", "name": "agent", "controller": True}],
        },
        "revision": number,
        "data": {"spec": {"template": template}},
    }
    return write("controllerrevisions.apps", tree, verb)
