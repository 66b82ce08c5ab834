"""MutatingAdmissionPolicy on a server in process.

Texts and rules: Kubernetes v1.36, plugin/policy/mutating with its tests and
test/integration/apiserver/cel/mutatingadmissionpolicy_test.go.
"""

from typing import Any

from apicluster import APPLY, Cluster, config_map, daemon_set, pod
from crdcluster import WIDGETS, custom_cluster, widget
from policycluster import bind, mutating, rules, unbind, validating

NS = "/api/v1/namespaces/default"
CMS, PODS = f"{NS}/configmaps", f"{NS}/pods"
SETS = "/apis/apps/v1/namespaces/default/daemonsets"


async def made(cluster: Cluster, *expressions: str, **data: str) -> Any:
    """What a ConfigMap becomes under one policy with these mutations; or the refusal."""
    await bind(cluster, mutating("p", *expressions))
    answer = await cluster.post(CMS, config_map("c", **data), query={"dryRun": "All"})
    await unbind(cluster, "p", "mutating")
    return answer.tree.get("data", {}) if answer.status == 201 else answer.tree


async def test_apply_configurations_are_merged(cluster: Cluster) -> None:
    found = await made(cluster, "Object{data: {'b': object.data.a + '!', 'c': '1'}}", a="x")
    assert found == {"a": "x", "b": "x!", "c": "1"}
    assert await made(cluster, "Object{data: {'a': 'y'}}", a="x") == {"a": "y"}
    assert await made(cluster, "Object{}", a="x") == {"a": "x"}


async def test_json_patches(cluster: Cluster) -> None:
    patch = (
        "[JSONPatch{op: 'test', path: '/data/a', value: 'x'},"
        " JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('b'), value: 'y'},"
        " JSONPatch{op: 'move', from: '/data/a', path: '/data/c'}]"
    )
    assert await made(cluster, patch, a="x") == {"b": "y", "c": "x"}
    assert await made(cluster, patch, a="y") == {"a": "y"}, "a test that fails changes nothing"
    chosen = "object.data.a == 'x' ? [JSONPatch{op: 'remove', path: '/data/a'}] : []"
    assert await made(cluster, f"[] + ({chosen})", a="x") == {}
    assert await made(cluster, f"[] + ({chosen})", a="y") == {"a": "y"}


async def test_keys_are_escaped_in_paths(cluster: Cluster) -> None:
    patch = (
        "[JSONPatch{op: 'add', path: '/metadata/labels', value: {}}, JSONPatch{op: 'add', "
        "path: '/metadata/labels/' + jsonpatch.escapeKey('example.com/a'), value: 'b'}]"
    )
    await bind(cluster, mutating("p", patch))
    created = await cluster.post(CMS, config_map("c"))
    assert created.tree["metadata"]["labels"] == {"example.com/a": "b"}


async def test_mutations_follow_each_other(cluster: Cluster) -> None:
    found = await made(
        cluster, "Object{data: {'n': object.data.n + '1'}}",
        "[JSONPatch{op: 'replace', path: '/data/n', value: object.data.n + '2'}]", n="0",
    )  # fmt: skip
    assert found == {"n": "012"}


async def test_lists_with_keys_are_merged_and_defaulted(cluster: Cluster) -> None:
    sidecar = (
        "Object{spec: Object.spec{initContainers: [Object.spec.initContainers{"
        "name: 'side', image: 'i', restartPolicy: 'Always'}], containers: ["
        "Object.spec.containers{name: 'c', env: [Object.spec.containers.env{name: 'A', "
        "value: 'B'}]}]}}"
    )
    await bind(cluster, mutating("p", sidecar, rules=[rules("pods", "", "CREATE")]))
    created = await cluster.post(PODS, pod("p"))
    assert created.status == 201, created.message
    spec = created.tree["spec"]
    [container], [side] = spec["containers"], spec["initContainers"]
    assert (container["image"], container["env"]) == ("nginx", [{"name": "A", "value": "B"}])
    assert side["terminationMessagePath"] == "/dev/termination-log"
    mounted = [mount["mountPath"] for mount in side["volumeMounts"]]
    assert mounted == ["/var/run/secrets/kubernetes.io/serviceaccount"], "plugins ran once more"


