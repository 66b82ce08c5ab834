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


def done(found: tuple[int, str]) -> str:
    code, printed = found
    assert code == 0, printed
    return printed


def rolled_out(kubectl: Kubectl, name: str) -> None:
    printed = done(kubectl(f"rollout status deploy/{name} --timeout=90s"))
    assert printed.splitlines()[-1] == f'deployment "{name}" successfully rolled out'


def causes(kubectl: Kubectl, name: str) -> list[list[str]]:
    """The lines of `rollout history`: revision and cause."""
    printed = done(kubectl(f"rollout history deploy/{name}"))
    return [line.split() for line in printed.splitlines()[2:] if line]


def image(kubectl: Kubectl, name: str) -> str:
    path = "{.spec.template.spec.containers[0].image}"
    return done(kubectl(f"get deploy {name} -o jsonpath={path}"))


def test_rollout_in_full(kubectl: Kubectl) -> None:
    done(kubectl("create deployment web --image=web:1 --replicas=3"))
    rolled_out(kubectl, "web")
    done(kubectl("annotate deploy web kubernetes.io/change-cause=first"))
    done(kubectl("set image deploy/web web=web:2"))
    rolled_out(kubectl, "web")
    done(kubectl("annotate deploy web kubernetes.io/change-cause=second --overwrite"))
    done(kubectl("wait deploy/web --for=condition=Progressing --timeout=90s"))
    assert causes(kubectl, "web") == [["1", "first"], ["2", "second"]]
    assert "web:1" in done(kubectl("rollout history deploy/web --revision=1"))
    assert done(kubectl("rollout undo deploy/web")) == "deployment.apps/web rolled back\n"
    rolled_out(kubectl, "web")
    assert image(kubectl, "web") == "web:1"
    assert causes(kubectl, "web") == [["2", "second"], ["3", "first"]]
    done(kubectl("rollout undo deploy/web --to-revision=2"))
    rolled_out(kubectl, "web")
    assert image(kubectl, "web") == "web:2"
    done(kubectl("rollout restart deploy/web"))
    rolled_out(kubectl, "web")
    revision = "{.metadata.annotations.deployment\\.kubernetes\\.io/revision}"
    assert done(kubectl(f"get deploy web -o jsonpath={revision}")) == "5"
    wide = done(kubectl("get deploy web -o wide")).splitlines()
    assert wide[0].split() == [
        "NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR",
    ]  # fmt: skip
    assert [*wide[1].split()[:4], *wide[1].split()[5:]] == [
        "web", "3/3", "3", "3", "web", "web:2", "app=web",
    ]  # fmt: skip


def test_paused_scaled_and_resumed(kubectl: Kubectl) -> None:
    done(kubectl("create deployment still --image=web:1 --replicas=1"))
    rolled_out(kubectl, "still")
    done(kubectl("rollout pause deploy/still"))
    done(kubectl("set image deploy/still web=web:2"))
    done(kubectl("scale deploy/still --replicas=2"))
    done(kubectl("wait deploy/still --for=jsonpath={.status.availableReplicas}=2 --timeout=90s"))
    condition = '{.status.conditions[?(@.type=="Progressing")].reason}'
    assert done(kubectl("get deploy still -o", f"jsonpath={condition}")) == "DeploymentPaused"
    images = "{.items[*].spec.containers[*].image}"
    pods = done(kubectl(f"get pods -l app=still -o jsonpath={images}"))
    assert pods.split() == ["web:1", "web:1"]
    done(kubectl("rollout resume deploy/still"))
    rolled_out(kubectl, "still")
    assert done(kubectl(f"get pods -l app=still -o jsonpath={images}")).split() == ["web:2"] * 2
    assert "Scaled up replica set still-" in done(kubectl("describe deploy still"))
    done(kubectl("autoscale deploy/still --min=1 --max=4 --cpu-percent=50"))
    assert "Deployment/still" in done(kubectl("get hpa still"))
    done(kubectl("delete hpa still"))


def test_a_deployment_goes_with_all_it_has_or_alone(kubectl: Kubectl) -> None:
    for name, cascade in (("gone", "foreground"), ("left", "orphan")):
        done(kubectl(f"create deployment {name} --image=web:1 --replicas=2"))
        rolled_out(kubectl, name)
        done(kubectl(f"delete deploy {name} --cascade={cascade}"))
    assert "gone" not in done(kubectl("get rs,pods -o name"))
    (left,) = done(kubectl("get rs -l app=left -o name")).split()
    done(kubectl("create deployment left --image=web:1 --replicas=2"))
    rolled_out(kubectl, "left")
    found = json.loads(done(kubectl(f"get {left} -o json")))
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Deployment", "left")
    assert len(done(kubectl("get rs -l app=left -o name")).split()) == 1
