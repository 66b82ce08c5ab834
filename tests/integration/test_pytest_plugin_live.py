"""The pytest plugin as its users have it: whole runs of pytest, in directories of their own."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import PATIENCE_S

import kubeherd
from kubeherd.cluster.launcher.processes import osproc

pytestmark = pytest.mark.integration

LEAN = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
"""Without the plugin of hypothesis, whose import takes as long as all the rest of an empty run."""
COUNT_NODES = "assert len(kubeherd_cluster.list('Node')) == {}"


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Runs pytest on a file with this text; returns the result."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini(
        "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope=function"
    )

    def run_pytest(text: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(text)
        return pytester.runpytest_subprocess(*LEAN, *options, timeout=2 * PATIENCE_S)

    return run_pytest


def test_a_run_without_a_cluster_imports_nothing_of_it(run, pytester: pytest.Pytester):
    pytester.makeconftest(
        """
        import sys
        def pytest_sessionfinish():
            loaded = sorted(m for m in sys.modules if m.partition(".")[0] == "kubeherd")
            print("LOADED", *loaded)
        """
    )
    result = run("def test_a(): pass\ndef test_b(): assert 0", "-s", "--kubeherd-nodes", "5")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*LOADED kubeherd kubeherd.pytest_plugin"])
    collected = run("def test_a(kubeherd_cluster): pass", "-s", "--collect-only")
    collected.stdout.fnmatch_lines(["*LOADED kubeherd kubeherd.pytest_plugin"])


def test_plain_asyncio_and_anyio_tests(run):
    result = run(
        """
        import asyncio, pytest

        def test_plain(kubeherd_cluster):
            assert len(kubeherd_cluster.list("Node")) == 3
            kubeherd_cluster.kill_node("node-1")
            kubeherd_cluster.wait_not_ready("node-1")

        @pytest.mark.asyncio
        async def test_asyncio(kubeherd_async_cluster):
            await kubeherd_async_cluster.freeze_node("node-1")
            await kubeherd_async_cluster.wait_not_ready("node-1")

        @pytest.mark.anyio
        async def test_anyio(kubeherd_async_cluster):
            assert len(await kubeherd_async_cluster.list("Node")) == 3

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
        """,
        "--kubeherd-speed=10",
    )
    result.assert_outcomes(passed=3)


def test_marker_options_and_configuration_file(run, pytester: pytest.Pytester):
    with Path(pytester.path / "tox.ini").open("a") as ini:
        ini.write("\nkubeherd_nodes = 1\nkubeherd_speed = 7")
    result = run(
        """
        import pytest

        def test_usual(kubeherd_cluster):
            c = kubeherd_cluster
            assert (len(c.list("Node")), c.speed, c.seed) == (1, 7, 5)

        @pytest.mark.kubeherd(nodes=2, speed=50)
        class TestOfAClass:
            @pytest.mark.kubeherd(seed=9)
            def test_marked(self, kubeherd_cluster):
                c = kubeherd_cluster
                assert (len(c.list("Node")), c.speed, c.seed) == (2, 50, 9)

        def test_of_my_own(kubeherd_factory):
            with kubeherd_factory(nodes=0) as c:
                assert c.list("Node") == []

        @pytest.mark.kubeherd(node=2)
        def test_misspelled(kubeherd_cluster):
            pass
        """,
        "--kubeherd-seed=5",
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*the marker kubeherd does not know 'node'*"])


def test_a_shared_cluster_with_a_namespace_for_each_test(run):
    result = run(
        """
        import pytest, subprocess
        seen = set()

        @pytest.mark.parametrize("n", range(3))
        def test_it(kubeherd_namespace, kubeherd_shared_cluster, kubeherd_kubernetes, n):
            from kubernetes.client import CoreV1Api
            seen.add((kubeherd_namespace, kubeherd_shared_cluster.directory))
            assert len({ns for ns, _ in seen}) == n + 1
            assert len({directory for _, directory in seen}) == 1
            pod = {
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            }
            kubeherd_shared_cluster.apply(pod, kubeherd_namespace)
            found = CoreV1Api(kubeherd_kubernetes).list_namespaced_pod(kubeherd_namespace)
            assert [p.metadata.name for p in found.items] == ["p"]

        def test_the_kubeconfig_knows_it(kubeherd_namespace, kubeherd_kubeconfig):
            from kubeherd.cluster.client.kubeconfig import load_kubeconfig
            assert load_kubeconfig(kubeherd_kubeconfig).namespace == kubeherd_namespace
            assert kubeherd_kubeconfig.stat().st_mode & 0o077 == 0
        """
    )
    result.assert_outcomes(passed=4)


def test_clients_of_all_libraries(run):
    result = run(
        """
        import pytest

        def test_kubernetes(kubeherd_kubernetes):
            from kubernetes.client import CoreV1Api
            assert len(CoreV1Api(kubeherd_kubernetes).list_node().items) == 1

        async def test_kubernetes_asyncio(kubeherd_kubernetes_asyncio):
            from kubernetes_asyncio.client import CoreV1Api
            async with kubeherd_kubernetes_asyncio as api_client:
                assert len((await CoreV1Api(api_client).list_node()).items) == 1

        def test_kr8s(kubeherd_kr8s):
            assert len(list(kubeherd_kr8s.get("nodes"))) == 1

        async def test_kr8s_async(kubeherd_kr8s_async):
            async with kubeherd_kr8s_async as api:
                assert len([node async for node in api.get("nodes")]) == 1

        def test_lightkube(kubeherd_lightkube):
            from lightkube.resources.core_v1 import Node
            assert len(list(kubeherd_lightkube.list(Node))) == 1

        async def test_lightkube_async(kubeherd_lightkube_async):
            from lightkube.resources.core_v1 import Node
            async with kubeherd_lightkube_async as client:
                assert len([node async for node in client.list(Node)]) == 1
        """,
        "--kubeherd-nodes=1",
        "-o",
        "asyncio_mode=auto",
        "-o",
        "filterwarnings=default",  # of foreign libraries
    )
    result.assert_outcomes(passed=6)


def test_libraries_that_are_not_installed(run):
    result = run(
        """
        import sys
        for module in ("kubernetes", "kubernetes_asyncio", "lightkube", "kr8s"):
            sys.modules[module] = None  # as if it were not there

        def test_kubernetes(kubeherd_kubernetes):
            pass

        def test_kubernetes_asyncio(kubeherd_kubernetes_asyncio):
            pass

        def test_lightkube(kubeherd_lightkube_async):
            pass

        def test_kr8s(kubeherd_kr8s):
            pass
        """,
        "--kubeherd-nodes=0",
    )
    result.assert_outcomes(errors=4)
    packages = ("kubernetes", "kubernetes-asyncio", "lightkube", "kr8s")
    result.stdout.fnmatch_lines(
        [
            f"*Python package {package} is not installed: pip install {package}"
            for package in packages
        ]
    )


FAILING = """
    import kubeherd, pytest

    def test_fails(kubeherd_cluster):
        kubeherd_cluster.apply(DAEMONSET)
        kubeherd_cluster.wait_for_list("Pod", lambda pods: sum(map(kubeherd.is_ready, pods)) == 3)
        kubeherd_cluster.kill_node("node-1")
        kubeherd_cluster.wait_not_ready("node-1")
        assert 0

    DAEMONSET = {
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "web:1"}]},
            },
        },
    }