async def test_wholes_are_not_replaced_by_parts(cluster: Cluster) -> None:
    command = (
        "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'c', command: ['a']}]}}"
    )
    await bind(cluster, mutating("p", command, rules=[rules("pods")]))
    refused = await cluster.post(PODS, pod("p"))
    text = (
        "policy 'p' with binding 'p-b' denied request: error applying patch: invalid "
        "ApplyConfiguration: may not mutate atomic arrays, maps or structs: "
        ".spec.containers[0].command"
    )
    assert refused.tree == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": text, "reason": "Invalid", "code": 403,
        "details": {"name": "p", "kind": "pods", "causes": [{"message": text}]},
    }  # fmt: skip


async def test_what_cannot_be_applied(cluster: Cluster) -> None:
    for expression, why in (
        ("Object{nope: 'x'}", "error applying patch: failed to convert patch object to typed "
         "object: .nope: field not declared in schema"),
        ("Object{data: Object.wrong{a: 'x'}}", 'type mismatch: unexpected type name "Object.wrong"'
         ', expected "Object.data", which matches field name path from root Object type'),
        ("Object{data: {'a': object.data.none}}", "expression 'Object{data: {'a': object.data.none"
         "}}' resulted in error: no such key: none"),
        ("[JSONPatch{op: 'replace', path: '/none/a', value: 1}]", "JSON Patch: "),
    ):  # fmt: skip
        refused = await made(cluster, expression, a="x")
        begin = "policy 'p' with binding 'p-b' denied request: "
        assert refused["message"].startswith(begin + why), refused
        await bind(cluster, mutating("q", expression, failurePolicy="Ignore"))
        created = await cluster.post(CMS, config_map("c", a="x"), query={"dryRun": "All"})
        assert created.tree["data"] == {"a": "x"}
        await unbind(cluster, "q", "mutating")


async def test_an_object_that_is_none_any_more(cluster: Cluster) -> None:
    patch = "[JSONPatch{op: 'add', path: '/data', value: 'x'}]"
    refused = await made(cluster, patch)
    assert (refused["code"], refused["reason"]) == (500, "InternalError")
    unknown = "[JSONPatch{op: 'add', path: '/nope', value: 'x'}]"
    refused = await made(cluster, unknown)
    assert refused["message"] == (
        'Internal error occurred: strict decoding error: unknown field "nope"'
    )


async def test_what_mutations_see(cluster: Cluster) -> None:
    variables = [{"name": "who", "expression": "request.userInfo.username"}]
    await cluster.post(CMS, config_map("param", v="1"))
    policy = mutating(
        "p", "Object{data: {'who': variables.who, 'ns': namespaceObject.metadata.name,"
        "'v': string(params.data.v), 'may': string(authorizer.path('/x').check('get').allowed())}}",
        variables=variables, paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        matchConditions=[{"name": "a", "expression": "object.metadata.name != 'skip'"}],
    )  # fmt: skip
    reference = {"name": "param", "parameterNotFoundAction": "Deny"}
    await bind(cluster, policy, paramRef=reference)
    assert (await cluster.post(CMS, config_map("c"))).tree["data"] == {
        "who": "kubernetes-admin", "ns": "default", "v": "1", "may": "true",
    }  # fmt: skip
    assert "data" not in (await cluster.post(CMS, config_map("skip"))).tree


async def test_policies_see_what_others_changed_as_they_want(cluster: Cluster) -> None:
    count = "Object{data: {'first': string(has(object.data.second)), 'n': object.data.n + 'a'}}"
    second = "Object{data: {'second': 'yes'}}"
    await bind(cluster, mutating("a", count, reinvocationPolicy="IfNeeded"))
    await bind(cluster, mutating("b", second))
    created = await cluster.post(CMS, config_map("c", n=""))
    assert created.tree["data"] == {"first": "true", "second": "yes", "n": "aa"}
    await unbind(cluster, "a", "mutating")
    await bind(cluster, mutating("a", count))
    created = await cluster.post(CMS, config_map("d", n=""))
    assert created.tree["data"] == {"first": "false", "second": "yes", "n": "a"}


async def test_validation_sees_what_mutation_made(cluster: Cluster) -> None:
    await bind(cluster, mutating("m", "Object{data: {'a': 'y'}}"))
    await bind(cluster, validating("v", "object.data.a == 'x'"))
    assert (await cluster.post(CMS, config_map("c", a="x"))).status == 422


async def test_applied_objects_and_updates_are_mutated(cluster: Cluster) -> None:
    await bind(cluster, mutating("p", "Object{metadata: Object.metadata{labels: {'l': 'p'}}}"))
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    answer = await cluster.patch(f"{CMS}/c", body, APPLY, query={"fieldManager": "m"})
    assert answer.tree["metadata"]["labels"] == {"l": "p"}
    answer = await cluster.put(f"{CMS}/c", {**config_map("c", a="b")})
    assert answer.tree["metadata"]["labels"] == {"l": "p"}
    assert (await cluster.delete(f"{CMS}/c")).status == 200, "deletes are not mutated"


