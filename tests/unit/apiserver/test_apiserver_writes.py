"""Create, update and delete through the whole pipeline (spec api-machinery, sections 4 to 6)."""

import re
from typing import Any

import pytest
from apicluster import ADMIN, MANAGER, Cluster, answered, config_map, daemon_set, pod

from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse, Response

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DSS = "/apis/apps/v1/namespaces/default/daemonsets"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


async def test_create_answers_201_with_system_metadata(cluster: Cluster) -> None:
    body = config_map("a", k="v")
    body["metadata"] |= {
        "uid": "mine",
        "creationTimestamp": "2001-01-01T00:00:00Z",
        "selfLink": "/x",
        "deletionTimestamp": "2001-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 3,
        "generation": 7,
    }
    answer = await cluster.post(CMS, body)
    assert answer.status == 201
    meta = answer.tree["metadata"]
    assert list(answer.tree)[:3] == ["kind", "apiVersion", "metadata"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4.{3}-[89ab].{3}-[0-9a-f]{12}", meta["uid"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", meta["creationTimestamp"])
    assert meta["creationTimestamp"] > "2002"
    assert not {"selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"} & meta.keys()
    assert meta["generation"] == 7  # ConfigMaps count none, and keep what they are given
    assert meta["resourceVersion"] == str(cluster.store.revision)
    assert (await cluster.get(f"{CMS}/a")).tree == answer.tree


async def test_create_of_an_existing_name_is_409(cluster: Cluster) -> None:
    await cluster.post(DSS, daemon_set("d"))
    answer = await cluster.post(DSS, daemon_set("d"))
    assert answer.status == 409
    assert answer.tree == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'daemonsets.apps "d" already exists',
        "reason": "AlreadyExists",
        "details": {"name": "d", "group": "apps", "kind": "daemonsets"},
        "code": 409,
    }


async def test_create_over_a_terminating_object_says_so(cluster: Cluster) -> None:
    body = config_map("a")
    body["metadata"]["finalizers"] = ["example.com/wait"]
    await cluster.post(CMS, body)
    await cluster.delete(f"{CMS}/a")
    answer = await cluster.post(CMS, config_map("a"))
    assert answer.message == 'object is being deleted: configmaps "a" already exists'


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (
            {"apiVersion": "v2"},
            400,
            'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is '
            'registered for version "v2" in scheme "pkg/api/legacyscheme/scheme.go:30"',
        ),
        (
            {"kind": "Pod"},
            400,
            'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to '
            "(core.ConfigMap): unknown conversion",
        ),
        (
            {"metadata": {"name": "a", "namespace": "other"}},
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ({"metadata": {"name": "a", "resourceVersion": "5"}}, 500, "resourceVersion should not be"),
        (
            {"metadata": {}},
            422,
            "metadata.name: Required value: name or generateName is required",
        ),
        ({"data": {"a": 1}}, 400, "cannot be handled as a ConfigMap: json: cannot unmarshal"),
        ({"metadata": []}, 400, "cannot be handled as a ConfigMap: json: cannot unmarshal"),
    ],
)
async def test_creates_that_are_refused_store_nothing(
    cluster: Cluster, change: dict[str, Any], code: int, text: str
) -> None:
    before = cluster.store.revision
    answer = await cluster.post(CMS, {**config_map("a"), **change})
    assert (answer.status, answer.tree["code"]) == (code, code)
    assert text in answer.message
    assert cluster.store.revision == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 5000])
async def test_malformed_bodies_are_400(cluster: Cluster, body: bytes) -> None:
    answer = await cluster.call("POST", CMS, body)
    assert (answer.status, answer.tree["reason"]) == (400, "BadRequest")


async def test_a_generated_name_fits_the_limit(cluster: Cluster) -> None:
    base = "x" * 70 + "-"
    answer = await cluster.post(CMS, {"metadata": {"generateName": base}})
    meta = answer.tree["metadata"]
    assert re.fullmatch(r"x{58}[bcdfghjklmnpqrstvwxz2456789]{5}", meta["name"])
    assert meta["generateName"] == base


