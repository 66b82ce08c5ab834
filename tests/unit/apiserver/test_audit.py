"""The audit log: stages, levels and what an event says, as with kube-apiserver."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import orjson
import pytest
import wireserver
from apicluster import APPLY, BOB, MERGE, Cluster, api_cluster

from kubeherd.cluster.api import auditpolicy
from kubeherd.cluster.api.auditpolicy import Asked, Level, PolicyError
from kubeherd.cluster.api.private import batch
from kubeherd.cluster.api.private.batch import BatchedRequest
from kubeherd.cluster.apiserver.audit import logfile
from kubeherd.cluster.apiserver.audit.logfile import LogFile
from kubeherd.cluster.apiserver.edge.messages import ApiRequest

CMS = "/api/v1/namespaces/default/configmaps"
HEAD = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"


class Log:
    """A server that logs by a policy."""

    def __init__(self, cluster: Cluster, path: Path, rules: str) -> None:
        self.cluster = cluster
        self.path = path
        cluster.api.audit(auditpolicy.load((HEAD + rules).encode()), path)

    def events(self, **wanted: Any) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [e for e in found if all(e.get(key) == value for key, value in wanted.items())]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with api_cluster() as running:
        yield running
        running.api.close()


def config_map(name: str = "a") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}}


async def test_a_request_has_an_event_when_it_comes_and_one_when_it_is_answered(
    cluster: Cluster, tmp_path: Path
) -> None:
    log = Log(cluster, tmp_path / "audit.log", "rules: [{level: Metadata}]")
    answer = await cluster.post(f"{CMS}?fieldManager=me", config_map())
    received, complete = log.events()
    assert list(received) == [
        "kind", "apiVersion", "level", "auditID", "stage", "requestURI", "verb", "user",
        "sourceIPs", "userAgent", "objectRef", "requestReceivedTimestamp", "stageTimestamp",
    ]  # fmt: skip
    assert (received["kind"], received["apiVersion"]) == ("Event", "audit.k8s.io/v1")
    assert received["stage"] == "RequestReceived"
    assert received["requestURI"] == f"{CMS}?fieldManager=me"
    assert received["objectRef"] == {
        "resource": "configmaps", "namespace": "default", "apiVersion": "v1",
    }  # fmt: skip
    assert complete["stage"] == "ResponseComplete"
    assert complete["auditID"] == received["auditID"] == answer.headers["Audit-Id"]
    assert complete["objectRef"]["name"] == "a"
    assert complete["responseStatus"] == {"metadata": {}, "code": 201}
    assert complete["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert "requestObject" not in complete
    assert complete["user"]["username"] == "kubernetes-admin"
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600


async def test_objects_are_shown_as_far_as_the_level_goes(cluster: Cluster, tmp_path: Path) -> None:
    log = Log(
        cluster,
        tmp_path / "audit.log",
        """
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: Request
  resources: [{resources: [secrets]}]
