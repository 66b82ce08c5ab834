"""Fields of features that are off, what strategies fill in, and answers off the beaten track, as a
v1.36.2 gave them."""

from typing import Any

from apicluster import Cluster, pod

PODS = "/api/v1/namespaces/default/pods"
NODES = "/api/v1/nodes"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
DRIVERS = "/apis/storage.k8s.io/v1/csidrivers"


async def test_fields_of_features_that_are_off_are_dropped_everywhere(cluster: Cluster) -> None:
    bundle = {"clusterTrustBundle": {"name": "b", "path": "p"}}
    projected = {"sources": [{**bundle, "secret": {"name": "s"}}]}
    spec: dict[str, Any] = {
        "containers": [
            {"name": "c", "image": "i", "lifecycle": {"stopSignal": "SIGTERM"}},
            {"name": "e", "image": "i", "lifecycle": {
                "stopSignal": "SIGTERM", "preStop": {"exec": {"command": ["a"]}},
            }},
        ],
        "schedulingGroup": {},
        "volumes": [{"name": "v", "projected": projected}],
    }  # fmt: skip
    template = {"metadata": {"labels": {"app": "x"}}, "spec": spec}
    sent = {
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template},
    }
    made = await cluster.post("/apis/apps/v1/namespaces/default/daemonsets", sent)
    assert made.status == 201, made.message
    stored = made.tree["spec"]["template"]["spec"]
    assert "schedulingGroup" not in stored
    assert "lifecycle" not in stored["containers"][0]
    assert stored["containers"][1]["lifecycle"] == {"preStop": {"exec": {"command": ["a"]}}}
    assert stored["volumes"][0]["projected"]["sources"] == [{"secret": {"name": "s"}}]
    made = await cluster.post(PODS, pod("p", schedulingGroup={}))
    assert "schedulingGroup" not in made.tree["spec"]


async def test_a_statefulset_has_no_max_unavailable(cluster: Cluster) -> None:
    """Off by default in v1.36, for it broke pods that are managed in parallel."""
    sets = "/apis/apps/v1/namespaces/default/statefulsets"
    template = {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    rolling = {"maxUnavailable": 2, "partition": 1}
    spec = {
        "selector": {"matchLabels": {"app": "x"}},
        "template": template,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
    }
    made = await cluster.post(sets, {"metadata": {"name": "w"}, "spec": spec})
    assert made.status == 201, made.message
    assert made.tree["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 1}
    changed = await cluster.put(f"{sets}/w", {"metadata": {"name": "w"}, "spec": spec})
    assert changed.status == 200, changed.message
    assert changed.tree["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 1}


async def test_a_node_has_no_configuration_from_the_api(cluster: Cluster) -> None:
    source = {"configMap": {"namespace": "a"}}
    sent = {"metadata": {"name": "n"}, "spec": {"configSource": source}, "status": {"config": {}}}
    made = (await cluster.post(NODES, sent)).tree
    assert "configSource" not in made["spec"]
    assert "config" not in made["status"]
    changed = await cluster.put(f"{NODES}/n", sent)
    assert "configSource" not in changed.tree["spec"]


async def test_the_topology_of_old_slices_is_dropped(cluster: Cluster) -> None:
    endpoint = {"addresses": ["10.1.2.3"], "deprecatedTopology": {"a": "../x"}}
    sent = {"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": [endpoint]}
    made = await cluster.post(SLICES, sent)
    assert made.status == 201
    assert made.tree["endpoints"][0].keys() == {"addresses", "conditions"}


async def test_label_keys_join_the_selectors_of_a_new_pod(cluster: Cluster) -> None:
    constraint = {
        "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "x"}}, "matchLabelKeys": ["hash", "none"],
    }  # fmt: skip
    term = {"topologyKey": "zone", "labelSelector": {}, "mismatchLabelKeys": ["hash"]}
    preferred = [{"weight": 1, "podAffinityTerm": term}]
    affinity = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    sent = pod("p", topologySpreadConstraints=[constraint], affinity=affinity)
    sent["metadata"]["labels"] = {"hash": "1"}
    spec = (await cluster.post(PODS, sent)).tree["spec"]
    wanted = {"key": "hash", "operator": "In", "values": ["1"]}
    assert spec["topologySpreadConstraints"][0]["labelSelector"] == {
        "matchLabels": {"app": "x"},
        "matchExpressions": [wanted],
    }
    (weighted,) = spec["affinity"]["podAntiAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    assert weighted["podAffinityTerm"]["labelSelector"] == {
        "matchExpressions": [{**wanted, "operator": "NotIn"}]
    }


async def test_only_valid_objects_are_worth_a_warning(cluster: Cluster) -> None:
    def driver(name: str, lifetime_s: int) -> dict[str, Any]:
        requests = [{"audience": "a", "expirationSeconds": lifetime_s}]
        return {"metadata": {"name": name}, "spec": {"tokenRequests": requests}}

    refused = await cluster.post(DRIVERS, driver("a.example.com", 100))
    assert (refused.status, refused.headers.get("Warning")) == (422, None)
    made = await cluster.post(DRIVERS, driver("a.example.com", 600))
    assert "serviceAccountTokenInSecrets is unset" in made.headers["Warning"]


async def test_a_conflict_names_the_place_in_storage(cluster: Cluster) -> None:
    await cluster.post(NODES, {"metadata": {"name": "n"}})
    wrong = {"metadata": {"name": "n", "uid": "zz"}}
    assert "Key: /registry/minions/n," in (await cluster.put(f"{NODES}/n", wrong)).message
    tried = await cluster.put(f"{NODES}/n?dryRun=All", wrong)
    assert "Key: /minions/n," in tried.message


async def test_answers_off_the_beaten_track(cluster: Cluster) -> None:
    gone = await cluster.get("/api/v1/componentstatuses/bogus")
    assert gone.message == 'componentstatus "bogus" not found'
    assert gone.tree["details"]["kind"] == "componentstatus"
    found = await cluster.get("/openapi/v3/apis/bogus/v1")
    assert (found.status, found.raw, found.content_type) == (404, b"", "")
    assert "apiVersion" not in (await cluster.get("/api/v1")).tree
    assert (await cluster.get("/apis/apps/v1")).tree["apiVersion"] == "v1"
    await cluster.post(PODS, pod("p"))
    logs = await cluster.get(f"{PODS}/p/log")
    assert (logs.status, logs.content_type) == (204, "")
    reached = await cluster.get(f"{PODS}/p/proxy")
    assert (reached.status, reached.message) == (400, "address not allowed")
    await cluster.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "a"}})
    bad = await cluster.post(PODS, pod("q", serviceAccountName="a/b"))
    assert bad.message.endswith("""invalid resource name "a/b": [may not contain '/']""")


async def test_an_address_is_tried_without_being_owned(cluster: Cluster) -> None:
    tried = await cluster.post("/api/v1/namespaces/default/services?dryRun=All", {})
    assert {cause["field"] for cause in tried.tree["details"]["causes"]} == {
        "metadata.name",
        "spec.ports",
    }
