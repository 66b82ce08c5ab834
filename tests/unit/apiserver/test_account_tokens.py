"""Service account tokens: asked for, shown, reviewed, and when they end.

Answers are those of a real kube-apiserver v1.36.2; how tokens end is said as in
pkg/serviceaccount/claims.go.
"""

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from apicluster import BOB, MERGE, NODE, Cluster, pod
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubeherd.cluster.api.errors import InternalError, Unauthorized
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.cluster.api.webtokens import TokenKey, unverified
from kubeherd.cluster.apiserver.access.tokens import claims
from kubeherd.cluster.apiserver.access.tokens.claims import ISSUER, Bound, Invalid
from kubeherd.cluster.apiserver.access.tokens.issuer import TokenIssuer
from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS, User

DEFAULT = "/api/v1/namespaces/default"
ACCOUNT = f"{DEFAULT}/serviceaccounts/robot"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


@pytest.fixture
async def cluster(cluster: Cluster) -> Cluster:
    """With an account, and a pod of it on the node n1."""
    accounts = f"{DEFAULT}/serviceaccounts"
    assert (await cluster.post(accounts, {"metadata": {"name": "robot"}})).status == 201
    for node in ("n1", "n2"):
        assert (await cluster.post("/api/v1/nodes", {"metadata": {"name": node}})).status == 201
    token = {"serviceAccountToken": {"path": "token"}}
    volumes = [
        {"name": "api", "projected": {"sources": [token]}},
        {"name": "v", "projected": {"sources": [
            {"serviceAccountToken": {"path": "v", "audience": "vault"}}]}},
    ]  # fmt: skip
    made = pod("p", serviceAccountName="robot", nodeName="n1", volumes=volumes)
    assert (await cluster.post(f"{DEFAULT}/pods", made)).status == 201
    return cluster


async def _uid(cluster: Cluster, path: str) -> str:
    return str((await cluster.get(path)).tree["metadata"]["uid"])


async def _ask(cluster: Cluster, **spec: Any) -> Any:
    answer = await cluster.post(f"{ACCOUNT}/token", {"spec": spec})
    assert answer.status == 201, answer.message
    return answer.tree


async def _token(cluster: Cluster, **spec: Any) -> str:
    return str((await _ask(cluster, **spec))["status"]["token"])


async def _status(cluster: Cluster, token: str, **spec: Any) -> Any:
    answer = await cluster.post(REVIEWS, {"spec": {"token": token, **spec}})
    assert answer.status == 201, answer.message
    return answer.tree["status"]


async def test_an_answer_says_what_was_granted(cluster: Cluster) -> None:
    tree = await _ask(cluster)
    uid = await _uid(cluster, ACCOUNT)
    assert tree["metadata"] == {
        "name": "robot",
        "namespace": "default",
        "uid": uid,
        "creationTimestamp": tree["metadata"]["creationTimestamp"],
        "managedFields": [{
            "manager": "tester", "operation": "Update", "apiVersion": "authentication.k8s.io/v1",
            "time": tree["metadata"]["creationTimestamp"], "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:expirationSeconds": {}}}, "subresource": "token",
        }],
    }  # fmt: skip
    assert tree["spec"] == {
        "audiences": [ISSUER], "expirationSeconds": 3600, "boundObjectRef": None,
    }  # fmt: skip
    asked = parse_time(tree["metadata"]["creationTimestamp"])
    assert parse_time(tree["status"]["expirationTimestamp"]) == asked + timedelta(hours=1)
    _, told = unverified(tree["status"]["token"])
    assert told["sub"] == "system:serviceaccount:default:robot"
    assert told["exp"] - told["iat"] == 3600
    assert told["kubernetes.io"] == {
        "namespace": "default", "serviceaccount": {"name": "robot", "uid": uid},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "status", "message"),
    [
        ({"expirationSeconds": 10}, 422,
         'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: '
         "10: may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": 2**32 + 1}, 422,
         'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: '
         "4294967297: may not specify a duration larger than 2^32 seconds"),
        ({"boundObjectRef": {"kind": "Bogus", "name": "x"}}, 400,
         "cannot bind token to object of type /, Kind=Bogus"),
        ({"boundObjectRef": {"kind": "Pod", "apiVersion": "apps/v1", "name": "p"}}, 400,
         "cannot bind token to object of type apps/v1, Kind=Pod"),
        ({"boundObjectRef": {"kind": "Pod", "name": "nonesuch"}}, 404, 'pods "nonesuch" not found'),
        ({"boundObjectRef": {"kind": "Node", "name": "n9"}}, 404, 'nodes "n9" not found'),
        ({"boundObjectRef": {"kind": "Secret", "name": "s"}}, 404, 'secrets "s" not found'),
        ({"boundObjectRef": {"kind": "Pod", "name": "p", "uid": "u"}}, 409,
         'Operation cannot be fulfilled on Pod "p": the UID in the bound object reference (u) does '
         "not match the UID in record. The object might have been deleted and then recreated"),
    ],
)  # fmt: skip
async def test_requests_that_are_refused(
    cluster: Cluster, spec: Any, status: int, message: str
) -> None:
    answer = await cluster.post(f"{ACCOUNT}/token", {"spec": spec})
    assert (answer.status, answer.message) == (status, message)