"""


def directory_in(result: pytest.RunResult) -> Path:
    found = re.search(r"^directory (.+)$", result.stdout.str(), re.MULTILINE)
    assert found is not None
    return Path(found[1])


def test_the_report_of_a_failed_test_says_what_was_there(run):
    result = run(FAILING, "--kubeherd-speed=10", "--kubeherd-seed=77", "--kubeherd-record=writes")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*kubeherd: the cluster*",
            "seed 77, speed 10; again with --kubeherd-seed 77",
            "*kubeherd: processes*",
            "apiserver: running",
            "node-1: down*",
            "*kubeherd: nodes*",
            "node-0 Ready",
            "node-1 NotReady node.kubernetes.io/unreachable:*",
            "*kubeherd: pods*",
            "default/web-* on node-* Running*",
            "*kubeherd: events*",
            "* NodeNotReady *",
            "*kubeherd: ends of the logs*",
            "apiserver.log:",
            "* info ready *",
            "*kubeherd: what happened*",
            "timeline, for a browser: *-timeline.html",
            "* kubeherd replay */history.jsonl",
        ]
    )
    directory = directory_in(result)
    drawn = directory.with_name(f"{directory.name}-timeline.html").read_text()
    assert all(one in drawn for one in ("test_fails failed", '"crash', "controller-manager"))
    assert (directory / "history.jsonl").exists()
    assert (directory / "logs" / "apiserver.log").exists()
    assert osproc.marked(directory) == []


def test_the_report_of_a_test_whose_api_server_is_gone(run):
    result = run(
        """
        import os, signal
        def test_fails(kubeherd_cluster):
            pids = {p.name: p.pid for p in kubeherd_cluster.processes()}
            kubeherd_cluster.stop()
            assert 0
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "--kubeherd-record writes draws what happened",
            "*kubeherd: nodes*",
            "not to be had: *",
            "*apiserver.log:*",
        ]
    )
    result.stdout.no_fnmatch_line("*kubeherd: what happened*")


