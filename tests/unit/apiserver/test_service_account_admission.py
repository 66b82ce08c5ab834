"""ServiceAccount admission: texts and objects as Kubernetes v1.36 answers them."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from apicluster import Cluster, pod
from patience import PATIENCE_S

from kubeherd.cluster.apiserver.write import accountwait

PODS = "/api/v1/namespaces/default/pods"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


async def add_account(cluster: Cluster, name: str, **fields: Any) -> None:
    annotations = fields.pop("annotations", {})
    body = {"metadata": {"name": name, "annotations": annotations}, **fields}
    assert (await cluster.post(ACCOUNTS, body)).status == 201


async def test_an_account_that_does_not_exist(cluster: Cluster) -> None:
    answer = await cluster.post(PODS, pod("x", serviceAccountName="nonesuch"))
    assert (answer.status, answer.message) == (
        403,
        'pods "x" is forbidden: error looking up service account default/nonesuch: '
        'serviceaccount "nonesuch" not found',
    )
    generated = pod("x", serviceAccountName="nonesuch")
    generated["metadata"] = {"generateName": "x-"}
    answer = await cluster.post(PODS, generated)
    assert answer.message.startswith('pods "x-" is forbidden: error looking up service account')
    assert (await cluster.get(PODS)).tree["items"] == []


async def test_the_token_is_mounted_where_nothing_else_is(cluster: Cluster) -> None:
    own = {"name": "mine", "mountPath": TOKEN_MOUNT}
    body = pod("p", volumes=[{"name": "mine", "emptyDir": {}}])
    body["spec"]["containers"].append({"name": "own", "image": "i", "volumeMounts": [own]})
    body["spec"]["initContainers"] = [{"name": "init", "image": "i"}]
    spec = (await cluster.post(PODS, body)).tree["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    name = spec["volumes"][1]["name"]
    prefix, suffix = name[:16], name[16:]
    assert prefix == "kube-api-access-"
    assert len(suffix) == 5
    assert set(suffix) <= set("bcdfghjklmnpqrstvwxz2456789")
    mount = {"name": name, "readOnly": True, "mountPath": TOKEN_MOUNT}
    assert spec["initContainers"][0]["volumeMounts"] == [mount]
    assert [one["volumeMounts"] for one in spec["containers"]] == [[mount], [own]]
    assert spec["volumes"][1]["projected"] == {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {
                "name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}],
            }},
            {"downwardAPI": {"items": [{
                "path": "namespace",
                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
            }]}},
        ],
        "defaultMode": 420,
    }  # fmt: skip
    second = (await cluster.post(PODS, pod("q"))).tree["spec"]
    assert second["volumes"][0]["name"] != name


@pytest.mark.parametrize(
    ("account", "of_pod", "mounted"),
    [(None, None, True), (False, None, False), (False, True, True), (True, False, False)],
)
async def test_the_pods_wish_for_a_token_counts_before_the_accounts(
    cluster: Cluster, account: bool | None, of_pod: bool | None, mounted: bool
) -> None:
    wish = {} if account is None else {"automountServiceAccountToken": account}
    await add_account(cluster, "a", **wish)
    own: dict[str, Any] = {} if of_pod is None else {"automountServiceAccountToken": of_pod}
    spec = (await cluster.post(PODS, pod("p", serviceAccountName="a", **own))).tree["spec"]
    assert ("volumes" in spec) is mounted
    assert ("volumeMounts" in spec["containers"][0]) is mounted


async def test_a_pod_that_brings_its_token_volume_keeps_it(cluster: Cluster) -> None:
    """As a copy of a stored pod does."""
    spec = (await cluster.post(PODS, pod("p"))).tree["spec"]
    again = await cluster.post(PODS, {"metadata": {"name": "again"}, "spec": spec})
    assert again.tree["spec"]["volumes"] == spec["volumes"]
    assert again.tree["spec"]["containers"] == spec["containers"]


async def test_pull_secrets_come_from_the_account(cluster: Cluster) -> None:
    await add_account(cluster, "a", imagePullSecrets=[{"name": "s"}, {}])
    spec = (await cluster.post(PODS, pod("p", serviceAccountName="a"))).tree["spec"]
    assert spec["imagePullSecrets"] == [{"name": "s"}, {}]
    own = pod("q", serviceAccountName="a", imagePullSecrets=[{"name": "mine"}])
    assert (await cluster.post(PODS, own)).tree["spec"]["imagePullSecrets"] == [{"name": "mine"}]


async def test_only_the_accounts_secrets_where_it_enforces_that(cluster: Cluster) -> None:
    await add_account(
        cluster,
        "a",
        annotations={"kubernetes.io/enforce-mountable-secrets": "true"},
        secrets=[{"name": "known"}],
        imagePullSecrets=[{"name": "pull"}],
    )
    reference = {"name": "other", "key": "k"}
    variable = {"name": "V", "valueFrom": {"secretKeyRef": reference}}
    refusals: dict[str, dict[str, Any]] = {
        'volume with secret.secretName="other"': {
            "volumes": [{"name": "v", "secret": {"secretName": "other"}}]
        },
        'init container i with envVar V referencing secret.secretName="other"': {
            "initContainers": [{"name": "i", "image": "x", "env": [variable]}]
        },
        'container c with envFrom referencing secret.secretName="other"': {
            "containers": [
                {"name": "c", "image": "x", "envFrom": [{"secretRef": {"name": "other"}}]}
            ]
        },
    }
    for what, fields in refusals.items():
        answer = await cluster.post(PODS, pod("p", serviceAccountName="a", **fields))
        assert answer.message == (
            f'pods "p" is forbidden: {what} is not allowed because service account a does not '
            "reference that secret"
        )
    pull = pod("p", serviceAccountName="a", imagePullSecrets=[{"name": "other"}])
    assert (await cluster.post(PODS, pull)).message == (
        'pods "p" is forbidden: imagePullSecrets[0].name="other" is not allowed because service '
        "account a does not reference that imagePullSecret"
    )
    known = pod(
        "p",
        serviceAccountName="a",
        volumes=[{"name": "v", "secret": {"secretName": "known"}}],
        imagePullSecrets=[{"name": "pull"}],
    )
    assert (await cluster.post(PODS, known)).status == 201
    late = {"name": "e", "image": "x", "env": [variable], "terminationMessagePolicy": "File"}
    refused = await cluster.patch(
        f"{PODS}/p/ephemeralcontainers", {"spec": {"ephemeralContainers": [late]}}
    )
    assert refused.message.startswith(
        'pods "p" is forbidden: ephemeral container e with envVar V referencing '
    )


async def test_a_new_namespaces_account_is_waited_for(cluster: Cluster) -> None:
    await cluster.post("/api/v1/namespaces", {"metadata": {"name": "new"}})
    pods = "/api/v1/namespaces/new/pods"
    waiting = asyncio.create_task(cluster.post(pods, pod("p")))
    await asyncio.sleep(0)
    await cluster.post("/api/v1/namespaces/new/serviceaccounts", {"metadata": {"name": "default"}})
    async with asyncio.timeout(PATIENCE_S):
        assert (await waiting).status == 201


async def test_an_old_namespaces_account_is_not_waited_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has taken it away: each pod of a client that goes on would wait."""
    assert (await cluster.delete(f"{ACCOUNTS}/default")).status == 200
    later = cluster.clock.now() + timedelta(seconds=accountwait.TIMEOUT_S)
    monkeypatch.setattr(cluster.clock, "now", lambda: later)
    async with asyncio.timeout(accountwait.TIMEOUT_S / 2):
        answer = await cluster.post(PODS, pod("p"))
    assert (answer.status, answer.tree["reason"]) == (403, "Forbidden")