async def test_the_body_may_only_name_the_account_of_the_url(cluster: Cluster) -> None:
    for meta, status, message in (
        ({"name": "x"}, 422, "must match the service account name if specified"),
        ({"namespace": "x"}, 422, "must match the service account namespace if specified"),
        ({"uid": "x"}, 409, "the UID in the token request (x) does not match"),
    ):
        answer = await cluster.post(f"{ACCOUNT}/token", {"metadata": meta})
        assert (answer.status, message in answer.message) == (status, True), answer.message
    missing = await cluster.post(f"{DEFAULT}/serviceaccounts/ghost/token", {})
    assert (missing.status, missing.message) == (404, 'serviceaccounts "ghost" not found')
    other = await cluster.post(f"{DEFAULT}/serviceaccounts", {"metadata": {"name": "other"}})
    assert other.status == 201
    bound = {"spec": {"boundObjectRef": {"kind": "Pod", "name": "p"}}}
    answer = await cluster.post(f"{DEFAULT}/serviceaccounts/other/token", bound)
    assert (answer.status, answer.message) == (
        400,
        'cannot bind token for serviceaccount "other" to pod running with different serviceaccount '
        "name.",
    )


async def test_asking_needs_the_right(cluster: Cluster) -> None:
    answer = await cluster.post(f"{ACCOUNT}/token", {}, user=BOB)
    assert answer.status == 403
    assert 'cannot create resource "serviceaccounts/token"' in answer.message


async def test_a_token_makes_a_user(cluster: Cluster) -> None:
    uid = await _uid(cluster, ACCOUNT)
    user = cluster.api.authenticator.of_header(f"Bearer {await _token(cluster)}")
    assert user.name == "system:serviceaccount:default:robot"
    assert user.groups == (
        "system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated",
    )  # fmt: skip
    assert user.uid == uid
    assert [key for key, _ in user.extra] == ["authentication.kubernetes.io/credential-id"]
    who = await cluster.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, user=user)
    assert who.tree["status"]["userInfo"]["uid"] == uid


@pytest.mark.parametrize("header", ["Basic eA==", "Bearer", "Bearer ", "bearer  x", "x"])
def test_headers_without_a_token_are_anonymous(cluster: Cluster, header: str) -> None:
    assert cluster.api.authenticator.of_header(header) == ANONYMOUS


async def test_bad_tokens_are_unauthorized(cluster: Cluster) -> None:
    token = await _token(cluster)
    meant_for_others = await _token(cluster, audiences=["vault"])
    for bad in ("nonsense", f"{token}x", token[:-4], "x" * 20_000, meant_for_others):
        with pytest.raises(Unauthorized, match="Unauthorized"):
            cluster.api.authenticator.of_header(f"Bearer {bad}")


async def test_a_review_tells_whose_token_it_is(cluster: Cluster) -> None:
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p"}
    token = await _token(cluster, boundObjectRef=reference)
    status = await _status(cluster, token)
    extra = status["user"].pop("extra")
    assert status == {
        "authenticated": True,
        "user": {
            "username": "system:serviceaccount:default:robot",
            "uid": await _uid(cluster, ACCOUNT),
            "groups": [
                "system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated",
            ],
        },
        "audiences": [ISSUER],
    }  # fmt: skip
    own = "authentication.kubernetes.io"
    assert extra == {
        f"{own}/credential-id": [f"JTI={unverified(token)[1]['jti']}"],
        f"{own}/node-name": ["n1"],
        f"{own}/node-uid": [await _uid(cluster, "/api/v1/nodes/n1")],
        f"{own}/pod-name": ["p"],
        f"{own}/pod-uid": [await _uid(cluster, f"{DEFAULT}/pods/p")],
    }


async def test_a_review_of_what_is_no_good(cluster: Cluster) -> None:
    assert await _status(cluster, "nonsense") == {"user": {}, "error": "invalid bearer token"}
    empty = await cluster.post(REVIEWS, {"spec": {}})
    assert (empty.status, empty.message) == (
        400, "token is required for TokenReview in authentication",
    )  # fmt: skip
    token = await _token(cluster, audiences=["vault", "b"])
    assert (await _status(cluster, token))["error"] == (
        f'token audiences ["vault" "b"] is invalid for the target audiences ["{ISSUER}"]'
    )
    assert (await _status(cluster, token, audiences=["b", "c"]))["audiences"] == ["b"]