async def test_generate_name_gives_up_after_eight_tries(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubeherd.cluster.api.names.generate", lambda base, choice: base + "same")
    await cluster.post(CMS, {"metadata": {"generateName": "a-"}})
    answer = await cluster.post(CMS, {"metadata": {"generateName": "a-"}})
    assert answer.status == 409
    assert answer.message == (
        'configmaps "a-same" already exists, the server was not able to generate a unique name '
        "for the object"
    )
    assert answer.tree["details"]["retryAfterSeconds"] == 1
    assert answer.headers["Retry-After"] == "1"


async def test_dry_run_stores_nothing(cluster: Cluster) -> None:
    before = cluster.store.revision
    answer = await cluster.post(f"{CMS}?dryRun=All", config_map("a"))
    assert answer.status == 201
    assert answer.tree["metadata"]["uid"]
    assert "resourceVersion" not in answer.tree["metadata"]
    assert cluster.store.revision == before
    await cluster.post(CMS, config_map("a"))
    patched = await cluster.patch(f"{CMS}/a?dryRun=All", {"data": {"k": "v"}})
    assert patched.tree["data"] == {"k": "v"}
    assert (await cluster.delete(f"{CMS}/a?dryRun=All")).status == 200
    assert "data" not in (await cluster.get(f"{CMS}/a")).tree


async def test_dry_run_other_value_is_422(cluster: Cluster) -> None:
    answer = await cluster.post(f"{CMS}?dryRun=x", config_map("a"))
    assert answer.status == 422
    assert 'dryRun: Unsupported value: ["x"]: supported values: "All"' in answer.message


@pytest.mark.parametrize(
    ("mode", "status"), [("", 201), ("Warn", 201), ("Ignore", 201), ("Strict", 400), ("x", 422)]
)
async def test_unknown_and_double_fields_by_mode(cluster: Cluster, mode: str, status: int) -> None:
    body = b'{"metadata":{"name":"a"},"foo":1,"data":{"k":"1","k":"2"}}'
    answer = await cluster.call("POST", f"{CMS}?fieldValidation={mode}", body)
    assert answer.status == status
    if status == 201:
        assert answer.tree["data"] == {"k": "2"}
        warned = answer.headers.get("Warning", "")
        assert ('299 - "unknown field \\"foo\\""' in warned) is (mode != "Ignore")
        assert ('299 - "duplicate field \\"data.k\\""' in warned) is (mode != "Ignore")
    elif status == 400:
        assert answer.message.startswith(
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        )
        assert 'unknown field "foo"' in answer.message


async def test_put_replaces_and_counts_revision(cluster: Cluster) -> None:
    created = (await cluster.post(CMS, config_map("a", k="1"))).tree
    answer = await cluster.put(f"{CMS}/a", config_map("a", k="2"))
    assert answer.status == 200
    assert answer.tree["metadata"]["uid"] == created["metadata"]["uid"]
    assert int(answer.tree["metadata"]["resourceVersion"]) > int(
        created["metadata"]["resourceVersion"]
    )


async def test_put_that_changes_nothing_keeps_the_revision(cluster: Cluster) -> None:
    created = (await cluster.post(CMS, config_map("a", k="1"))).tree
    before = cluster.store.revision
    answer = await cluster.put(f"{CMS}/a", config_map("a", k="1"))
    assert answer.tree == created
    assert cluster.store.revision == before


@pytest.mark.parametrize(
    ("meta", "code", "text"),
    [
        ({"name": "b"}, 400, "the name of the object (b) does not match the name on the URL (a)"),
        ({}, 400, "name must be provided"),
        (
            {"name": "a", "resourceVersion": "1"},
            409,
            'Operation cannot be fulfilled on configmaps "a": the object has been modified; please '
            "apply your changes to the latest version and try again",
        ),
        (
            {"name": "a", "resourceVersion": "abc"},
            500,
            'strconv.ParseUint: parsing "abc": invalid syntax',
        ),
        ({"name": "a", "uid": "other"}, 409, "Precondition failed: UID in precondition: other"),
    ],
)
async def test_puts_that_are_refused_store_nothing(
    cluster: Cluster, meta: object, code: int, text: str
) -> None:
    await cluster.post(CMS, config_map("a"))
    before = cluster.store.revision
    answer = await cluster.put(f"{CMS}/a", {"metadata": meta, "data": {"z": "z"}})
    assert answer.status == code
    assert text in answer.message
    assert cluster.store.revision == before


async def test_put_of_an_absent_object_is_404_but_creates_leases(cluster: Cluster) -> None:
    answer = await cluster.put(f"{CMS}/ghost", config_map("ghost"))
    assert answer.status == 404
    assert answer.message == 'configmaps "ghost" not found'
    lease = {"metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1"}}
    assert (await cluster.put(f"{LEASES}/n1", lease)).status == 201