async def test_what_a_pod_gets_follows_its_account(cluster: Cluster) -> None:
    await add_account(cluster, "a")
    assert (await cluster.post(PODS, pod("one", serviceAccountName="a"))).tree["spec"]["volumes"]
    change = {"automountServiceAccountToken": False, "imagePullSecrets": [{"name": "pull"}]}
    assert (await cluster.patch(f"{ACCOUNTS}/a", change)).status == 200
    spec = (await cluster.post(PODS, pod("two", serviceAccountName="a"))).tree["spec"]
    assert ("volumes" in spec, spec["imagePullSecrets"]) == (False, [{"name": "pull"}])
    assert (await cluster.delete(f"{ACCOUNTS}/a")).status == 200
    assert (await cluster.post(PODS, pod("three", serviceAccountName="a"))).status == 403


async def test_an_account_that_never_comes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accountwait, "TIMEOUT_S", 0.05)
    await cluster.post("/api/v1/namespaces", {"metadata": {"name": "new"}})
    answer = await cluster.post("/api/v1/namespaces/new/pods", pod("p"))
    assert answer.message == (
        'pods "p" is forbidden: error looking up service account new/default: '
        'serviceaccount "default" not found'
    )
    absent = await cluster.post("/api/v1/namespaces/nowhere/pods", pod("p"))
    assert (absent.status, absent.message) == (404, 'namespaces "nowhere" not found')