- level: RequestResponse
""",
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    await cluster.post("/api/v1/namespaces/default/secrets", secret)
    (event,) = log.events()
    assert event["requestObject"]["type"] == "Opaque"  # the default
    assert "responseObject" not in event
    await cluster.post(CMS, config_map())
    (event,) = log.events(verb="create", level="RequestResponse")
    assert event["responseObject"]["metadata"]["uid"]
    assert "managedFields" not in event["responseObject"]["metadata"]
    await cluster.patch(f"{CMS}/a", {"data": {"k": "w"}}, MERGE)
    await cluster.patch(f"{CMS}/b?fieldManager=me", b"apiVersion: v1\nkind: ConfigMap\n", APPLY)
    merged, applied = log.events(verb="patch")
    assert merged["requestObject"] == {"data": {"k": "w"}}
    assert applied["requestObject"] == {"apiVersion": "v1", "kind": "ConfigMap"}
    await cluster.delete(f"{CMS}/c", {"propagationPolicy": "Background"})
    assert log.events(verb="delete")[0]["requestObject"] == {"propagationPolicy": "Background"}
    await cluster.get(CMS)
    (listed,) = log.events(verb="list")
    assert [item["metadata"]["name"] for item in listed["responseObject"]["items"]] == ["a", "b"]
    assert not any("managedFields" in i["metadata"] for i in listed["responseObject"]["items"])


async def test_refusals_say_why(cluster: Cluster, tmp_path: Path) -> None:
    log = Log(cluster, tmp_path / "audit.log", "rules: [{level: Metadata}]")
    await cluster.get(f"{CMS}/a", user=BOB)
    event = log.events(stage="ResponseComplete")[0]
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert event["responseStatus"]["code"] == 403
    assert event["responseStatus"]["reason"] == "Forbidden"
    assert event["responseStatus"]["message"].startswith('configmaps "a" is forbidden')
    await cluster.get("/apis/nonsense/v1/things")
    assert log.events(stage="ResponseComplete")[-1]["responseStatus"]["code"] == 404


async def test_who_is_impersonated_is_said_beside_who_asks(
    cluster: Cluster, tmp_path: Path
) -> None:
    log = Log(cluster, tmp_path / "audit.log", "rules: [{level: Metadata}]")
    await cluster.get("/api/v1/namespaces", impersonate_user="eve")
    (event,) = log.events(stage="ResponseComplete")
    assert event["user"]["username"] == "kubernetes-admin"
    assert event["impersonatedUser"] == {
        "username": "eve", "groups": ["system:authenticated"],
    }  # fmt: skip
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"


async def test_a_watch_has_a_beginning_and_an_end(cluster: Cluster, tmp_path: Path) -> None:
    log = Log(cluster, tmp_path / "audit.log", "rules: [{level: Metadata}]")
    watcher = await cluster.watch(f"{CMS}?watch=1&resourceVersion=0&timeoutSeconds=30")
    assert [e["stage"] for e in log.events()] == ["RequestReceived", "ResponseStarted"]
    await cluster.post(CMS, config_map())
    await watcher.next()
    await watcher.close()
    assert log.events(verb="watch")[-1]["stage"] == "ResponseComplete"


async def test_a_client_that_goes_away_is_said_to_have(cluster: Cluster, tmp_path: Path) -> None:
    log = Log(cluster, tmp_path / "audit.log", "rules: [{level: Metadata}]")
    poll = f"{CMS}?watch=1&poll=1&resourceVersion={cluster.store.revision}"
    task = asyncio.create_task(cluster.raw("GET", poll))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert log.events()[-1]["responseStatus"]["message"] == "Connection closed early"


async def test_a_bug_is_a_panic(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(cluster, tmp_path / "audit.log", "rules: [{level: Metadata}]")
    monkeypatch.setattr(cluster.api._paths, "answer", lambda *_: 1 / 0)
    assert (await cluster.get("/version")).status == 500
    assert [e["stage"] for e in log.events()] == ["RequestReceived", "Panic"]


async def test_a_batch_is_logged_as_its_requests(cluster: Cluster, tmp_path: Path) -> None:
    log = Log(cluster, tmp_path / "audit.log", "rules: [{level: Metadata}]")
    items = [
        BatchedRequest("POST", CMS, {}, "application/json", "", json.dumps(config_map(n)).encode())
        for n in "ab"
    ]
    body = msgspec.msgpack.encode(items)
    assert batch.decode_requests(body)
    await cluster.post(batch.PATH, body)
    complete = log.events(stage="ResponseComplete")
    assert sorted(event["objectRef"]["name"] for event in complete) == ["a", "b"]


async def test_admission_tells_the_log(cluster: Cluster, tmp_path: Path) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": "n", "labels": {"pod-security.kubernetes.io/audit": "restricted"}}}  # fmt: skip
    await cluster.post("/api/v1/namespaces", namespace)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await cluster.post("/api/v1/namespaces/n/serviceaccounts", account)
    log = Log(cluster, tmp_path / "audit.log", "rules: [{level: Metadata}]")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
           "spec": {"containers": [{"name": "c", "image": "i"}]}}  # fmt: skip
    assert (await cluster.post("/api/v1/namespaces/n/pods", pod)).status == 201
    annotations = log.events(stage="ResponseComplete")[0]["annotations"]
    assert annotations["pod-security.kubernetes.io/enforce-policy"] == "privileged:latest"
    violations = annotations["pod-security.kubernetes.io/audit-violations"]
    assert violations.startswith('would violate PodSecurity "restricted:latest": allowPrivilege')


async def test_what_the_policy_does_not_want_leaves_no_trace(
    cluster: Cluster, tmp_path: Path
) -> None:
    log = Log(cluster, tmp_path / "audit.log", """