def test_a_kept_cluster_can_be_reached_and_stopped(run):
    result = run(FAILING, "--kubeherd-keep", "--kubeherd-speed=10")
    directory = directory_in(result)
    try:
        result.stdout.fnmatch_lines(
            [
                f"  export KUBECONFIG={directory}/kubeconfig",
                f"  kubeherd down --dir {directory} *",
            ]
        )
        assert len(kubeherd.Cluster(directory).list("Node")) == 3
    finally:
        command = [sys.executable, "-m", "kubeherd", "down", "--dir", str(directory)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert osproc.marked(directory) == []


def test_a_kept_cluster_of_a_test_that_passes_is_stopped(run):
    result = run(
        "def test_passes(kubeherd_cluster): print('AT', kubeherd_cluster.directory)",
        "--kubeherd-keep",
        "-s",
    )
    found = re.search(r"AT (.+?)\.?$", result.stdout.str(), re.MULTILINE)
    assert found is not None
    assert osproc.marked(Path(found[1])) == []
    assert not Path(found[1]).exists()


def test_side_by_side_in_xdist(run, pytester: pytest.Pytester):
    result = run(
        f"""
        import pytest

        @pytest.mark.parametrize("n", range(4))
        def test_own(kubeherd_cluster, n):
            {COUNT_NODES.format(1)}
            with open("{pytester.path}/seen", "a") as seen:
                seen.write(f"{{kubeherd_cluster.directory}} {{kubeherd_cluster.server}}\\n")

        @pytest.mark.parametrize("n", range(4))
        def test_shared(kubeherd_namespace, n):
            pass

        def test_fails(kubeherd_cluster):
            assert 0
        """,
        "-n2",
        "--kubeherd-nodes=1",
    )
    result.assert_outcomes(passed=8, failed=1)
    result.stdout.fnmatch_lines(["*kubeherd: the cluster*", "*kubeherd: events*"])
    directories = [line.split()[0] for line in (pytester.path / "seen").read_text().splitlines()]
    assert len(set(directories)) == len(directories) == 4


def test_a_killed_run_leaves_nothing_running(pytester: pytest.Pytester):
    file = pytester.makepyfile(
        """
        import os, signal
        def test_it(kubeherd_cluster):
            print("AT", kubeherd_cluster.directory, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    command = [sys.executable, "-m", "pytest", "-s", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"AT (.+)$", done.stdout, re.MULTILINE)
    assert found is not None
    while osproc.marked(Path(found[1])):  # the test's own time limit bounds it
        time.sleep(0.01)
