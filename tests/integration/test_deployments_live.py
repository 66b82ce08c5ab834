"""kubectl and the controller of Deployments, on a cluster of processes.

One cluster for the module; each test has names of its own.
"""

import json
from collections.abc import Iterator

import pytest
from kubectl_runner import NEEDS_KUBECTL, Kubectl

from kubeherd.pytest_plugin.clusters import Clusters

pytestmark = NEEDS_KUBECTL


@pytest.fixture(scope="module")
def kubectl(kubeherd_factory: Clusters) -> Iterator[Kubectl]:
    with kubeherd_factory(nodes=2) as cluster:
        yield Kubectl(cluster.kubeconfig)


def rolled_out(kubectl: Kubectl, name: str) -> None:
    printed = kubectl.done(f"rollout status deploy/{name} --timeout=90s")
    assert printed.splitlines()[-1] == f'deployment "{name}" successfully rolled out'


def causes(kubectl: Kubectl, name: str) -> list[list[str]]:
    """The lines of `rollout history`: revision and cause."""
    printed = kubectl.done(f"rollout history deploy/{name}")
    return [line.split() for line in printed.splitlines()[2:] if line]


def image(kubectl: Kubectl, name: str) -> str:
    path = "{.spec.template.spec.containers[0].image}"
    return kubectl.done(f"get deploy {name} -o jsonpath={path}")


def test_rollout_in_full(kubectl: Kubectl) -> None:
    kubectl.done("create deployment web --image=web:1 --replicas=3")
    rolled_out(kubectl, "web")
    kubectl.done("annotate deploy web kubernetes.io/change-cause=first")
    kubectl.done("set image deploy/web web=web:2")
    rolled_out(kubectl, "web")
    kubectl.done("annotate deploy web kubernetes.io/change-cause=second --overwrite")
    kubectl.done("wait deploy/web --for=condition=Progressing --timeout=90s")
    assert causes(kubectl, "web") == [["1", "first"], ["2", "second"]]
    assert "web:1" in kubectl.done("rollout history deploy/web --revision=1")
    assert kubectl.done("rollout undo deploy/web") == "deployment.apps/web rolled back\n"
    rolled_out(kubectl, "web")
    assert image(kubectl, "web") == "web:1"
    assert causes(kubectl, "web") == [["2", "second"], ["3", "first"]]
    kubectl.done("rollout undo deploy/web --to-revision=2")
    rolled_out(kubectl, "web")
    assert image(kubectl, "web") == "web:2"
    kubectl.done("rollout restart deploy/web")
    rolled_out(kubectl, "web")
    revision = "{.metadata.annotations.deployment\\.kubernetes\\.io/revision}"
    assert kubectl.done(f"get deploy web -o jsonpath={revision}") == "5"
    wide = kubectl.done("get deploy web -o wide").splitlines()
    assert wide[0].split() == [
        "NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR",
    ]  # fmt: skip
    assert [*wide[1].split()[:4], *wide[1].split()[5:]] == [
        "web", "3/3", "3", "3", "web", "web:2", "app=web",
    ]  # fmt: skip


def test_paused_scaled_and_resumed(kubectl: Kubectl) -> None:
    kubectl.done("create deployment still --image=web:1 --replicas=1")
    rolled_out(kubectl, "still")
    kubectl.done("rollout pause deploy/still")
    kubectl.done("set image deploy/still web=web:2")
    kubectl.done("scale deploy/still --replicas=2")
    kubectl.done("wait deploy/still --for=jsonpath={.status.availableReplicas}=2 --timeout=90s")
    condition = '{.status.conditions[?(@.type=="Progressing")].reason}'
    assert kubectl.done("get deploy still -o", f"jsonpath={condition}") == "DeploymentPaused"
    images = "{.items[*].spec.containers[*].image}"
    pods = kubectl.done(f"get pods -l app=still -o jsonpath={images}")
    assert pods.split() == ["web:1", "web:1"]
    kubectl.done("rollout resume deploy/still")
    rolled_out(kubectl, "still")
    assert kubectl.done(f"get pods -l app=still -o jsonpath={images}").split() == ["web:2"] * 2
    assert "Scaled up replica set still-" in kubectl.done("describe deploy still")
    kubectl.done("autoscale deploy/still --min=1 --max=4 --cpu-percent=50")
    assert "Deployment/still" in kubectl.done("get hpa still")
    kubectl.done("delete hpa still")


def test_a_deployment_goes_with_all_it_has_or_alone(kubectl: Kubectl) -> None:
    for name, cascade in (("gone", "foreground"), ("left", "orphan")):
        kubectl.done(f"create deployment {name} --image=web:1 --replicas=2")
        rolled_out(kubectl, name)
        kubectl.done(f"delete deploy {name} --cascade={cascade}")
    assert "gone" not in kubectl.done("get rs,pods -o name")
    (left,) = kubectl.done("get rs -l app=left -o name").split()
    kubectl.done("create deployment left --image=web:1 --replicas=2")
    rolled_out(kubectl, "left")
    found = json.loads(kubectl.done(f"get {left} -o json"))
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Deployment", "left")
    assert len(kubectl.done("get rs -l app=left -o name").split()) == 1