async def test_lease_needs_a_resource_version(cluster: Cluster) -> None:
    lease = {"metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1"}}
    created = (await cluster.post(LEASES, lease)).tree
    answer = await cluster.put(f"{LEASES}/n1", lease)
    assert answer.status == 422
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in (
        answer.message
    )
    created["spec"]["holderIdentity"] = "other"
    assert (await cluster.put(f"{LEASES}/n1", created)).status == 200
    assert (await cluster.patch(f"{LEASES}/n1", {"spec": {"leaseTransitions": 1}})).status == 200


async def test_status_and_spec_are_written_apart(cluster: Cluster) -> None:
    body = daemon_set("d") | {"status": {"numberReady": 5}}
    created = (await cluster.post(DSS, body)).tree
    assert created["status"] == {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }
    both = created | {"status": created["status"] | {"numberReady": 3}}
    both["spec"] = created["spec"] | {"minReadySeconds": 9}
    del both["metadata"]["resourceVersion"]
    main = (await cluster.put(f"{DSS}/d", both)).tree
    assert (main["status"]["numberReady"], main["spec"]["minReadySeconds"]) == (0, 9)
    both["spec"] = created["spec"]
    status = (await cluster.put(f"{DSS}/d/status", both)).tree
    assert (status["status"]["numberReady"], status["spec"]["minReadySeconds"]) == (3, 9)
    assert status["metadata"]["generation"] == main["metadata"]["generation"] == 2


async def test_daemon_set_generations(cluster: Cluster) -> None:
    key = "deprecated.daemonset.template.generation"
    body = daemon_set("d")
    body["metadata"]["annotations"] = {key: "7"}
    created = (await cluster.post(DSS, body)).tree
    assert created["metadata"]["annotations"][key] == "7"
    assert created["metadata"]["generation"] == 1

    async def generations(patch: object) -> tuple[int, str]:
        meta = (await cluster.patch(f"{DSS}/d", patch)).tree["metadata"]
        return meta["generation"], meta["annotations"][key]

    assert await generations({"metadata": {"annotations": {"a": "b"}}}) == (1, "7")
    assert await generations({"metadata": {"annotations": {key: "99"}}}) == (1, "7")
    assert await generations({"spec": {"minReadySeconds": 1}}) == (2, "7")
    template = {"spec": {"template": {"metadata": {"labels": {"x": "y"}}}}}
    assert await generations(template) == (3, "8")
    assert await generations({"metadata": {"generation": 55}}) == (3, "8")


async def test_daemon_set_template_generation_must_be_a_number(cluster: Cluster) -> None:
    body = daemon_set("d")
    body["metadata"]["annotations"] = {"deprecated.daemonset.template.generation": "x"}
    answer = await cluster.post(DSS, body)
    assert answer.status == 400
    assert 'strconv.ParseInt: parsing "x": invalid syntax' in answer.message


