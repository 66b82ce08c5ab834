"""The profile kind: its settings, its objects, and how a cluster is given them."""

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import yaml

from kubeherd.cluster.api import defaults, kinds, validation
from kubeherd.cluster.api.serializer import decoding
from kubeherd.cluster.client.transport import TransportError, TransportResponse
from kubeherd.cluster.launcher import lifecycle, plan
from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.launcher.profiles import applying, kind
from kubeherd.cluster.launcher.profiles.applying import KindProfile
from kubeherd.cluster.launcher.profiles.availability import is_available
from kubeherd.cluster.launcher.settings import ClusterOptions, Profile, Settings, remove_node

SERVER = kind.Server("https://127.0.0.1:7001", b"PEM")
OBJECTS = kind.objects(SERVER)
MANIFESTS = {name: yaml.safe_load(data) for name, data in kind.static_pods(SERVER).items()}


def settings(nodes: int, **others: Any) -> Settings:
    return lifecycle.new_settings(
        ClusterOptions(profile=Profile.KIND, **others), nodes=nodes, port=7001, seed=1
    )


def identity(tree: dict[str, Any]) -> tuple[str, str, str]:
    metadata = tree["metadata"]
    return tree["kind"], metadata.get("namespace", ""), metadata["name"]


# --- settings and processes ---


def test_the_control_plane_is_a_node_more_with_a_process_of_its_own():
    found = settings(3, nodes_per_agent=2)
    assert found.agents() == {
        "control-plane": ["control-plane"],
        "agent-0": ["node-0", "node-1"],
        "agent-1": ["node-2"],
    }
    assert found.control_plane == "control-plane"
    assert settings_module.decode(settings_module.encode(found)) == found


def test_a_bare_cluster_has_none_whatever_its_nodes_are_called():
    bare = settings_module.add_nodes(Settings(port=1), ["control-plane"])
    assert (bare.profile, bare.control_plane) == (Profile.BARE, "")
    assert remove_node(settings(1), "control-plane").control_plane == ""


def test_its_taint_keeps_pods_away_where_there_are_workers(rundir: RunDir):
    args = plan.agent(settings(1), rundir, "control-plane").args
    assert args[4:6] == ("--taint", "node-role.kubernetes.io/control-plane:NoSchedule")
    assert args[6:8] == ("--pod-manifest-path", str(rundir.manifests))
    assert "--taint" not in plan.agent(settings(1), rundir, "node-0").args
    alone = plan.agent(settings(0), rundir, "control-plane").args
    assert ("--taint" in alone, "--pod-manifest-path" in alone) == (False, True)


# --- the objects ---


@pytest.mark.parametrize("tree", OBJECTS, ids=lambda tree: "/".join(identity(tree)))
def test_every_object_is_valid(tree: dict[str, Any]):
    resource = kinds.for_kind(tree["apiVersion"], tree["kind"])
    assert resource is not None
    assert resource.namespaced == bool(tree["metadata"].get("namespace"))
    assert decoding.decode(resource, tree) == []
    defaults.apply(resource, tree)
    if tree["kind"] == "Service":  # the server makes a list of it
        tree["spec"]["clusterIPs"] = [tree["spec"]["clusterIP"]]
    assert validation.create(resource, tree) == []


def test_nothing_is_there_twice_and_the_mark_comes_last():
    names = [identity(tree) for tree in OBJECTS]
    assert len(set(names)) == len(names)
    resource, namespace, name = kind.MARK
    assert names[-1] == (resource.kind, namespace, name)


def test_every_blank_is_filled_in():
    texts = [msgspec.json.encode(OBJECTS).decode(), msgspec.json.encode(MANIFESTS).decode()]
    assert [text for text in texts if "@" in text.replace("@type", "")] == []
    assert "https://127.0.0.1:7001" in texts[0]
    assert "UEVN" in texts[0]  # PEM in base64


def test_what_a_fresh_cluster_of_kind_is_known_for():
    there = {identity(tree): tree for tree in OBJECTS}
    assert there["Service", "kube-system", "kube-dns"]["spec"]["clusterIP"] == "10.96.0.10"
    assert there["Deployment", "kube-system", "coredns"]["spec"]["replicas"] == 2
    standard = there["StorageClass", "", "standard"]
    assert standard["volumeBindingMode"] == "WaitForFirstConsumer"
    for name in ("kube-proxy", "kindnet"):
        pods = there["DaemonSet", "kube-system", name]["spec"]["template"]["spec"]
        assert pods["tolerations"] == [{"operator": "Exists"}]


def test_accounts_and_roles_that_are_named_exist():
    """What kubeherd's own bootstrap makes is `system:` or `cluster-admin`."""
    there = {identity(tree) for tree in OBJECTS}
    missing = []
    for tree in OBJECTS:
        namespace = tree["metadata"].get("namespace", "")
        if tree["kind"] in ("Deployment", "DaemonSet"):
            account = tree["spec"]["template"]["spec"]["serviceAccountName"]
            missing += [account] * (("ServiceAccount", namespace, account) not in there)
        if "roleRef" in tree and not tree["roleRef"]["name"].startswith(("system:", "cluster-")):
            role = tree["roleRef"]
            within = namespace if role["kind"] == "Role" else ""
            missing += [role["name"]] * ((role["kind"], within, role["name"]) not in there)
    assert missing == []


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_static_pod_is_valid(name: str):
    tree = MANIFESTS[name]
    assert name == f"{tree['metadata']['name']}.yaml"
    assert decoding.decode(kinds.PODS, tree) == []
    defaults.apply(kinds.PODS, tree)
    assert validation.create(kinds.PODS, tree) == []


