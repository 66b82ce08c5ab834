"""/metrics: names and labels of Kubernetes, for every way in which a request can end."""

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from apicluster import ADMIN, APPLY, BOB, Cluster, answered
from prometheus_client.parser import text_string_to_metric_families

from kubeherd.cluster.apiserver.edge.messages import ApiRequest
from kubeherd.cluster.apiserver.server import ApiServer
from kubeherd.cluster.runtime.metrics import Family, Kind
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.sockets.scraping import scraped

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


async def scrape(cluster: Cluster) -> list[tuple[str, dict[str, str], float]]:
    text = (await cluster.get("/metrics")).raw.decode()
    return [
        (sample.name, dict(sample.labels), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def value(
    samples: list[tuple[str, dict[str, str], float]], name: str, wanted: Mapping[str, str]
) -> float:
    """The one sample that has these labels."""
    found = [
        number
        for sample, labels, number in samples
        if sample == name and wanted.items() <= labels.items()
    ]
    assert len(found) == 1, (name, wanted, found)
    return found[0]


def configmap(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


async def test_every_request_has_the_labels_of_kubernetes(cluster: Cluster) -> None:
    await cluster.post(CMS, configmap("a"))
    await cluster.post(CMS + "?dryRun=All", configmap("b"))
    await cluster.post(CMS, configmap("a"))
    await cluster.patch(f"{CMS}/c?fieldManager=me", configmap("c"), APPLY)
    await cluster.get(f"{CMS}/a", user_agent="kube-scheduler/v1.36.1 (linux)")
    await cluster.get("/api/v1/configmaps")
    await cluster.delete(CMS)
    samples = await scrape(cluster)
    common = {"group": "", "version": "v1", "resource": "configmaps", "component": "apiserver"}
    for verb, code, scope, more in (
        ("POST", "201", "resource", {"dry_run": ""}),
        ("POST", "201", "resource", {"dry_run": "All"}),
        ("POST", "409", "resource", {}),
        ("APPLY", "201", "resource", {}),
        ("GET", "200", "resource", {"system_client": "kube-scheduler"}),
        ("LIST", "200", "cluster", {"system_client": ""}),
        ("DELETE", "200", "namespace", {}),
    ):
        wanted = {**common, "verb": verb, "code": code, "scope": scope, **more}
        assert value(samples, "apiserver_request_total", wanted) == 1
    posts = {**common, "verb": "POST", "dry_run": ""}
    assert value(samples, "apiserver_request_duration_seconds_count", posts) == 2
    assert value(samples, "apiserver_request_duration_seconds_bucket", {**posts, "le": "60"}) == 2
    lists = {**common, "verb": "LIST"}
    assert value(samples, "apiserver_response_sizes_count", lists) == 1
    assert value(samples, "etcd_request_duration_seconds_count",
                 {"operation": "create", "group": "", "resource": "configmaps"}) == 2  # fmt: skip
    assert value(samples, "apiserver_storage_objects", {"resource": "configmaps"}) == 0
    assert value(samples, "apiserver_resource_objects", {"resource": "clusterroles"}) > 50
    assert value(samples, "kubernetes_build_info", {"git_version": "v1.36.1", "minor": "36"}) == 1
    assert value(samples, "process_resident_memory_bytes", {}) > 0


async def test_writes_that_go_the_short_way_are_counted_twice(cluster: Cluster) -> None:
    pod = f"{PODS}/p"
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n1"}
    await cluster.post(PODS, {"metadata": {"name": "p"}, "spec": spec})
    for dry_run in ("", "All"):
        query = {"dryRun": dry_run} if dry_run else {}
        request = ApiRequest("DELETE", pod, query, user=ADMIN)
        await answered(cluster, request, begins=True)
    samples = await scrape(cluster)
    deletes = {"verb": "DELETE", "resource": "pods", "subresource": "", "scope": "resource"}
    assert value(samples, "kubeherd_apiserver_short_writes_total", deletes) == 1
    for dry_run in ("", "All"):
        wanted = {**deletes, "dry_run": dry_run}
        assert value(samples, "apiserver_request_total", wanted) == 1


async def test_what_is_refused_before_its_handler_is_not_counted(cluster: Cluster) -> None:
    assert (await cluster.get(f"{CMS}/a", user=BOB)).status == 403
    samples = await scrape(cluster)
    assert not any(labels.get("resource") == "configmaps" for name, labels, _ in samples
                   if name == "apiserver_request_total")  # fmt: skip


async def test_a_watch_is_long_running_while_it_lasts(cluster: Cluster) -> None:
    watcher = await cluster.watch(CMS + "?watch=1&resourceVersion=0&timeoutSeconds=30")
    await cluster.post(CMS, configmap("a"))
    await watcher.next()
    watch = {"verb": "WATCH", "resource": "configmaps", "scope": "namespace"}
    samples = await scrape(cluster)
    assert value(samples, "apiserver_longrunning_requests", watch) == 1
    sent = {"group": "", "version": "v1", "resource": "configmaps"}
    await watcher.close()
    samples = await scrape(cluster)
    assert value(samples, "apiserver_watch_events_total", sent) >= 1
    assert value(samples, "apiserver_request_total", {**watch, "code": "200"}) == 1
    assert not [s for s in samples if s[0] == "apiserver_longrunning_requests"]


async def test_requests_in_flight_are_counted_by_kind(cluster: Cluster) -> None:
    await asyncio.gather(*(cluster.post(CMS, configmap(f"c{n}")) for n in range(5)))
    samples = await scrape(cluster)
    name = "apiserver_current_inflight_requests"
    assert value(samples, name, {"request_kind": "mutating"}) == 5
    again = await scrape(cluster)
    assert value(again, name, {"request_kind": "mutating"}) == 0


async def test_series_that_come_and_go_are_bounded(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubeherd.cluster.apiserver.metrics.MAX_SERIES", 2)
    for kind in ("pods", "secrets", "configmaps"):
        await cluster.get(f"/api/v1/namespaces/default/{kind}")
    samples = await scrape(cluster)
    counted = {
        labels["resource"] for name, labels, _ in samples if name == "apiserver_request_total"
    }
    assert counted == {"secrets", "configmaps"}


async def test_other_processes_are_asked_on_their_socket(cluster: Cluster, tmp_path: Path) -> None:
    api = ApiServer(cluster.store, cluster.clock, Rng(1), run_dir=tmp_path)
    other = Cluster(api, cluster.store, cluster.clock)
    path = tmp_path / "controller-manager.metrics"
    path.write_text("what a killed one left")
    family = Family("sheep_total", Kind.COUNTER, "Counted.", ("colour",), [(("black",), 1)])
    async with scraped(path, lambda: [family]):
        assert path.stat().st_mode & 0o777 == 0o600
        answer = await other.get("/metrics/controller-manager")
        assert answer.status == 200
        assert b'sheep_total{colour="black"} 1.0' in answer.raw
        assert (await other.get("/metrics/controller-manager", user=BOB)).status == 403
        assert (await other.call("POST", "/metrics/controller-manager")).status == 405
    assert not path.exists()
    for name in ("controller-manager", "../pki/ca.key", "a/b", ""):
        assert (await other.get(f"/metrics/{name}")).status == 404


async def test_a_killed_process_is_not_there(cluster: Cluster, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "node-0.metrics"))
    api = ApiServer(cluster.store, cluster.clock, Rng(1), run_dir=tmp_path)
    answer = await Cluster(api, cluster.store, cluster.clock).get("/metrics/node-0")
    assert (answer.status, answer.message) == (503, "process 'node-0' does not run")


async def test_a_frozen_process_is_not_waited_for_for_ever(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubeherd.cluster.apiserver.handlers.scrapes.TIMEOUT_S", 0.05)
    api = ApiServer(cluster.store, cluster.clock, Rng(1), run_dir=tmp_path)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(silent, tmp_path / "node-0.metrics"):
        answer = await Cluster(api, cluster.store, cluster.clock).get("/metrics/node-0")
    assert (answer.status, answer.message) == (504, "process 'node-0' does not answer")