async def test_the_identity_of_an_object_stays(cluster: Cluster) -> None:
    await bind(
        cluster, mutating("p", "[JSONPatch{op: 'replace', path: '/metadata/uid', value: 'x'}]")
    )
    created = await cluster.post(CMS, config_map("c"))
    assert len(created.tree["metadata"]["uid"]) == 36


async def test_custom_resources_are_mutated() -> None:
    async with custom_cluster() as cluster:
        part = "Object{spec: Object.spec{parts: [Object.spec.parts{name: 'b', count: 2}]}}"
        await bind(cluster, mutating("p", part, rules=[rules("widgets", "example.com")]))
        created = await cluster.post(WIDGETS, widget("a", parts=[{"name": "a"}]))
        assert created.status == 201, created.message
        assert created.tree["spec"]["parts"] == [{"name": "a"}, {"name": "b", "count": 2}]
        assert created.tree["spec"]["colour"] == "red"


async def test_workloads_of_other_versions_stay_what_they_are(cluster: Cluster) -> None:
    meta = "Object.spec.template.metadata{annotations: {'a': 'b'}}"
    label = f"Object{{spec: Object.spec{{template: Object.spec.template{{metadata: {meta}}}}}}}"
    await bind(cluster, mutating("p", label, rules=[rules("daemonsets", "apps")]))
    created = await cluster.post(SETS, daemon_set("d"))
    assert created.tree["spec"]["template"]["metadata"]["annotations"] == {"a": "b"}
    changed = await cluster.patch(f"{SETS}/d/status", {"status": {"numberReady": 1}})
    assert changed.status == 200


async def test_duplicates_that_were_there_are_left_or_become_one(cluster: Cluster) -> None:
    env = [{"name": "t", "value": "a"}, {"name": "t", "value": "b"}, {"name": "o", "value": "c"}]
    twice = pod("p", containers=[{"name": "c", "image": "i", "env": env}])
    other = "Object{spec: Object.spec{priority: 0}}"
    await bind(cluster, mutating("p", other, rules=[rules("pods")]))
    created = await cluster.post(PODS, twice, query={"dryRun": "All"})
    assert created.tree["spec"]["containers"][0]["env"] == env
    await unbind(cluster, "p", "mutating")
    one = "Object.spec.containers.env{name: 't', value: 'd'}"
    inner = f"Object.spec.containers{{name: 'c', env: [{one}]}}"
    changing = f"Object{{spec: Object.spec{{containers: [{inner}]}}}}"
    await bind(cluster, mutating("p", changing, rules=[rules("pods")]))
    created = await cluster.post(PODS, twice, query={"dryRun": "All"})
    assert created.tree["spec"]["containers"][0]["env"] == [{"name": "t", "value": "d"}, env[2]]


async def test_wrong_objects_in_patches(cluster: Cluster) -> None:
    for value, why in (
        ("Object.spec.containers{name: 'x', ports: [Object.spec.containers.p{containerPort: 80}]}",
         'type mismatch: unexpected type name "Object.spec.containers.p", expected '
         '"Object.spec.containers.ports", which matches field name path from root Object type'),
        ("Object.spec.containers{name: 'x', ports: [Object.spec.containers.ports{portZ: 80}]}",
         'strict decoding error: unknown field "spec.containers[1].ports[0].portZ"'),
    ):  # fmt: skip
        patch = f"[JSONPatch{{op: 'add', path: '/spec/containers/-', value: {value}}}]"
        await bind(cluster, mutating("p", patch, rules=[rules("pods")]))
        assert why in (await cluster.post(PODS, pod("p"))).message
        await unbind(cluster, "p", "mutating")


async def test_patches_are_values(cluster: Cluster) -> None:
    patch = (
        "[JSONPatch{op: 'add', path: '/data', value: {"
        "'op': JSONPatch{op: 'o'}.op, 'has': string(has(JSONPatch{}.op)),"
        "'same': string(JSONPatch{op: 'a', value: 1} == JSONPatch{op: 'a', value: 1}),"
        "'other': string(JSONPatch{op: 'a', value: '1'} == JSONPatch{op: 'a', value: 1})}}]"
    )
    found = await made(cluster, patch)
    assert found == {"op": "o", "has": "false", "same": "true", "other": "false"}