rules:
- {level: None, nonResourceURLs: ["/readyz*", /version]}
- {level: Metadata, nonResourceURLs: ["/metrics"]}
""")  # fmt: skip
    for path in ("/readyz", "/readyz/etcd", "/version", "/metrics", CMS):
        answer = await cluster.get(path)
        assert ("Audit-Id" in answer.headers) is (path == "/metrics")
    assert {event["requestURI"] for event in log.events()} == {"/metrics"}


@pytest.mark.parametrize(
    ("rule", "asked", "matches"),
    [
        ("users: [eve]", {"user": "eve"}, True),
        ("users: [eve]", {"user": "bob"}, False),
        ("userGroups: [b, c]", {"groups": ["a", "b"]}, True),
        ("userGroups: [b]", {"groups": []}, False),
        ("verbs: [get]", {"verb": "list"}, False),
        ("namespaces: [ns]", {"namespace": "ns"}, True),
        ("namespaces: [ns]", {"path": "/version"}, False),
        ('namespaces: [""]', {"resource": "nodes"}, True),
        ("resources: [{resources: [pods]}]", {"resource": "pods"}, True),
        ("resources: [{resources: [pods]}]", {"resource": "pods", "subresource": "log"}, False),
        ("resources: [{resources: [pods/log]}]", {"resource": "pods", "subresource": "log"}, True),
        ("resources: [{resources: [pods/*]}]", {"resource": "pods"}, True),
        ('resources: [{resources: ["*/log"]}]', {"resource": "pods", "subresource": "log"}, True),
        ("resources: [{group: apps}]", {"resource": "pods"}, False),
        ('resources: [{group: "*"}]', {"resource": "pods"}, True),
        (
            "resources: [{resources: [pods], resourceNames: [a]}]",
            {"resource": "pods", "name": "b"},
            False,
        ),
        ('nonResourceURLs: ["*"]', {"path": "/x"}, True),
        ('nonResourceURLs: ["/a*"]', {"path": "/abc"}, True),
        ('nonResourceURLs: ["/a"]', {"path": "/abc"}, False),
    ],
)
def test_rules_match_as_in_kubernetes(rule: str, asked: dict[str, Any], matches: bool) -> None:
    text = f"{HEAD}rules:\n- level: Request\n  {rule}\n"
    complete = {"user": "u", "groups": [], "verb": "get", **asked}
    found = auditpolicy.load(text.encode()).decide(Asked(**complete))
    assert found.level is (Level.REQUEST if matches else Level.NONE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Policy", "unknown group version field , Kind=Policy in policy"),
        (HEAD, "loaded illegal policy with 0 rules"),
        (f"{HEAD}rules: 7", "failed decoding: Expected `array | null`, got `int` - at `$.rules`"),
        (f"{HEAD}rules: [{{}}]", "rules[0].level: Required value"),
        (
            f"{HEAD}rules: [{{level: All}}]",
            'rules[0].level: Unsupported value: "All": supported values: "None", "Metadata", '
            '"Request", "RequestResponse"',
        ),
        (
            f"{HEAD}omitStages: [x]\nrules: [{{level: None}}]",
            'omitStages[0]: Invalid value: "x": allowed stages are RequestReceived,'
            "ResponseStarted,ResponseComplete,Panic",
        ),
        (
            f"{HEAD}rules: [{{level: None, nonResourceURLs: [a]}}]",
            'rules[0].nonResourceURLs[0]: Invalid value: "a": non-resource URL rules must begin '
            "with a '/' character",
        ),
        (
            f"{HEAD}rules: [{{level: None, nonResourceURLs: [/a], namespaces: [b]}}]",
            'rules[0].nonResourceURLs: Invalid value: ["/a"]: rules cannot apply to both regular '
            "resources and non-resource URLs",
        ),
    ],
)
def test_what_is_no_policy_is_refused_with_a_reason(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as found:
        auditpolicy.load(text.encode())
    assert str(found.value) == message


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "MAX_BYTES", 10)
    log = LogFile(tmp_path / "audit.log")
    for number in range(6):
        log.append(b"%07d\n" % number)
    log.close()
    assert {path.name: orjson.loads(path.read_bytes().lstrip(b"0") or b"0") for path in
            tmp_path.iterdir()} == {
        "audit.log": 5, "audit.log.1": 4, "audit.log.2": 3, "audit.log.3": 2,
    }  # fmt: skip


async def test_nothing_of_it_is_noted_while_nobody_logs(cluster: Cluster) -> None:
    request = ApiRequest("GET", CMS, user=cluster.user)
    await cluster.api.handle(request)
    assert request.audited is None


async def test_an_event_tells_the_address_of_the_client(tmp_path: Path) -> None:
    async with wireserver.serving(tmp_path) as served:
        log = tmp_path / "audit.log"
        served.api.audit(auditpolicy.load((HEAD + "rules: [{level: Metadata}]").encode()), log)
        context = served.tls(*served.authority.identity("admin", "system:masters"))
        connector = aiohttp.TCPConnector(ssl=context, local_addr=("127.0.0.3", 0))
        url = f"https://127.0.0.1:{served.port}{CMS}"
        async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as got:
            assert got.status == 200
        told = {tuple(json.loads(line)["sourceIPs"]) for line in log.read_text().splitlines()}
        assert told == {("127.0.0.3",)}