async def test_what_the_server_fills_in_for_a_new_pod(cluster: Cluster) -> None:
    tree = (await cluster.post(PODS, pod("p") | {"status": {"phase": "Running"}})).tree
    assert tree["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert tree["metadata"]["generation"] == 1
    spec = tree["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    assert [(t["key"], t["tolerationSeconds"]) for t in spec["tolerations"]] == [
        ("node.kubernetes.io/not-ready", 300),
        ("node.kubernetes.io/unreachable", 300),
    ]


async def test_a_gated_pod_says_that_it_is_not_scheduled(cluster: Cluster) -> None:
    tree = (await cluster.post(PODS, pod("p", schedulingGates=[{"name": "a.b/c"}]))).tree
    (condition,) = tree["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "PodScheduled",
        "False",
        "SchedulingGated",
    )


async def test_node_gets_the_not_ready_taint_and_keeps_its_status(cluster: Cluster) -> None:
    node = {"metadata": {"name": "n1"}, "status": {"capacity": {"cpu": "4"}}}
    tree = (await cluster.post("/api/v1/nodes", node)).tree
    assert tree["spec"]["taints"] == [
        {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    ]
    assert tree["status"]["capacity"] == {"cpu": "4"}
    assert "generation" not in tree["metadata"]


# --- delete ---


async def test_delete_answers_status_or_object_by_kind(cluster: Cluster) -> None:
    created = (await cluster.post(DSS, daemon_set("d"))).tree
    answer = await cluster.delete(f"{DSS}/d")
    assert answer.status == 200
    assert answer.tree == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {
            "name": "d",
            "group": "apps",
            "kind": "daemonsets",
            "uid": created["metadata"]["uid"],
        },
    }
    await cluster.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "s"}})
    answer = await cluster.delete("/api/v1/namespaces/default/serviceaccounts/s")
    assert answer.tree["kind"] == "ServiceAccount"


async def test_delete_with_finalizers_waits_for_them(cluster: Cluster) -> None:
    await cluster.post(DSS, daemon_set("d"))
    marked = (await cluster.delete(f"{DSS}/d", {"propagationPolicy": "Foreground"})).tree
    assert marked["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    assert marked["metadata"]["generation"] == 2
    before = cluster.store.revision
    again = await cluster.delete(f"{DSS}/d", {"propagationPolicy": "Foreground"})
    assert (again.status, cluster.store.revision) == (200, before)
    patch = {"metadata": {"finalizers": None}}
    freed = await cluster.patch(f"{DSS}/d", patch, "application/merge-patch+json")
    assert freed.status == 200
    assert (await cluster.get(f"{DSS}/d")).status == 404


async def test_no_new_finalizer_on_a_terminating_object(cluster: Cluster) -> None:
    await cluster.post(DSS, daemon_set("d"))
    await cluster.delete(f"{DSS}/d?propagationPolicy=Orphan")
    answer = await cluster.patch(f"{DSS}/d", {"metadata": {"finalizers": ["a.b/x"]}})
    assert answer.status == 422
    assert 'found new finalizers []string{"a.b/x"}' in answer.message


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"propagationPolicy": "x"}, 422, 'supported values: "Foreground", "Background", "Orphan"'),
        (
            {"propagationPolicy": "Orphan", "orphanDependents": True},
            422,
            "orphanDependents and deletionPropagation cannot be both set",
        ),
        (
            {"preconditions": {"uid": "other"}},
            409,
            "the UID in the precondition (other) does not match the UID in record (",
        ),
        (
            {"preconditions": {"resourceVersion": "1"}},
            409,
            "the ResourceVersion in the precondition (1) does not match the ResourceVersion in",
        ),
        (
            {"preconditions": {"uid": ""}},
            409,
            "the UID in the precondition () does not match the UID in record (",
        ),
        ({"preconditions": {"resourceVersion": ""}}, 409, "in the precondition () does not"),
        (
            {"kind": "Pod"},
            400,
            'no kind "Pod" is registered for version "v1" in scheme "k8s.io/apimachinery/pkg/apis/'
            'meta/internalversion/scheme/register.go:27"',
        ),
        ({"gracePeriodSeconds": "x"}, 400, "cannot unmarshal string"),
    ],
)
async def test_deletes_that_are_refused_delete_nothing(
    cluster: Cluster, options: object, code: int, text: str
) -> None:
    await cluster.post(CMS, config_map("a"))
    answer = await cluster.delete(f"{CMS}/a", options)
    assert answer.status == code
    assert text in answer.message
    assert (await cluster.get(f"{CMS}/a")).status == 200


