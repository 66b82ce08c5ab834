"""proxy to pods, services and nodes: who is meant, what is scripted, and what nobody answers."""

import json
from typing import Any

import pytest
from apicluster import Cluster

NS = "/api/v1/namespaces/default"
SCRIPT = {"80": {"body": "hi", "contentType": "text/html", "status": 201}, "81": "+PONG"}
REFUSED = "error trying to reach service: dial tcp {}: connect: connection refused"


@pytest.fixture
async def pods(cluster: Cluster) -> Cluster:
    """A server with the pods `web`, which is ready, and `new`, which is not, both of app=web."""
    annotations = {"kubeherd.io/port-forward": json.dumps(SCRIPT)}
    for name, ready in (("new", "False"), ("web", "True")):
        ports = [{"name": "http", "containerPort": 80}]
        spec = {"containers": [{"name": "c", "image": "x", "ports": ports if ready else []}]}
        metadata = {"name": name, "labels": {"app": "web"}, "annotations": annotations}
        await cluster.post(f"{NS}/pods", {"metadata": metadata, "spec": spec})
        ip = {"podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]} if name == "web" else {}
        status = {"conditions": [{"type": "Ready", "status": ready}], **ip}
        await cluster.patch(f"{NS}/pods/{name}/status", {"status": status})
    return cluster


async def service(cluster: Cluster, name: str, *ports: dict[str, Any], app: str = "web") -> None:
    spec = {"selector": {"app": app}, "ports": list(ports)}
    created = await cluster.post(f"{NS}/services", {"metadata": {"name": name}, "spec": spec})
    assert created.status == 201, created.message


@pytest.mark.parametrize("name", ["web", "web:80", "http:web:80", "https:web:", "https:web:80"])
async def test_a_pod_answers_what_its_script_says(pods: Cluster, name: str) -> None:
    answer = await pods.get(f"{NS}/pods/{name}/proxy/any/path?q=1")
    assert (answer.status, answer.raw, answer.content_type) == (201, b"hi", "text/html")
    assert (await pods.post(f"{NS}/pods/{name}/proxy/", {})).status == 201


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("web:8080", 503, REFUSED.format("10.0.0.9:8080")),
        ("web:http", 503, "error trying to reach service: dial tcp: lookup tcp/http: unknown port"),
        ("web:81", 503, "error trying to reach service: the script of the port is a text"),
        ("new", 400, "address not allowed"),
        ("nobody", 404, 'pods "nobody" not found'),
        ("ftp:web:80", 400, 'invalid pod request "ftp:web:80"'),
        (":80", 400, 'invalid pod request ":80"'),
        ("a:b:c:d", 400, 'invalid pod request "a:b:c:d"'),
    ],
)
async def test_what_a_pod_does_not_answer(
    pods: Cluster, name: str, status: int, message: str
) -> None:
    answer = await pods.get(f"{NS}/pods/{name}/proxy/")
    assert answer.status == status
    assert answer.message.startswith(message)


async def test_a_path_without_its_end_is_elsewhere(pods: Cluster) -> None:
    answer = await pods.get(f"{NS}/pods/web/proxy?a=b")
    assert (answer.status, answer.headers["Location"]) == (301, f"{NS}/pods/web/proxy/?a=b")


async def test_a_service_asks_a_ready_pod(pods: Cluster) -> None:
    number = {"name": "main", "port": 8000, "targetPort": 80}
    await service(pods, "both", number, {"name": "other", "port": 8001, "targetPort": "http"})
    for name in ("both:main", "both:8000", "http:both:8000", "both:other", "both:8001"):
        answer = await pods.get(f"{NS}/services/{name}/proxy/")
        assert (answer.status, answer.raw) == (201, b"hi"), name
    await service(pods, "one", {"port": 80})
    assert (await pods.get(f"{NS}/services/one/proxy/")).raw == b"hi"
    await service(pods, "closed", {"port": 7})
    answer = await pods.get(f"{NS}/services/closed/proxy/")
    assert (answer.status, answer.message) == (503, REFUSED.format("10.0.0.9:7"))


async def test_what_a_service_does_not_answer(pods: Cluster) -> None:
    await service(pods, "both", {"name": "a", "port": 1}, {"name": "b", "port": 2})
    await service(pods, "far", {"port": 80}, app="elsewhere")
    for name, text in (
        ("both", 'no endpoints available for service "both"'),
        ("both:c", 'no endpoints available for service "both:c"'),
        ("both:3", 'no service port 3 found for service "both"'),
        ("far:80", 'no endpoints available for service "far:80"'),
    ):
        answer = await pods.get(f"{NS}/services/{name}/proxy/")
        assert (answer.status, answer.message) == (503, text)
    assert (await pods.get(f"{NS}/services/nothing/proxy/")).status == 404


async def test_a_node_is_asked_at_its_kubelet(cluster: Cluster) -> None:
    await cluster.post("/api/v1/nodes", {"metadata": {"name": "n"}})
    assert (await cluster.get("/api/v1/nodes/n/proxy/pods")).message == "address not allowed"
    address = {"type": "InternalIP", "address": "10.0.0.1"}
    await cluster.patch("/api/v1/nodes/n/status", {"status": {"addresses": [address]}})
    answer = await cluster.get("/api/v1/nodes/n/proxy/pods")
    assert (answer.status, answer.message) == (503, REFUSED.format("10.0.0.1:10250"))
    answer = await cluster.get("/api/v1/nodes/n:9100/proxy/metrics")
    assert answer.message == REFUSED.format("10.0.0.1:9100")


@pytest.mark.parametrize(
    ("container", "port"),
    [
        (
            {"image": "registry.k8s.io/agnhost:2.55", "args": ["serve-hostname"]},
            9376,
        ),
        ({"image": "x/agnhost", "args": ["serve-hostname", "--port", "80"]}, 80),
        ({"image": "x", "command": ["/agnhost", "serve-hostname", "--port=81"]}, 81),
    ],
)
async def test_the_image_that_serves_its_host_name(
    cluster: Cluster, container: dict[str, Any], port: int
) -> None:
    spec = {"containers": [{"name": "c", **container}]}
    await cluster.post(f"{NS}/pods", {"metadata": {"name": "told-apart"}, "spec": spec})
    await cluster.patch(f"{NS}/pods/told-apart/status", {"status": {"podIP": "10.0.0.9"}})
    answer = await cluster.get(f"{NS}/pods/told-apart:{port}/proxy/")
    assert (answer.status, answer.raw) == (200, b"told-apart")
    assert (await cluster.get(f"{NS}/pods/told-apart:{port + 1}/proxy/")).status == 503
