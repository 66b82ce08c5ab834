"""Admission policies about what is not stored: connections, evictions, tokens, bindings.

Source: Kubernetes v1.36, apiserver/pkg/endpoints/handlers (create.go, rest.go: ConnectResource).
"""

from apicluster import Cluster, pod
from policycluster import bind, rules, validating

from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse

NS = "/api/v1/namespaces/default"
PODS = f"{NS}/pods"


async def about(cluster: Cluster, resource: str, operation: str, expression: str) -> None:
    await bind(cluster, validating("p", expression, rules=[rules(resource, "", operation)]))


async def test_connections(cluster: Cluster) -> None:
    seen = (
        "request.kind.kind == 'PodExecOptions' && request.subResource == 'exec' && "
        "object.command == ['ls', '-l'] && object.container == 'c' && object.stdout && "
        "!has(object.stdin) && request.name == 'p'"
    )
    await about(cluster, "pods/exec", "CONNECT", seen)
    await cluster.post(PODS, pod("p", nodeName="n"))
    for words, status in (("ls&command=-l", 400), ("sh", 422)):
        text = f"command={words}&container=c&stdout=true"
        query = {"container": "c", "stdout": "true", "command": words.partition("&")[0]}
        request = ApiRequest("POST", f"{PODS}/p/exec", query, {}, b"", cluster.user, raw_query=text)
        response = await cluster.api.handle(request)
        assert isinstance(response, ApiResponse)
        assert response.status == status


async def test_evictions(cluster: Cluster) -> None:
    seen = "request.kind.group == 'policy' && object.kind == 'Eviction' && request.name != 'p'"
    await about(cluster, "pods/eviction", "CREATE", seen)
    for name, status in (("p", 422), ("q", 201)):
        await cluster.post(PODS, pod(name))
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        answer = await cluster.post(f"{PODS}/{name}/eviction", eviction)
        assert answer.status == status, answer.tree
    assert (await cluster.get(f"{PODS}/p")).status == 200


async def test_tokens(cluster: Cluster) -> None:
    seen = "object.kind == 'TokenRequest' && object.spec.expirationSeconds < 1000"
    await about(cluster, "serviceaccounts/token", "CREATE", seen)
    for seconds, status in ((999, 201), (1001, 422)):
        body = {"spec": {"expirationSeconds": seconds}}
        answer = await cluster.post(f"{NS}/serviceaccounts/default/token", body)
        assert answer.status == status, answer.tree


async def test_bindings_of_pods(cluster: Cluster) -> None:
    seen = "object.kind == 'Binding' && object.target.name == 'n1' && oldObject == null"
    await about(cluster, "pods/binding", "*", seen)
    await cluster.post(PODS, pod("p"))
    for node, status in (("n2", 422), ("n1", 201)):
        binding = {
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
            "target": {"kind": "Node", "name": node},
        }  # fmt: skip
        answer = await cluster.post(f"{PODS}/p/binding", binding)
        assert answer.status == status, answer.tree
    assert (await cluster.get(f"{PODS}/p")).tree["spec"]["nodeName"] == "n1"