async def test_delete_collection_takes_what_matches(cluster: Cluster) -> None:
    for name in ("a", "b", "c"):
        body = config_map(name)
        body["metadata"]["labels"] = {"app": name}
        await cluster.post(CMS, body)
    answer = await cluster.delete(f"{CMS}?labelSelector=app+notin+(c)".replace("+", " "))
    assert answer.status == 200
    assert answer.tree["kind"] == "ConfigMapList"
    assert [item["metadata"]["name"] for item in answer.tree["items"]] == ["a", "b"]
    left = (await cluster.get(CMS)).tree["items"]
    assert [item["metadata"]["name"] for item in left] == ["c"]


async def _bound_pod(cluster: Cluster, **spec: object) -> None:
    await cluster.post(PODS, pod("p", **spec))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    assert (await cluster.post(f"{PODS}/p/binding", binding)).status == 201


@pytest.mark.parametrize("how", ["alone", "as one of all", "begun"])
async def test_a_grace_period_longer_than_time_ends_some_day(cluster: Cluster, how: str) -> None:
    """Of a spec it is valid; a moment has no room for it."""
    await _bound_pod(cluster, terminationGracePeriodSeconds=2**62)
    answer: Response
    if how == "begun":
        answer = await answered(cluster, ApiRequest("DELETE", f"{PODS}/p", user=ADMIN), begins=True)
    else:
        answer = await cluster.raw("DELETE", PODS if how == "as one of all" else f"{PODS}/p")
    assert isinstance(answer, ApiResponse)
    assert answer.status == 200
    meta = (await cluster.get(f"{PODS}/p")).tree["metadata"]
    assert meta["deletionGracePeriodSeconds"] == 2**31 - 1
    assert (await cluster.delete(f"{PODS}/p", {"gracePeriodSeconds": 5})).status == 200
    assert (await cluster.get(f"{PODS}/p")).tree["metadata"]["deletionGracePeriodSeconds"] == 5


