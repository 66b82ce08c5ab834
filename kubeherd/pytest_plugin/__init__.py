"""The pytest plugin (docs/pytest.md): clusters as fixtures, for asyncio and plain tests alike.

Invariant: a run without a cluster pays for nothing. This module is imported at every start of
pytest where kubeherd is installed; it imports nothing of kubeherd before a fixture is used.

No fixture is asynchronous, so they work with pytest-asyncio, anyio or neither: clusters are started
before the test's event loop runs, and what must be opened inside of it is an `async with`.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import kr8s
    import kubernetes
    import kubernetes_asyncio
    import lightkube

    from kubeherd import AsyncCluster, Cluster
    from kubeherd.pytest_plugin.clusters import Clusters

_MARKER = (
    "kubeherd(nodes=, speed=, seed=, store=, exec=, profile=, nodes_per_agent=, controllers=, "
    "apiservers=, record=): the cluster that this test gets"
)
_OPTIONS = {
    "nodes": "number of nodes of a cluster (default: 3)",
    "speed": "by how much every wait of a cluster is shortened (default: 10)",
    "seed": "seed of a cluster's random decisions: a number, or random (default: made of the "
    "test's name)",
    "store": "memory; sqlite or etcd to survive a crash of the API server (default: memory)",
    "exec": "script, or local to run what is executed in pods on this machine (default: script)",
    "record": "nothing; writes or requests keeps the history, and a test that fails is drawn "
    "(default: nothing)",
    "profile": "bare, or kind for what runs in a fresh cluster of kind (default: bare)",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, each on the command line and in the configuration file."""
    group = parser.getgroup("kubeherd", "clusters (kubeherd)")
    for name, text in _OPTIONS.items():
        group.addoption(f"--kubeherd-{name}", metavar=name.upper(), help=text)
        parser.addini(f"kubeherd_{name}", help=text)
    group.addoption(
        "--kubeherd-keep",
        action="store_true",
        help="leave the clusters of failed tests running, and say how to reach and to stop them",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what happened in the clusters of a failed test to its report."""
    report = yield
    fixtures: Iterable[str] = getattr(item, "fixturenames", ())
    if report.failed and any(name.startswith("kubeherd_") for name in fixtures):
        from kubeherd.pytest_plugin.clusters import sections_for  # noqa: PLC0415 - see the module

        report.sections += sections_for(item)
    return report


@pytest.fixture(scope="session")
def kubeherd_factory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Clusters":
    """Makes clusters for fixtures of your own: `with kubeherd_factory(nodes=5) as cluster: ...`.

    The arguments are those of the marker; options of the run fill in what is not given.
    """
    from kubeherd.pytest_plugin.clusters import Clusters  # noqa: PLC0415 - see the module

    return Clusters(request.config, tmp_path_factory)


@pytest.fixture
def kubeherd_cluster(
    request: pytest.FixtureRequest, kubeherd_factory: "Clusters"
) -> "Iterator[Cluster]":
    """A `kubeherd.Cluster` of the test's own, all nodes Ready."""
    with kubeherd_factory.for_test(request.node) as cluster:
        yield cluster


@pytest.fixture
def kubeherd_async_cluster(kubeherd_cluster: "Cluster") -> "AsyncCluster":
    """The same cluster as a `kubeherd.AsyncCluster`."""
    from kubeherd import AsyncCluster  # noqa: PLC0415 - see the module

    return AsyncCluster(kubeherd_cluster.directory)


@pytest.fixture(scope="session")
def kubeherd_shared_cluster(kubeherd_factory: "Clusters") -> "Iterator[Cluster]":
    """One `kubeherd.Cluster` for all tests of the session (with xdist: of the worker)."""
    with kubeherd_factory() as cluster:
        yield cluster


@pytest.fixture
def kubeherd_namespace(
    request: pytest.FixtureRequest, kubeherd_shared_cluster: "Cluster"
) -> "Iterator[str]":
    """The name of a fresh namespace on the shared cluster; deleted after the test."""
    from kubeherd.pytest_plugin.namespaces import fresh_namespace  # noqa: PLC0415 - see the module

    with fresh_namespace(kubeherd_shared_cluster, request.node.name) as name:
        yield name


@pytest.fixture
def kubeherd_kubeconfig(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The kubeconfig of the test's cluster.

    That is the shared cluster for a test with `kubeherd_namespace` (which is then the default
    namespace of the kubeconfig) or `kubeherd_shared_cluster`, else the test's own.
    """
    from kubeherd.pytest_plugin.namespaces import kubeconfig_for  # noqa: PLC0415 - see the module

    used = request.fixturenames
    if "kubeherd_namespace" in used:
        shared: Cluster = request.getfixturevalue("kubeherd_shared_cluster")
        return kubeconfig_for(shared, request.getfixturevalue("kubeherd_namespace"), tmp_path)
    own = "kubeherd_shared_cluster" if "kubeherd_shared_cluster" in used else "kubeherd_cluster"
    cluster: Cluster = request.getfixturevalue(own)
    return cluster.kubeconfig


@pytest.fixture
def kubeherd_kubernetes(kubeherd_kubeconfig: Path) -> "Iterator[kubernetes.client.ApiClient]":
    """An ApiClient of the library kubernetes."""
    from kubeherd import clients  # noqa: PLC0415 - see the module

    with clients.kubernetes(kubeherd_kubeconfig) as api_client:
        yield api_client


@pytest.fixture
def kubeherd_kubernetes_asyncio(
    kubeherd_kubeconfig: Path,
) -> "AbstractAsyncContextManager[kubernetes_asyncio.client.ApiClient]":
    """`async with kubeherd_kubernetes_asyncio as api_client`: of the library kubernetes-asyncio."""
    return _opened("kubernetes-asyncio", kubeherd_kubeconfig)


@pytest.fixture
def kubeherd_kr8s(kubeherd_kubeconfig: Path) -> "kr8s.Api":
    """The API of the library kr8s."""
    from kubeherd import clients  # noqa: PLC0415 - see the module

    return clients.kr8s(kubeherd_kubeconfig)


@pytest.fixture
def kubeherd_kr8s_async(
    kubeherd_kubeconfig: Path,
) -> "AbstractAsyncContextManager[kr8s.asyncio.Api]":
    """`async with kubeherd_kr8s_async as api`: the asynchronous API of the library kr8s."""
    return _opened("kr8s", kubeherd_kubeconfig)


@pytest.fixture
def kubeherd_lightkube(kubeherd_kubeconfig: Path) -> "Iterator[lightkube.Client]":
    """A Client of the library lightkube."""
    from kubeherd import clients  # noqa: PLC0415 - see the module

    with clients.lightkube(kubeherd_kubeconfig) as client:
        yield client


@pytest.fixture
def kubeherd_lightkube_async(
    kubeherd_kubeconfig: Path,
) -> "AbstractAsyncContextManager[lightkube.AsyncClient]":
    """`async with kubeherd_lightkube_async as client`: an AsyncClient of the library lightkube."""
    return _opened("lightkube", kubeherd_kubeconfig)


def _opened(package: str, kubeconfig: Path) -> AbstractAsyncContextManager[Any]:
    from kubeherd.pytest_plugin.asyncclients import opened  # noqa: PLC0415 - see the module

    return opened(package, kubeconfig)