# --- availability ---


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"kind": "DaemonSet", "status": {"desiredNumberScheduled": 0}}, False),
        (
            {
                "kind": "DaemonSet",
                "status": {"desiredNumberScheduled": 2, "numberAvailable": 1},
            },
            False,
        ),
        (
            {
                "kind": "DaemonSet",
                "status": {"desiredNumberScheduled": 2, "numberAvailable": 2},
            },
            True,
        ),
        ({"kind": "Deployment", "spec": {"replicas": 1}, "status": {}}, False),
        (
            {"kind": "Deployment", "spec": {"replicas": 1}, "status": {"availableReplicas": 1}},
            True,
        ),
        ({"kind": "Pod"}, False),
        ({"kind": "Pod", "status": {"conditions": [{"type": "Ready", "status": "True"}]}}, True),
    ],
)
def test_what_is_available(tree: dict[str, Any], expected: bool):
    tree["metadata"] = {"generation": 1}
    tree.setdefault("status", {})["observedGeneration"] = 1
    assert is_available(tree) is expected
    if tree["kind"] != "Pod":
        assert not is_available({**tree, "metadata": {"generation": 2}})


# --- application ---


class Store:
    """The API server: what was created is available at once, but for `pending`."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.created: list[str] = []
        self.pending: set[str] = set()
        self.fail_at = ""

    def __call__(self, _access: object) -> "Store":
        return self

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_args: object) -> None:
        pass

    def request(
        self, method: str, path: str, *, body: bytes | None, **_options: Any
    ) -> TransportResponse:
        if method == "POST":
            tree = msgspec.json.decode(body or b"")
            path = f"{path}/{tree['metadata']['name']}"
            if path.endswith(self.fail_at or "/never"):
                raise TransportError("reset")
            if path in self.objects:
                return answer(409, {"kind": "Status", "reason": "AlreadyExists", "code": 409})
            self.objects[path] = tree
            self.created.append(path)
            return answer(201, tree)
        if method == "PATCH":
            self.objects[path] = msgspec.json.decode(body or b"")
            return answer(200, {})
        tree = self.objects.get(path)
        if tree is None:
            return answer(404, {"kind": "Status", "reason": "NotFound", "code": 404})
        return answer(200, self._with_status(tree))

    def _with_status(self, tree: dict[str, Any]) -> dict[str, Any]:
        metadata = {**tree["metadata"], "generation": 1}
        count = 0 if metadata["name"] in self.pending else 2
        status = {
            "observedGeneration": 1,
            "desiredNumberScheduled": 2,
            "numberAvailable": count,
            "availableReplicas": count and tree.get("spec", {}).get("replicas"),
        }
        return {**tree, "metadata": metadata, "status": status}


def answer(status: int, tree: Mapping[str, Any]) -> TransportResponse:
    return TransportResponse(status, msgspec.json.encode(tree))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()
    monkeypatch.setattr(applying, "BlockingTransport", store)
    return store


@pytest.fixture
def profile(rundir: RunDir, store: Store) -> KindProfile:
    ClusterPki.ensure(rundir, "https://127.0.0.1:7001")
    # without the node there are no mirror pods to wait for
    profile = KindProfile(rundir, remove_node(settings(1), "control-plane"))
    profile.prepare()
    return profile


def again(profile: KindProfile, rundir: RunDir) -> KindProfile:
    del profile
    return KindProfile(rundir, remove_node(settings(1), "control-plane"))


def test_the_manifests_are_written(profile: KindProfile, rundir: RunDir):
    assert sorted(path.name for path in rundir.manifests.iterdir()) == sorted(MANIFESTS)
    assert rundir.purge() == []


def test_all_is_created_and_waited_for(profile: KindProfile, store: Store):
    store.pending = {"coredns"}
    assert profile.advance() == "coredns"
    assert len(store.created) == len(OBJECTS)
    store.pending = set()
    assert profile.advance() == ""


def test_what_was_cut_short_is_finished(profile: KindProfile, store: Store, rundir: RunDir):
    store.fail_at = "/daemonsets/kindnet"
    assert profile.advance() == "the API server"
    before = list(store.created)
    store.fail_at = ""
    assert again(profile, rundir).advance() == ""
    assert store.created[: len(before)] == before
    assert len(store.created) == len(OBJECTS)


def test_what_a_person_deleted_stays_deleted(profile: KindProfile, store: Store, rundir: RunDir):
    profile.advance()
    gone = next(path for path in store.objects if path.endswith("/daemonsets/kindnet"))
    del store.objects[gone]
    assert again(profile, rundir).advance() == ""
    assert gone not in store.objects


def test_a_refusal_is_one_line(profile: KindProfile, store: Store, monkeypatch: pytest.MonkeyPatch):
    refusal = {"kind": "Status", "reason": "Forbidden", "code": 403, "message": "no more of these"}
    monkeypatch.setattr(store, "request", lambda *_args, **_options: answer(403, refusal))
    with pytest.raises(LauncherError, match="the profile kind was refused: no more of these"):
        profile.advance()


def test_the_control_plane_gets_its_role(rundir: RunDir, store: Store):
    ClusterPki.ensure(rundir, "https://127.0.0.1:7001")
    assert KindProfile(rundir, settings(1)).advance() == "etcd-control-plane"
    labels = store.objects["/api/v1/nodes/control-plane"]["metadata"]["labels"]
    assert labels["node-role.kubernetes.io/control-plane"] == ""


def test_a_bare_cluster_loads_none_of_it():
    code = (
        "import sys; import kubeherd.cluster.launcher.__main__, kubeherd.agents.__main__;"
        "print([m for m in sys.modules if 'profiles' in m or 'staticpods' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