async def test_graceful_pod_deletion(cluster: Cluster) -> None:
    await _bound_pod(cluster, terminationGracePeriodSeconds=20)
    marked = (await cluster.delete(f"{PODS}/p")).tree["metadata"]
    assert (marked["deletionGracePeriodSeconds"], marked["generation"]) == (20, 2)
    assert marked["deletionTimestamp"] > marked["creationTimestamp"]
    before = cluster.store.revision
    assert (await cluster.delete(f"{PODS}/p?gracePeriodSeconds=30")).status == 200
    assert cluster.store.revision == before
    shorter = (await cluster.delete(f"{PODS}/p?gracePeriodSeconds=5")).tree["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 5
    assert (await cluster.delete(f"{PODS}/p?gracePeriodSeconds=0")).status == 200
    assert (await cluster.get(f"{PODS}/p")).status == 404


async def test_unbound_pod_goes_at_once_with_two_events(cluster: Cluster) -> None:
    await cluster.post(PODS, pod("p"))
    revision = cluster.store.revision
    answer = await cluster.delete(f"{PODS}/p")
    assert answer.tree["kind"] == "Pod"
    path = f"{PODS}?watch=1&poll=1&timeoutSeconds=0&resourceVersion={revision}"
    events = (await cluster.get(path)).tree["events"]
    assert [event["type"] for event in events] == ["MODIFIED", "DELETED"]
    assert events[0]["object"]["metadata"]["deletionGracePeriodSeconds"] == 0


async def test_a_namespace_terminates_until_it_is_finalized(cluster: Cluster) -> None:
    created = (await cluster.post("/api/v1/namespaces", {"metadata": {"name": "t"}})).tree
    assert created["metadata"]["labels"] == {"kubernetes.io/metadata.name": "t"}
    assert created["spec"] == {"finalizers": ["kubernetes"]}
    assert created["status"] == {"phase": "Active"}
    marked = (await cluster.delete("/api/v1/namespaces/t")).tree
    assert marked["status"] == {"phase": "Terminating"}
    assert "deletionGracePeriodSeconds" not in marked["metadata"]
    again = await cluster.delete("/api/v1/namespaces/t")
    assert (again.status, again.tree) == (200, marked)
    refused = await cluster.post("/api/v1/namespaces/t/configmaps", config_map("a"))
    assert refused.status == 403
    assert refused.message == (
        'configmaps "a" is forbidden: unable to create new content in namespace t because it is '
        "being terminated"
    )
    assert refused.tree["details"]["causes"] == [{
        "reason": "NamespaceTerminating",
        "message": "namespace t is being terminated",
        "field": "metadata.namespace",
    }]  # fmt: skip
    final = marked | {"spec": {"finalizers": []}}
    assert (await cluster.put("/api/v1/namespaces/t/finalize", final)).status == 200
    assert (await cluster.get("/api/v1/namespaces/t")).status == 404


async def test_immortal_and_missing_namespaces(cluster: Cluster) -> None:
    answer = await cluster.delete("/api/v1/namespaces/kube-system")
    assert (answer.status, answer.message) == (
        403,
        'namespaces "kube-system" is forbidden: this namespace may not be deleted',
    )
    answer = await cluster.post("/api/v1/namespaces/ghost/configmaps", config_map("a"))
    assert (answer.status, answer.message) == (404, 'namespaces "ghost" not found')


async def test_field_ownership_is_kept_for_users_and_not_for_components(cluster: Cluster) -> None:
    mine = (await cluster.post(CMS, config_map("a", k="v"), user_agent="kubectl/v1")).tree
    (entry,) = mine["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("kubectl", "Update")
    assert entry["fieldsV1"] == {"f:data": {".": {}, "f:k": {}}}
    theirs = (await cluster.post(CMS, config_map("b", k="v"), user=MANAGER)).tree
    assert "managedFields" not in theirs["metadata"]
    changed = await cluster.patch(f"{CMS}/a", {"data": {"k": "w"}}, user=MANAGER)
    assert changed.tree["metadata"]["managedFields"] == [entry]


async def test_both_event_apis_show_one_object(cluster: Cluster) -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Started",
        "message": "hello",
        "type": "Normal",
        "source": {"component": "kubelet"},
        "count": 2,
    }
    await cluster.post("/api/v1/namespaces/default/events", event)
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    tree = (await cluster.get(f"{path}/e")).tree
    assert tree["apiVersion"] == "events.k8s.io/v1"
    assert (tree["note"], tree["deprecatedCount"]) == ("hello", 2)
    # What the older version prints though it is empty, the newer one leaves out.
    assert not {"reportingController", "reportingInstance"} & set(tree)
    listed = await cluster.get(path, query={"fieldSelector": "regarding.name=p"})
    assert [item["note"] for item in listed.tree["items"]] == ["hello"]
    patched = await cluster.patch("/api/v1/namespaces/default/events/e", {"message": "bye"})
    assert patched.tree["message"] == "bye"
    refused = await cluster.patch(f"{path}/e", {"note": "again"})
    assert (refused.status, refused.tree["message"]) == (
        422, 'Event "e" is invalid: message: Invalid value: "again": field is immutable'
    )  # fmt: skip
    core = (await cluster.get("/api/v1/namespaces/default/events/e")).tree
    assert core["message"] == "bye"
    assert ADMIN.name not in str(core)
