"""Empty lists, empty maps and nulls: where Kubernetes tells them from what is absent.

Texts and owners are those that a v1.36.2 answered.
"""

from typing import Any

from apicluster import APPLY, JSON_PATCH, MERGE, Cluster, pod

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
VOLUMES = "/api/v1/persistentvolumes"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"


def deployment(**spec: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    wanted = {"selector": {"matchLabels": {"app": "x"}}, "template": template, **spec}
    return {"metadata": {"name": "d"}, "spec": wanted}


async def test_a_refusal_shows_empty_maps_as_they_were_sent(cluster: Cluster) -> None:
    template: dict[str, Any] = {
        "metadata": {"labels": {}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    text = "spec.template.metadata.labels: Invalid value: {}: `selector` does not match"
    assert text in (await cluster.post(DEPLOYMENTS, deployment(template=template))).message
    del template["metadata"]["labels"]
    text = "spec.template.metadata.labels: Invalid value: null: `selector` does not match"
    assert text in (await cluster.post(DEPLOYMENTS, deployment(template=template))).message
    sent = deployment(selector={"matchLabels": {}})
    text = "spec.selector: Invalid value: {}: empty selector is invalid for deployment"
    assert text in (await cluster.post(DEPLOYMENTS, sent)).message


async def test_what_is_stored_has_no_empty_maps(cluster: Cluster) -> None:
    sent = deployment()
    sent["metadata"]["annotations"] = {}
    sent["spec"]["template"]["spec"]["tolerations"] = []
    made = await cluster.post(DEPLOYMENTS, sent)
    assert made.status == 201
    assert "annotations" not in made.tree["metadata"]
    assert "tolerations" not in made.tree["spec"]["template"]["spec"]
    assert "f:annotations" not in made.raw.decode()


async def test_a_patch_empties_a_map_for_the_message_only(cluster: Cluster) -> None:
    spec = {
        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
        "hostPath": {"path": "/srv"},
    }  # fmt: skip
    assert (await cluster.post(VOLUMES, {"metadata": {"name": "v"}, "spec": spec})).status == 201
    patch = [{"op": "remove", "path": "/spec/capacity/storage"}]
    refused = await cluster.patch(f"{VOLUMES}/v", patch, JSON_PATCH)
    assert 'spec.capacity: Unsupported value: {}: supported values: "storage"' in refused.message
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    assert (await cluster.post(CLAIMS, {"metadata": {"name": "c"}, "spec": asked})).status == 201
    emptied: dict[str, Any] = {"spec": {"accessModes": None, "resources": {"limits": {}}}}
    refused = await cluster.patch(f"{CLAIMS}/c", emptied, MERGE)
    assert '-  \\"Limits\\": null,\\n+  \\"Limits\\": {},' in refused.raw.decode()


async def test_printed_lists_are_owned_if_they_were_sent(cluster: Cluster) -> None:
    path = "/api/v1/namespaces/default/limitranges"
    for name, spec, owned in (("a", {"limits": []}, {"f:limits": {}}), ("b", {}, None)):
        made = await cluster.post(path, {"metadata": {"name": name}, "spec": spec})
        assert made.tree["spec"] == {"limits": None}
        entries = made.tree["metadata"].get("managedFields") or [{"fieldsV1": {}}]
        assert entries[0]["fieldsV1"].get("f:spec") == owned


async def test_null_members_of_objects_in_lists_are_no_fields(cluster: Cluster) -> None:
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    await cluster.post(ROLES, {"metadata": {"name": "r"}, "rules": [rule]})
    patched = await cluster.patch(f"{ROLES}/r", {"rules": [{**rule, "bogus": None}]}, MERGE)
    assert patched.status == 200
    assert "Warning" not in patched.headers
    unknown = await cluster.patch(f"{ROLES}/r", {"rules": [{**rule, "bogus": 1}]}, MERGE)
    assert 'unknown field \\"rules[0].bogus\\"' in unknown.headers["Warning"]


async def test_applied_nulls_take_over_what_does_not_merge(cluster: Cluster) -> None:
    await cluster.post(CLASSES, {"metadata": {"name": "p"}, "value": 1, "description": "d"})
    body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1}
    applied = {**body, "metadata": {"name": "p"}, "description": None}
    refused = await cluster.patch(f"{CLASSES}/p?fieldManager=m", applied, APPLY)
    assert (refused.status, refused.message) == (
        409,
        "Apply failed with 1 conflict: conflict with "
        '"tester" using scheduling.k8s.io/v1: .description',
    )
    forced = await cluster.patch(f"{CLASSES}/p?fieldManager=m&force=true", applied, APPLY)
    assert "description" not in forced.tree


async def test_an_applied_null_is_an_empty_one_of_what_merges(cluster: Cluster) -> None:
    path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    spec = {"maxReplicas": 3, "scaleTargetRef": target}
    made = await cluster.post(path, {"metadata": {"name": "h"}, "spec": spec})
    body = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "spec": None}
    applied = await cluster.patch(
        f"{path}/h?fieldManager=m", {**body, "metadata": {"name": "h"}}, APPLY
    )
    assert applied.status == 200
    assert applied.tree["spec"] == made.tree["spec"]
    mine = applied.tree["metadata"]["managedFields"][0]
    assert (mine["manager"], mine["fieldsV1"]) == ("m", {"f:spec": {}})
    assert "time" not in mine


async def test_entries_of_versions_that_the_kind_never_had_are_dropped(cluster: Cluster) -> None:
    def entry(version: str) -> dict[str, Any]:
        return {
            "manager": version, "operation": "Update", "apiVersion": version,
            "fieldsType": "FieldsV1", "fieldsV1": {"f:x": {}},
        }  # fmt: skip

    sent = deployment()
    sent["metadata"]["managedFields"] = [entry("v1"), entry("apps/v1beta2"), entry("x/v9")]
    made = await cluster.post(DEPLOYMENTS, sent)
    managers = {item["manager"] for item in made.tree["metadata"]["managedFields"]}
    assert managers == {"tester", "apps/v1beta2"}


async def test_a_refused_patch_shows_members_as_go_writes_them(cluster: Cluster) -> None:
    await cluster.post("/api/v1/namespaces/default/pods", pod("p"))
    refused = await cluster.patch(
        "/api/v1/namespaces/default/pods/p", {"metadata": {"labels": 1}}, MERGE
    )
    text = refused.tree["details"]["causes"][0]["message"].replace("\\", "")
    assert text.index('"containers"') < text.index('"restartPolicy"') < text.index('"dnsPolicy"')
    patch = {"metadata": {"labels": 1}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    refused = await cluster.patch("/api/v1/namespaces/default/pods/p", patch, MERGE)
    text = refused.tree["details"]["causes"][0]["message"].replace("\\", "")
    assert '"containers":[{"image":"i","name":"c"}],"dnsPolicy"' in text


async def test_empty_lists_are_a_reason_for_nothing_but_words(cluster: Cluster) -> None:
    await cluster.post("/api/v1/namespaces/default/pods", pod("p"))
    changed = {
        "metadata": {"labels": {"a b": "c"}},
        "spec": {"containers": [{"name": "c", "ports": [], "env": []}], "tolerations": None},
    }
    refused = await cluster.patch("/api/v1/namespaces/default/pods/p", changed)
    fields = {cause["field"] for cause in refused.tree["details"]["causes"]}
    assert fields == {"metadata.labels"}
    sent = deployment(replicas=-1)
    sent["spec"]["template"]["spec"]["resources"] = {"claims": []}
    refused = await cluster.post(DEPLOYMENTS, sent)
    assert "spec.template.spec.resources.claims: Forbidden" in refused.message