async def test_a_token_ends_with_its_account(cluster: Cluster) -> None:
    token = await _token(cluster)
    assert (await _status(cluster, token))["authenticated"] is True
    assert (await cluster.delete(ACCOUNT)).status == 200
    assert (await _status(cluster, token))["error"] == 'serviceaccounts "robot" not found'
    again = await cluster.post(f"{DEFAULT}/serviceaccounts", {"metadata": {"name": "robot"}})
    error = (await _status(cluster, token))["error"]
    assert error.startswith(f"service account UID ({again.tree['metadata']['uid']}) does not match")


@pytest.mark.parametrize("kind", ["Pod", "Secret", "Node"])
async def test_a_token_ends_with_what_it_is_bound_to(cluster: Cluster, kind: str) -> None:
    made = await cluster.post(f"{DEFAULT}/secrets", {"metadata": {"name": "s"}})
    assert made.status == 201
    path, name = {
        "Pod": (f"{DEFAULT}/pods", "p"), "Secret": (f"{DEFAULT}/secrets", "s"),
        "Node": ("/api/v1/nodes", "n2"),
    }[kind]  # fmt: skip
    reference = {"apiVersion": "v1", "kind": kind, "name": name}
    token = await _token(cluster, boundObjectRef=reference)
    assert (await _status(cluster, token))["authenticated"] is True
    gone = await cluster.delete(f"{path}/{name}", {"gracePeriodSeconds": 0})
    assert gone.status == 200
    error = (await _status(cluster, token))["error"]
    assert error == "service account token has been invalidated"


async def test_pods_tokens_live_longer_than_they_say(cluster: Cluster) -> None:
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p"}
    tree = await _ask(cluster, boundObjectRef=reference, expirationSeconds=3607)
    told = unverified(tree["status"]["token"])[1]
    assert told["exp"] - told["iat"] == 365 * 24 * 3600
    assert told["kubernetes.io"]["warnafter"] - told["iat"] == 3607
    asked = parse_time(tree["metadata"]["creationTimestamp"])
    assert parse_time(tree["status"]["expirationTimestamp"]) - asked == timedelta(seconds=3607)


async def test_time_ends_a_token_a_minute_late(cluster: Cluster) -> None:
    registry, now = cluster.api.services.registry, cluster.clock.now()
    account = (await cluster.get(ACCOUNT)).tree
    made = claims.of_request(account, [], [ISSUER], now, 600, "id")
    assert claims.user_of(made, "", registry, now + timedelta(seconds=659)).name
    for at_s, text in (
        (662, "service account token has expired"),
        (-62, "service account token is not valid yet"),
    ):
        with pytest.raises(Invalid, match=text):
            claims.user_of(made, "", registry, now + timedelta(seconds=at_s))
    bound = Bound("pod", "p", "another")
    made = claims.of_request(account, [bound], [ISSUER], now, 600, "id")
    with pytest.raises(
        Invalid, match=r"pod UID \(.*\) does not match .* pod ref claim \(another\)"
    ):
        claims.user_of(made, "", registry, now)


async def test_a_token_in_a_secret_is_good_while_the_secret_is_there(cluster: Cluster) -> None:
    uid, name = await _uid(cluster, ACCOUNT), f"{DEFAULT}/secrets/s"
    own = "kubernetes.io/serviceaccount"
    key = TokenKey.generate()
    issuer = TokenIssuer(cluster.api.services.registry, cluster.clock)
    issuer.__dict__["_key"] = key
    token = key.sign({
        "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:default:robot",
        f"{own}/namespace": "default", f"{own}/secret.name": "s",
        f"{own}/service-account.name": "robot", f"{own}/service-account.uid": uid,
    })  # fmt: skip

    def user() -> User:
        return issuer.authenticate(token, [ISSUER])[0]

    with pytest.raises(Invalid, match="Token has been invalidated"):
        user()
    held = {"token": base64.b64encode(token.encode()).decode()}
    await cluster.post(f"{DEFAULT}/secrets", {"metadata": {"name": "s"}, "data": held})
    assert user().name == "system:serviceaccount:default:robot"
    await cluster.patch(name, {"data": {"token": base64.b64encode(b"x").decode()}}, MERGE)
    with pytest.raises(Invalid, match="Token does not match server's copy"):
        user()
    marked = {"metadata": {"labels": {claims.INVALID_SINCE: "2026-01-01"}}, "data": held}
    await cluster.patch(name, marked, MERGE)
    with pytest.raises(Invalid, match="has been marked invalid"):
        user()


