"""Parameters of admission policies on a server in process.

Texts and rules: Kubernetes v1.36, plugin/policy/generic/policy_dispatcher.go (CollectParams).
"""

from typing import Any

from apicluster import Cluster
from crdcluster import WIDGETS, custom_cluster, definition, version, widget
from policycluster import GROUP, bind, rules, unbind, validating

NS = "/api/v1/namespaces/default"
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap"}


async def limit(cluster: Cluster, name: str, value: str, **labels: str) -> None:
    tree = {"metadata": {"name": name, "labels": labels}, "data": {"max": value}}
    assert (await cluster.post(f"{NS}/configmaps", tree)).status == 201


def policy(name: str = "p", kind: dict[str, str] = CONFIG, **spec: Any) -> dict[str, Any]:
    expression = "params == null || size(object.data) <= int(params.data.max)"
    return validating(name, expression, paramKind=kind, **{"rules": [rules("secrets")], **spec})


def reference(action: str = "Deny", **more: Any) -> dict[str, Any]:
    return {"parameterNotFoundAction": action, **more}


async def secret(cluster: Cluster, count: int, namespace: str = "default") -> str:
    """Try to create a Secret with so many entries; "" if it may be created, or why not."""
    tree = {"metadata": {"name": "s"}, "data": {f"k{number}": "" for number in range(count)}}
    path = f"/api/v1/namespaces/{namespace}/secrets?dryRun=All"
    answer = await cluster.post(path, tree)
    return "" if answer.status == 201 else answer.message.partition("denied request: ")[2]


async def test_a_parameter_by_name(cluster: Cluster) -> None:
    await limit(cluster, "small", "1")
    await bind(cluster, policy(), paramRef=reference(name="small"))
    assert await secret(cluster, 1) == ""
    assert (await secret(cluster, 2)).startswith("failed expression: params == null")


async def test_a_parameter_of_another_namespace(cluster: Cluster) -> None:
    await limit(cluster, "small", "1")
    await cluster.post("/api/v1/namespaces", {"metadata": {"name": "other"}})
    await bind(cluster, policy(), paramRef=reference(name="small", namespace="default"))
    assert await secret(cluster, 2, "other") != ""
    await unbind(cluster, "p")
    await bind(cluster, policy(), paramRef=reference("Allow", name="small"))
    assert await secret(cluster, 2, "other") == ""


async def test_each_of_the_selected_parameters_counts(cluster: Cluster) -> None:
    await limit(cluster, "three", "3", size="yes")
    await limit(cluster, "two", "2", size="yes")
    await limit(cluster, "none", "0")
    await bind(cluster, policy(), paramRef=reference(selector={"matchLabels": {"size": "yes"}}))
    assert await secret(cluster, 2) == ""
    assert await secret(cluster, 3) != ""
    await unbind(cluster, "p")
    await bind(cluster, policy(), paramRef=reference(selector={}))
    assert await secret(cluster, 1) != ""


async def test_a_parameter_that_is_missing(cluster: Cluster) -> None:
    await bind(cluster, policy(), paramRef=reference(name="none"))
    missing = (
        "failed to configure binding: no params found for policy binding with `Deny` "
        "parameterNotFoundAction"
    )
    assert await secret(cluster, 1) == missing
    await unbind(cluster, "p")
    await bind(cluster, policy(), paramRef=reference("Allow", name="none"))
    assert await secret(cluster, 1) == ""
    await unbind(cluster, "p")
    await bind(cluster, policy(failurePolicy="Ignore"), paramRef=reference(name="none"))
    assert await secret(cluster, 1) == ""


async def test_a_policy_with_parameters_and_a_binding_without(cluster: Cluster) -> None:
    await bind(cluster, policy())
    assert await secret(cluster, 5) == ""


async def test_parameters_of_an_unknown_kind(cluster: Cluster) -> None:
    kind = {"apiVersion": "example.com/v1", "kind": "Widget"}
    await bind(cluster, policy(kind=kind), paramRef=reference(name="x"))
    created = await cluster.post(f"{NS}/secrets", {"metadata": {"name": "s"}})
    assert created.message == (
        "secrets \"s\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: failed to "
        "configure policy: failed to find resource referenced by paramKind: 'example.com/v1, "
        "Kind=Widget'"
    )


async def test_where_parameters_may_be(cluster: Cluster) -> None:
    nodes = policy(kind={"apiVersion": "v1", "kind": "Node"})
    await bind(cluster, nodes, paramRef=reference(name="x", namespace="default"))
    assert await secret(cluster, 1) == (
        "failed to configure binding: paramRef.namespace must not be provided for a "
        "cluster-scoped `paramKind`"
    )
    await unbind(cluster, "p")
    about = policy("q", rules=[rules("namespaces", "", "CREATE")])
    await bind(cluster, about, paramRef=reference(name="x"), name="q-b")
    namespace = {"metadata": {"name": "other"}}
    created = await cluster.post("/api/v1/namespaces", namespace)
    assert created.status == 422, created.tree


async def test_custom_resources_as_parameters_and_objects() -> None:
    two = definition(version("v1"), version("v2", storage=False))
    async with custom_cluster(two) as cluster:
        assert (await cluster.post(WIDGETS, widget("max", size=2))).status == 201
        kind = {"apiVersion": "example.com/v2", "kind": "Widget"}
        checked = validating(
            "p", "object.spec.size <= params.spec.size && params.apiVersion == 'example.com/v2'",
            paramKind=kind, rules=[rules("widgets", "example.com")],
        )  # fmt: skip
        await bind(cluster, checked, paramRef=reference(name="max"))
        assert (await cluster.post(WIDGETS, widget("a", size=2))).status == 201
        refused = await cluster.post(WIDGETS, widget("b", size=3))
        assert refused.message.startswith('widgets.example.com "b" is forbidden: ')


async def test_other_versions_of_a_custom_kind_match() -> None:
    two = definition(version("v1"), version("v2", storage=False))
    async with custom_cluster(two) as cluster:
        rule = {**rules("widgets", "example.com"), "apiVersions": ["v2"]}
        seen = "object.apiVersion != 'example.com/v2'"
        await bind(cluster, validating("p", seen, rules=[rule]))
        refused = await cluster.post(WIDGETS, widget("a"))
        assert refused.status == 422, refused.tree


async def test_the_names_of_custom_resources_may_be_those_of_others() -> None:
    jobs = definition(plural="jobs", kind="Job")
    jobs["metadata"]["name"] = "jobs.example.com"
    async with custom_cluster(jobs) as other:
        await bind(other, validating("p", "object.spec.size == 1", rules=[rules("jobs", "*")]))
        path = "/apis/example.com/v1/namespaces/default/jobs"
        made = {**widget("a"), "kind": "Job"}
        assert (await other.post(path, made)).status == 201
        assert (await other.post(path, {**widget("b", size=2), "kind": "Job"})).status == 422


async def test_a_changed_parameter_counts_at_once(cluster: Cluster) -> None:
    await limit(cluster, "small", "1")
    await bind(cluster, policy(), paramRef=reference(name="small"))
    assert await secret(cluster, 2) != ""
    await cluster.patch(f"{NS}/configmaps/small", {"data": {"max": "2"}})
    assert await secret(cluster, 2) == ""
    path = f"{GROUP}/validatingadmissionpolicybindings/p-b"
    await cluster.patch(path, {"spec": {"validationActions": ["Warn"]}})
    assert await secret(cluster, 3) == ""
