"""What one plan of a large workload costs: a JSON line, in milliseconds of CPU.

Usage: python -m kubeherd.bench.plans [--pods 1000]

A program of its own, so that `kubeherd bench` does not import what the controller manager does.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.controller.deployment.model import Now, Observed
from kubeherd.controller.deployment.plan import plan
from kubeherd.controller.workload.apps import Deployment, ReplicaSet

REVISIONS = 11
REPEATS = 50


def main() -> None:
    """Measure and print: the median of each, in the middle of a rollout and when it begins."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=1000)
    pods = parser.parse_args().pods
    measured = {
        "deployment-plan": median_ms(deployment(pods, image="web:10")),
        "deployment-first-plan": median_ms(deployment(pods, image="web:11")),
    }
    print(json.dumps(measured))


def median_ms(observed: Observed) -> float:
    """CPU milliseconds of one plan."""
    now = Now(format_time(datetime.now(UTC)), lambda _: 0.0)
    return 1e3 * statistics.median(_cost_s(lambda: plan(observed, now)) for _ in range(REPEATS))


def _cost_s(act: Callable[[], object]) -> float:
    began_s = time.process_time()
    act()
    return time.process_time() - began_s


def deployment(pods: int, *, image: str) -> Observed:
    """A Deployment whose last two revisions share the pods; older ones are its history."""
    metadata = {"name": "web", "namespace": "default", "uid": "web", "generation": 2}
    owner = {"kind": "Deployment", "name": "web", "uid": "web", "controller": True}
    spec = {
        "replicas": pods,
        "selector": {"matchLabels": {"app": "web"}},
        "template": _template(image, {"app": "web"}),
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
        },
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    }
    sets = []
    for number in range(REVISIONS):
        name, labels = f"web-{number}", {"app": "web", "pod-template-hash": str(number)}
        share = pods // 2 if number >= REVISIONS - 2 else 0
        sets.append(
            {
                "metadata": {
                    "name": name,
                    "namespace": "default",
                    "uid": name,
                    "creationTimestamp": f"2026-01-01T00:00:{number:02}Z",
                    "labels": labels,
                    "annotations": {"deployment.kubernetes.io/revision": str(number + 1)},
                    "ownerReferences": [owner],
                },
                "spec": {"replicas": share, "template": _template(f"web:{number}", labels)},
                "status": dict.fromkeys(("replicas", "readyReplicas", "availableReplicas"), share),
            }
        )
    return Observed(
        msgspec.convert({"metadata": metadata, "spec": spec}, Deployment),
        msgspec.convert(sets, list[ReplicaSet]),
    )


def _template(image: str, labels: dict[str, str]) -> JsonObject:
    environment = [{"name": f"NAME_{i}", "value": str(i)} for i in range(20)]
    containers = [
        {
            "name": f"c{i}",
            "image": image,
            "env": environment,
            "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
            "readinessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}},
        }
        for i in range(3)
    ]
    return {
        "metadata": {"labels": labels},
        "spec": {"containers": containers, "volumes": [{"name": "data", "emptyDir": {}}]},
    }


if __name__ == "__main__":
    main()