async def test_a_kubelet_gets_tokens_for_its_own_pods_only(cluster: Cluster) -> None:
    uid = await _uid(cluster, f"{DEFAULT}/pods/p")
    ours = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid}
    other = await cluster.post(
        f"{DEFAULT}/pods", pod("q", serviceAccountName="robot", nodeName="n2")
    )
    foreign = {**ours, "name": "q", "uid": other.tree["metadata"]["uid"]}
    for spec, why in (
        ({}, "node requested token not bound to a pod"),
        ({"boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": "n1"}},
         "node requested token not bound to a pod"),
        ({"boundObjectRef": {**ours, "uid": ""}},
         "node requested token with a pod binding without a uid"),
        ({"boundObjectRef": {**ours, "uid": "u"}}, "does not match the UID in record"),
        ({"boundObjectRef": foreign}, "bound to a pod scheduled on a different node"),
        ({"boundObjectRef": ours, "audiences": ["a", "b"]}, "may only request 0 or 1 audiences"),
        ({"boundObjectRef": ours, "audiences": ["bank"]},
         'audience "bank" not found in pod spec volume, system:node:n1 is not authorized to '
         "request tokens for this audience"),
    ):  # fmt: skip
        refused = await cluster.post(f"{ACCOUNT}/token", {"spec": spec}, user=NODE)
        assert (refused.status, why in refused.message) == (403, True), refused.message
    for audiences in ([], ["vault"]):
        spec = {"boundObjectRef": ours, "audiences": audiences}
        granted = await cluster.post(f"{ACCOUNT}/token", {"spec": spec}, user=NODE)
        assert granted.status == 201, granted.message
    ghost = {"boundObjectRef": {**ours, "name": "ghost"}}
    assert (await cluster.post(f"{ACCOUNT}/token", {"spec": ghost}, user=NODE)).status == 404


async def test_csi_drivers_of_a_pod_name_audiences(cluster: Cluster) -> None:
    storage = "/apis/storage.k8s.io/v1/csidrivers"
    driver = {"metadata": {"name": "d"}, "spec": {"tokenRequests": [{"audience": "bank"}]}}
    assert (await cluster.post(storage, driver)).status == 201
    volume = {"metadata": {"name": "pv"}, "spec": {
        "capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"],
        "csi": {"driver": "d", "volumeHandle": "h"}}}  # fmt: skip
    assert (await cluster.post("/api/v1/persistentvolumes", volume)).status == 201
    claim = {"metadata": {"name": "c"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "volumeName": "pv",
        "resources": {"requests": {"storage": "1"}}}}  # fmt: skip
    assert (await cluster.post(f"{DEFAULT}/persistentvolumeclaims", claim)).status == 201
    for name, source in (
        ("inline", {"csi": {"driver": "d"}}),
        ("claimed", {"persistentVolumeClaim": {"claimName": "c"}}),
    ):
        made = await cluster.post(f"{DEFAULT}/pods", pod(
            name, serviceAccountName="robot", nodeName="n1", volumes=[{"name": "v", **source}]
        ))  # fmt: skip
        reference = {
            "apiVersion": "v1", "kind": "Pod", "name": name, "uid": made.tree["metadata"]["uid"],
        }  # fmt: skip
        spec = {"boundObjectRef": reference, "audiences": ["bank"]}
        granted = await cluster.post(f"{ACCOUNT}/token", {"spec": spec}, user=NODE)
        assert granted.status == 201, granted.message


async def test_the_public_key_is_published(cluster: Cluster) -> None:
    cluster.api.server_address = "127.0.0.1:6443"
    found = await cluster.get("/.well-known/openid-configuration")
    assert found.tree == {
        "issuer": ISSUER,
        "jwks_uri": "https://127.0.0.1:6443/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }
    keys = await cluster.get("/openid/v1/jwks")
    assert keys.content_type == "application/jwk-set+json"
    header, _ = unverified(await _token(cluster))
    assert [key["kid"] for key in keys.tree["keys"]] == [header["kid"]]
    refused = await cluster.get("/openid/v1/jwks", accept="application/json")
    assert (refused.status, refused.message) == (
        406, "406: Not Acceptable\n\nAvailable representations: application/jwk-set+json",
    )  # fmt: skip
    assert (await cluster.get("/openid/v1/jwks", user=ANONYMOUS)).status == 403


async def test_the_key_in_the_directory_outlives_the_server(
    cluster: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "sa.key"
    registry = cluster.api.services.registry
    account = (await cluster.get(ACCOUNT)).tree
    made = claims.of_request(account, [], [ISSUER], cluster.clock.now(), 600, "id")
    with pytest.raises(InternalError, match=r"sa\.key: FileNotFoundError"):
        TokenIssuer(registry, cluster.clock, file).issue(made)
    file.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ))  # fmt: skip
    token = TokenIssuer(registry, cluster.clock, file).issue(made)
    user, _ = TokenIssuer(registry, cluster.clock, file).authenticate(token, [ISSUER])
    assert user.name == "system:serviceaccount:default:robot"
