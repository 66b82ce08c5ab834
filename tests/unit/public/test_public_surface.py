"""The public interface is what is listed here, and costs nothing before it is used."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import kubeherd
from kubeherd import AsyncCluster, Cluster

PUBLIC = [
    "AlreadyExists",
    "ApiError",
    "AsyncCluster",
    "Cluster",
    "ConditionTimeout",
    "Conflict",
    "KubeherdError",
    "LauncherError",
    "MissingLibrary",
    "NotFound",
    "Process",
    "TransportError",
    "clients",
    "faults",
    "is_ready",
    "is_rolled_out",
]
METHODS = {
    "add_node": "(self, *names: str, count: int = 0)",
    "apply": "(self, manifest: JsonObject | str | Path, namespace: str = 'default')",
    "crash": "(self, process: str)",
    "delete": "(self, kind: str, name: str, namespace: str = 'default')",
    "fault": "(self, effect: 'Effect', *, nodes: str | Sequence[str] = (), component: str = '', "
    "clients: 'Clients | None' = None, for_s: float = 0.0)",
    "faults": "(self)",
    "freeze_node": "(self, *names: str)",
    "get": "(self, kind: str, name: str, namespace: str = 'default')",
    "kill_node": "(self, *names: str)",
    "list": "(self, kind: str, namespace: str = '', *, label_selector: str = '', "
    "field_selector: str = '')",
    "processes": "(self)",
    "remove_node": "(self, *names: str)",
    "start": "(self)",
    "start_node": "(self, *names: str)",
    "stop": "(self)",
    "stop_node": "(self, *names: str)",
    "thaw_node": "(self, *names: str)",
    "undo_faults": "(self, *ids: str)",
    "wait_for": "(self, kind: str, name: str, condition: Callable[[JsonObject], bool], "
    "namespace: str = 'default', *, what: str = '', timeout_s: float = 30.0)",
    "wait_for_list": "(self, kind: str, condition: Callable[[Objects], bool], "
    "namespace: str = '', *, label_selector: str = '', what: str = '', timeout_s: float = 30.0)",
    "wait_gone": "(self, kind: str, name: str, namespace: str = 'default', *, "
    "timeout_s: float = 30.0)",
    "wait_not_ready": "(self, *nodes: str, timeout_s: float = 30.0)",
    "wait_ready": "(self, *nodes: str, timeout_s: float = 30.0)",
    "wait_rolled_out": "(self, daemonset: str, namespace: str = 'default', *, "
    "timeout_s: float = 30.0)",
}
PROPERTIES = [
    "directory",
    "history",
    "kubeconfig",
    "logs",
    "node_names",
    "seed",
    "server",
    "speed",
]
CLIENTS = [
    "kr8s",
    "kr8s_async",
    "kubernetes",
    "kubernetes_asyncio",
    "lightkube",
    "lightkube_async",
]


def test_the_names():
    assert kubeherd.__all__ == PUBLIC
    assert dir(kubeherd) == PUBLIC
    assert kubeherd.clients.__all__ == CLIENTS
    with pytest.raises(AttributeError, match="'nonsense'"):
        _ = kubeherd.nonsense


@pytest.mark.parametrize("cls", [Cluster, AsyncCluster])
def test_the_methods_are_the_same_in_both_worlds(cls: type):
    public = {name: value for name, value in vars(cls).items() if not name.startswith("_")}
    assert sorted(public) == sorted(METHODS)
    for name, method in public.items():
        parameters = inspect.signature(method).replace(return_annotation=inspect.Signature.empty)
        assert parameters_of(parameters) == METHODS[name], name
        assert inspect.iscoroutinefunction(method) is (cls is AsyncCluster)
        assert returned(method) == returned(vars(Cluster)[name])
    properties = [n for n, v in inspect.getmembers(cls) if isinstance(v, property) and n[0] != "_"]
    assert properties == PROPERTIES


def parameters_of(signature: inspect.Signature) -> str:
    """As it stands in the source: without the modules of its types."""
    text = str(signature)
    for spelled, short in (
        ("dict[str, typing.Any]", "JsonObject"),
        ("list[JsonObject]", "Objects"),
        ("collections.abc.", ""),
        ("pathlib.", ""),
    ):
        text = text.replace(spelled, short)
    return text


def returned(method: Callable[..., Any]) -> object:
    return inspect.signature(method).return_annotation


@pytest.mark.parametrize("cls", [Cluster, AsyncCluster])
def test_the_arguments_of_a_cluster(cls: type):
    assert str(inspect.signature(cls)) == (
        "(directory: str | pathlib.Path | None = None, *, nodes: int = 3, nodes_per_agent: int = 1,"
        " controllers: int = 1, apiservers: int = 1, profile: str = 'bare',"
        " store: str | None = None, etcd_endpoints: collections.abc.Sequence[str] = (),"
        " exec: str = 'script', record: str = 'nothing', port: int | None = None,"
        " speed: float = 1.0, seed: int | None = None, detached: bool = False) -> None"
    )


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_says_what_it_is(name: str):
    value = getattr(kubeherd, name)
    assert inspect.getdoc(value)
    members = vars(value) if inspect.isclass(value) or inspect.ismodule(value) else {}
    for member, found in members.items():
        if inspect.isfunction(found) and not member.startswith("_"):
            assert inspect.getdoc(found), f"{name}.{member}"


@pytest.mark.parametrize("name", [n for n in PUBLIC if n[0].isupper()])
def test_all_errors_are_one_family(name: str):
    value = getattr(kubeherd, name)
    if issubclass(value, Exception):
        assert issubclass(value, kubeherd.KubeherdError)


def test_the_import_alone_loads_nothing():
    code = "import sys, kubeherd; print([m for m in sys.modules if m.startswith('kubeherd')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['kubeherd']"


def test_a_blocking_program_loads_no_asynchronous_client():
    code = "import sys, kubeherd; kubeherd.Cluster(); print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"nodes": -1}, "nodes >= 0"),
        ({"nodes_per_agent": 0}, "nodes_per_agent >= 1"),
        ({"controllers": 0}, "controllers is a number from 1 to 9"),
        ({"controllers": 10}, "controllers is a number from 1 to 9"),
        ({"speed": 0.0}, r"speed >= 0\.001"),
        ({"apiservers": 0}, "apiservers is a number from 1 to 9"),
        ({"apiservers": 2}, 'need store="etcd"'),
        ({"store": "sqlite", "etcd_endpoints": ["http://a:1"]}, 'need store="etcd"'),
        ({"store": "redis"}, 'not "redis"'),
        ({"record": "all"}, 'record is "nothing", "writes" or "requests", not "all"'),
        ({"exec": "docker"}, 'exec is "script" or "local", not "docker"'),
        ({"profile": "k3d"}, 'profile is "bare" or "kind", not "k3d"'),
    ],
)
def test_values_that_make_no_cluster(arguments: dict[str, Any], text: str):
    with pytest.raises(kubeherd.KubeherdError, match=text):
        Cluster(**arguments)


def test_a_cluster_that_was_never_started():
    cluster = Cluster(seed=7)
    assert (cluster.seed, cluster.node_names) == (7, ["node-0", "node-1", "node-2"])
    with pytest.raises(kubeherd.KubeherdError, match="has not been started"):
        _ = cluster.kubeconfig
    cluster.stop()
