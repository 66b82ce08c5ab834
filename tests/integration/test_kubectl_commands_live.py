"""What kubectl prints where the server has a say: lists in files, refusals, things that pods lack.

One cluster for the whole module: each command is a case. What the DaemonSet rollout prints is in
test_kubectl_live.
"""

import re
import urllib.request
from collections.abc import Iterator

import pytest
from kubectl_runner import NEEDS_KUBECTL, Kubectl
from patience import PATIENCE_S

from kubeherd.pytest_plugin.clusters import Clusters

LIST = """\
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: two}%s}
"""
DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  names: {kind: Gadget, plural: gadgets, shortNames: [gd]}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer, maximum: 10, description: how large it is}}
"""
GADGET = """\
apiVersion: example.com/v1
kind: Gadget
metadata: {name: one}
spec: {size: 3}
"""

pytestmark = NEEDS_KUBECTL


@pytest.fixture(scope="module")
def kubectl(kubeherd_factory: Clusters) -> Iterator[Kubectl]:
    """kubectl on a cluster with one node and the running pod `p`."""
    with kubeherd_factory(nodes=1) as cluster:
        run = Kubectl(cluster.kubeconfig)
        for command in ("run p --image=nginx", "wait --for=condition=Ready pod/p --timeout=90s"):
            run.done(command)
        yield run


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ("exec p -- echo hi there", 0, "hi there\n"),
        ("exec p -- cat /etc/hostname", 0, "p-1\n"),
        ("exec p -- false", 1, "command terminated with exit code 1\n"),
        ("exec p -- fail", 4, "bad\ncommand terminated with exit code 4\n"),
        ("exec -i p -- ls", 127, 'exec: "ls": executable file not found in $PATH: unknown\n'),
        ("cp p:/etc/passwd /tmp/never", 127, 'exec: "tar": executable file not found in $PATH'),
    ],
)
def test_exec_is_answered_from_a_script(kubectl: Kubectl, command: str, code: int, text: str):
    script = '{"cat /etc/hostname": "p-1\\n", "fail": {"stderr": "bad\\n", "exitCode": 4}}'
    kubectl.done("annotate --overwrite pod p", f"kubeherd.io/exec={script}")
    assert text in kubectl.ends(code, command)


def test_the_log_of_a_plain_command(kubectl: Kubectl):
    run = "run once --image=busybox --restart=Never --command -- sh -c"
    kubectl.done(run, "echo begin; sleep 1; echo end; exit 3")
    kubectl.done("wait pod/once --for=jsonpath={.status.phase}=Failed --timeout=90s")
    assert kubectl.done("logs --follow once") == "begin\nend\n"
    assert kubectl.done("logs --tail=1 once") == "end\n"
    shown = kubectl.done("get pod once -o jsonpath={.status.containerStatuses[0].state}")
    assert '"exitCode":3' in shown


def test_attach_shows_what_comes_and_ends_with_the_container(kubectl: Kubectl):
    run = "run shown --image=busybox --restart=Never --rm --attach --quiet --command -- sh -c"
    script = "sleep 20; echo end; exit 5"  # a second: kubectl must attach
    assert kubectl.ends(5, run, script).startswith("end\n")


def test_ports_are_forwarded(kubectl: Kubectl):
    script = '{"80": {"body": "hello"}}'
    kubectl.done("annotate --overwrite pod p", f"kubeherd.io/port-forward={script}")
    with kubectl.started("port-forward p :80") as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+) -> 80", said)
        assert found is not None, said
        for _ in range(2):
            with urllib.request.urlopen(
                f"http://127.0.0.1:{found[1]}/", timeout=PATIENCE_S
            ) as answer:
                assert answer.read() == b"hello"


def test_lists_in_files(kubectl: Kubectl):
    created = "configmap/one created\nconfigmap/two created\n"
    assert kubectl.done("create -f -", stdin=LIST % "") == created
    refused = kubectl.ends(1, "create -f -", stdin=LIST % ", nosuch: 1")
    assert 'unknown field "nosuch" in io.k8s.api.core.v1.ConfigMap' in refused
    shown = kubectl.done("get configmaps one two -o yaml")
    assert kubectl.done("apply -f -", stdin=shown).count(" configured\n") == 2
    assert kubectl.done("delete -f -", stdin=LIST % "").count(" deleted") == 2


def test_explain_from_version_2(kubectl: Kubectl):
    text = kubectl.done("explain pod.spec.nodeName --output=plaintext-openapiv2")
    assert "FIELD:    nodeName <string>" in text


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("exec q -- ls", 'Error from server (NotFound): pods "q" not found'),
        ("exec p -c x -- ls", "Error from server (BadRequest): container x is not valid for pod p"),
        ("attach q", 'Error from server (NotFound): pods "q" not found'),
        ("port-forward q :80", 'Error from server (NotFound): pods "q" not found'),
        ("patch pod p -p x", "cannot unmarshal string into Go value of type map[string]interface"),
        (
            'patch pod p -p {"metadata":{"name":"q"}}',
            "Error from server (BadRequest): the name of the object (q) does not match the name on "
            "the URL (p)",
        ),
        ("get widgets", 'error: the server doesn\'t have a resource type "widgets"'),
        ("get --raw /nowhere", "Error from server (NotFound)"),
        ("get pods --as=bob", 'User "bob" cannot list resource "pods"'),
        ("rollout status ds/none", 'daemonsets.apps "none" not found'),
        ("delete ns default", "this namespace may not be deleted"),
    ],
)
def test_refusals_are_clear_and_quick(kubectl: Kubectl, command: str, text: str):
    printed = kubectl.ends(1, command)
    assert text in printed
    assert "Traceback" not in printed


def test_typed_commands_send_and_get_protobuf(kubectl: Kubectl):
    for command, printed in (
        ("create deployment d --image=x", "deployment.apps/d created\n"),
        ("create service clusterip s --tcp=80:8080", "service/s created\n"),
        ("create cronjob c --image=x --schedule=@daily", "cronjob.batch/c created\n"),
        ("create ingress i --rule=h/p=s:80", "ingress.networking.k8s.io/i created\n"),
    ):
        assert kubectl.done(command) == printed
    shown = "jsonpath={.spec.ports[0].targetPort} {.spec.type}"
    assert kubectl.done("get service s -o", shown) == "8080 ClusterIP"


def test_warnings(kubectl: Kubectl):
    assert kubectl.done("get endpoints").startswith("Warning: v1 Endpoints is deprecated")


def test_custom_resources(kubectl: Kubectl):
    """What people do with a definition and an object of it, from apply to delete."""
    kubectl.done("apply -f -", stdin=DEFINITION)
    kubectl.done("wait --for=condition=Established crd/gadgets.example.com --timeout=90s")
    assert "created" in kubectl.done("apply -f -", stdin=GADGET)
    assert kubectl.done("get gd").split()[:4] == ["NAME", "SIZE", "one", "3"]
    assert "how large it is" in kubectl.done("explain gadgets.spec.size")
    refused = kubectl.ends(1, "patch gadget one --type=merge -p", '{"spec":{"size":11}}')
    assert "spec.size in body should be less than or equal to 10" in refused
    kubectl.done("delete crd gadgets.example.com --timeout=90s")
    assert "NotFound" in kubectl.ends(1, "get --raw /apis/example.com/v1")


@pytest.mark.parametrize(
    "command",
    [
        "create ns made",
        "create configmap made --from-literal=a=b",
        "create secret generic made --from-literal=a=b",
        "create secret docker-registry made2 --docker-server=x --docker-username=u "
        "--docker-password=p",
        "create serviceaccount made",
        "create role made --verb=get --resource=pods",
        "create rolebinding made --role=made --user=u",
        "create clusterrole made --verb=get --resource=nodes",
        "create clusterrolebinding made --clusterrole=made --group=g",
        "create quota made --hard=pods=5",
        "create pdb made --selector=app=x --min-available=1",
        "create priorityclass made --value=5",
    ],
)
def test_typed_creates(kubectl: Kubectl, command: str):
    assert kubectl.done(command).endswith(" created\n")
    assert "already exists" in kubectl.ends(1, command)


@pytest.mark.parametrize(
    "command",
    [
        "get all -A",
        "get nodes,pods,cm,sa,secrets,events,leases,priorityclasses -A -o wide --show-labels",
        "get pods --chunk-size=1 -o name",
        "get pods --server-print=false",
        "get pods --sort-by=.metadata.name -o custom-columns=N:.metadata.name",
        "describe node node-0",
        "describe pod p",
        "describe ns,sa,cm,secret,quota,pdb,role,rolebinding,ep -A",
        "events",
        "logs p --tail=1 --timestamps",
        "api-resources -o wide",
        "api-versions",
        "explain daemonset.spec --recursive",
        "cluster-info dump",
        "auth can-i --list",
        "auth whoami",
        "get --raw /readyz?verbose",
        "get --raw /metrics",
        "get --raw /metrics/controller-manager",
        "get --raw /metrics/node-0",
        "top nodes",
        "top pods -A --containers",
        "get apiservices",
        "get --raw /openapi/v2",
        "version",
    ],
)
def test_looking_around(kubectl: Kubectl, command: str):
    assert kubectl.done(command)
