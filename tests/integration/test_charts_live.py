"""Well-known charts come up: no object refused, every workload available, every Job complete.

`tests/data/charts` has what these charts render to: written for kubeherd, in their shape. All are
applied to one cluster in Helm's order, so that they meet each other's definitions and webhooks; of
those nobody answers, and each fails as its failurePolicy says.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from patience import PATIENCE_S

import kubeherd
from kubeherd.cluster.api import kinds
from kubeherd.pytest_plugin.clusters import Clusters

Tree = dict[str, Any]

CHARTS = sorted((Path(__file__).parents[1] / "data" / "charts").glob("*.yaml"))
BESIDE_PYTHON = Path(sys.executable).parent
KUBECTL = shutil.which("kubectl", path=f"{os.environ.get('PATH', '')}:{BESIDE_PYTHON}")
ORDER = (
    "PriorityClass", "Namespace", "NetworkPolicy", "ResourceQuota", "PodDisruptionBudget",
    "ServiceAccount", "Secret", "ConfigMap", "StorageClass", "PersistentVolumeClaim",
    "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding",
    "Service", "DaemonSet", "Pod", "Deployment", "HorizontalPodAutoscaler", "StatefulSet", "Job",
    "CronJob", "IngressClass", "Ingress", "APIService", "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
)  # fmt: skip
"""As Helm installs (pkg/release/util/kind_sorter.go); what it does not know comes last."""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.kubectl,
    pytest.mark.skipif(KUBECTL is None, reason="no kubectl: scripts/get_kubectl.py fetches one"),
]


# --- what is waited for ---


def deployment(tree: Tree, status: Tree) -> str:
    wanted = tree["spec"]["replicas"]
    counts = {name: status.get(name, 0) for name in ("updatedReplicas", "availableReplicas")}
    return "" if set(counts.values()) == {wanted} else f"{counts} of {wanted}"


def daemonset(_tree: Tree, status: Tree) -> str:
    wanted, there = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    return "" if 0 < wanted == there else f"{there} available of {wanted}"


def job(tree: Tree, status: Tree) -> str:
    conditions = {c["type"]: c for c in status.get("conditions") or () if c["status"] == "True"}
    return "" if "Complete" in conditions else f"{sorted(conditions) or 'no condition'}"


RULES: dict[str, Callable[[Tree, Tree], str]] = {
    "daemonsets": daemonset,
    "deployments": deployment,
    "statefulsets": deployment,
    "jobs": job,
}


def trouble(plural: str, tree: Tree) -> str:
    """What a workload lacks, in words; "" for nothing."""
    status = tree.get("status") or {}
    if plural != "jobs" and status.get("observedGeneration") != tree["metadata"]["generation"]:
        return "no controller has seen it"
    return RULES[plural](tree, status)


def late(cluster: kubeherd.Cluster) -> list[str]:
    """A line for each workload that has not come up."""
    return [
        f"{plural} {tree['metadata']['namespace']}/{tree['metadata']['name']}: {lack}"
        for plural in RULES
        for tree in cluster.list(plural)
        if (lack := trouble(plural, tree))
    ]


@pytest.mark.parametrize(
    ("plural", "status", "said"),
    [
        ("deployments", {}, "no controller has seen it"),
        ("deployments", {"updatedReplicas": 2, "availableReplicas": 1}, "of 2"),
        ("deployments", {"updatedReplicas": 2, "availableReplicas": 2}, ""),
        ("daemonsets", {"desiredNumberScheduled": 0}, "0 available of 0"),
        ("daemonsets", {"desiredNumberScheduled": 1, "numberAvailable": 1}, ""),
        ("jobs", {}, "no condition"),
        ("jobs", {"conditions": [{"type": "Failed", "status": "True"}]}, "Failed"),
        ("jobs", {"conditions": [{"type": "Complete", "status": "True"}]}, ""),
    ],
)
def test_what_a_workload_lacks(plural: str, status: Tree, said: str):
    if status:
        status["observedGeneration"] = 1
    tree = {"metadata": {"generation": 1}, "spec": {"replicas": 2}, "status": status}
    lack = trouble(plural, tree)
    assert said in lack if said else lack == ""


# --- the charts ---


def objects() -> list[Tree]:
    """Of all charts, in the order of their installation."""
    found = [tree for path in CHARTS for tree in yaml.safe_load_all(path.read_text())]
    places = {kind: place for place, kind in enumerate(ORDER)}
    return sorted(found, key=lambda tree: places.get(tree["kind"], len(ORDER)))


@pytest.fixture(scope="module")
def charts_cluster(kubeherd_factory: Clusters) -> Iterator[kubeherd.Cluster]:
    with kubeherd_factory(nodes=5, nodes_per_agent=5, profile="kind") as cluster:
        yield cluster


def kubectl(cluster: kubeherd.Cluster, cache: Path, *args: str, trees: list[Tree]) -> list[str]:
    """The lines that kubectl prints; fails with what it says if it fails."""
    done = subprocess.run(
        [str(KUBECTL), "--kubeconfig", str(cluster.kubeconfig), "--cache-dir", str(cache), *args],
        input=yaml.dump_all(trees, Dumper=yaml.CSafeDumper),
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_chart_is_there_and_none_is_small():
    assert len(CHARTS) >= 10
    assert [path.name for path in CHARTS if len(path.read_text().splitlines()) < 75] == []


def fine(plural: str, found: Sequence[Any]) -> bool:
    return not any(trouble(plural, tree) for tree in found)


def test_all_charts_come_up(charts_cluster: kubeherd.Cluster, tmp_path: Path):
    trees = objects()
    builtin = [t for t in trees if kinds.for_kind(t["apiVersion"], t["kind"]) is not None]
    custom = [t for t in trees if kinds.for_kind(t["apiVersion"], t["kind"]) is None]
    apply = ("apply", "--server-side", "-f", "-")
    # kubectl asks once which kinds there are
    lines = kubectl(charts_cluster, tmp_path / "first", *apply, trees=builtin)
    lines += kubectl(charts_cluster, tmp_path / "second", *apply, trees=custom)
    assert len([line for line in lines if line.endswith(" serverside-applied")]) == len(trees)
    for plural in RULES:
        try:
            charts_cluster.wait_for_list(
                plural,
                partial(fine, plural),
                timeout_s=PATIENCE_S,
            )
        except kubeherd.ConditionTimeout:
            break
    assert late(charts_cluster) == []
