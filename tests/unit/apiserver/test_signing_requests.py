"""CertificateSigningRequests: who asks, who decides, who answers; as a real v1.36.2 says it."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from apicluster import BOB, MERGE, Cluster
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubeherd.cluster.api.helpers import signingrequest

PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
CLIENT = "kubernetes.io/kube-apiserver-client"


def csr(*organizations: str, common_name: str = "alice") -> str:
    name = x509.Name([
        *(x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, one) for one in organizations),
        x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name),
    ])  # fmt: skip
    names = x509.SubjectAlternativeName([x509.DNSName("n1")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .add_extension(names, critical=False)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


def certificate() -> str:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now)
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def request(name: str = "r", **spec: Any) -> dict[str, Any]:
    usual = {"request": csr(), "signerName": "example.com/s", "usages": ["client auth"]}
    return {"metadata": {"name": name}, "spec": {**usual, **spec}}


def decision(kind: str, **more: str) -> dict[str, Any]:
    return {"type": kind, "status": "True", "reason": "R", "message": "m", **more}


async def _created(cluster: Cluster, **spec: Any) -> Any:
    answer = await cluster.post(PATH, request(**spec))
    assert answer.status == 201, answer.message
    return answer.tree


async def _decide(cluster: Cluster, *conditions: Any, user: Any = None) -> Any:
    tree = (await cluster.get(f"{PATH}/r")).tree
    tree["status"] = {**tree["status"], "conditions": list(conditions)}
    return await cluster.put(f"{PATH}/r/approval", tree, user=user)


def test_what_a_request_asks_for() -> None:
    found = signingrequest.subject(csr("a", "b", common_name="c"))
    assert found == signingrequest.Subject("c", ("a", "b"), ("n1",))
    for bad in ("", "e30=", "%%", csr()[:200]):
        with pytest.raises(ValueError, match=r".+"):
            signingrequest.subject(bad)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"signerName": "bad", "usages": [], "expirationSeconds": 5},
         '[spec.usages: Required value, spec.signerName: Invalid value: "bad": must be a fully '
         "qualified domain and path of the form 'example.com/signer-name', spec.expirationSeconds: "
         "Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)]"),
        ({"signerName": "kubernetes.io/legacy-unknown"},
         'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is '
         "not allowed via this API version"),
        ({"signerName": "local/x"},
         'spec.signerName: Invalid value: "local": should be a domain with at least two segments '
         "separated by dots"),
        ({"signerName": "a.b/X"}, 'spec.signerName: Invalid value: "X": validating label "X": '),
        ({"usages": ["client auth", "client auth"]},
         'spec.usages[1]: Duplicate value: "client auth"'),
        ({"usages": ["fly"]}, 'spec.usages[0]: Unsupported value: "fly": supported values: "any"'),
        ({"request": ""}, 'spec.request: Invalid value: "": PEM block type must be CERTIFICATE'),
        ({"request": base64.b64encode(b"x").decode()},
         'spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST'),
    ],
)  # fmt: skip
async def test_requests_that_make_no_sense(cluster: Cluster, spec: Any, message: str) -> None:
    answer = await cluster.post(PATH, request(**spec))
    assert answer.status == 422
    assert f'CertificateSigningRequest.certificates.k8s.io "r" is invalid: {message}' in (
        answer.message
    )


async def test_a_forged_signature_is_none(cluster: Cluster) -> None:
    pem = base64.b64decode(csr())
    body = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    forged = body[:-1] + bytes([body[-1] ^ 1])
    text = b"-----BEGIN CERTIFICATE REQUEST-----\n%b\n-----END CERTIFICATE REQUEST-----\n"
    encoded = base64.b64encode(text % base64.encodebytes(forged).strip()).decode()
    answer = await cluster.post(PATH, request(request=encoded))
    assert (answer.status, "spec.request: Invalid value" in answer.message) == (422, True)


async def test_who_asked_is_not_for_him_to_say(cluster: Cluster) -> None:
    role = {"metadata": {"name": "r"}, "rules": [
        {"verbs": ["create"], "apiGroups": ["certificates.k8s.io"],
         "resources": ["certificatesigningrequests"]}]}  # fmt: skip
    await cluster.post(f"{RBAC}/clusterroles", role)
    await _bind(cluster, "r")
    spec = request(username="root", groups=["system:masters"], extra={"a": ["b"]}, uid="0")
    spec["status"] = {"conditions": [decision("Approved")]}
    tree = (await cluster.post(PATH, spec, user=BOB)).tree
    assert tree["spec"]["username"] == "bob"
    assert tree["spec"]["groups"] == ["system:authenticated"]
    assert tree["spec"].keys().isdisjoint(("extra", "uid"))
    assert tree["status"] == {}


async def _bind(cluster: Cluster, role: str) -> None:
    group = "rbac.authorization.k8s.io"
    made = await cluster.post(f"{RBAC}/clusterrolebindings", {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "bob"}],
    })  # fmt: skip
    assert made.status == 201, made.message


async def test_a_decision_is_dated_and_changes_nothing_else(cluster: Cluster) -> None:
    made = await _created(cluster)
    status = {"certificate": certificate(), "conditions": [decision("Approved")]}
    spec = {**made["spec"], "signerName": "other.com/s"}
    wanted = {"metadata": {"name": "r"}, "spec": spec, "status": status}
    answer = await cluster.put(f"{PATH}/r/approval", wanted)
    assert answer.status == 200, answer.message
    assert answer.tree["spec"] == made["spec"]
    (condition,) = answer.tree["status"]["conditions"]
    assert condition["lastUpdateTime"] == condition["lastTransitionTime"]
    assert "certificate" not in answer.tree["status"]
    assert "managedFields" not in answer.tree["metadata"]
    replaced = await cluster.put(f"{PATH}/r", {**wanted, "status": {}})
    assert replaced.tree["spec"] == made["spec"]
    assert replaced.tree["status"] == answer.tree["status"]


async def test_decisions_are_final(cluster: Cluster) -> None:
    await _created(cluster)
    both = await _decide(cluster, decision("Approved"), decision("Denied"))
    assert both.message.endswith("Approved and Denied conditions are mutually exclusive")
    false = await _decide(cluster, decision("Approved", status="False"))
    assert false.message.endswith('Unsupported value: "False": supported values: "True"')
    assert (await _decide(cluster, decision("Denied"))).status == 200
    undone = await _decide(cluster)
    assert undone.message.endswith(
        'status.conditions: Forbidden: updates may not remove a condition of type "Denied"'
    )


async def test_a_status_may_answer_but_not_decide(cluster: Cluster) -> None:
    await _created(cluster)
    path = f"{PATH}/r/status"
    approved = {"status": {"conditions": [decision("Approved")]}}
    refused = await cluster.patch(path, approved, MERGE)
    assert refused.message.endswith(
        'status.conditions: Forbidden: updates may not add a condition of type "Approved"'
    )
    nonsense = {"status": {"certificate": base64.b64encode(b"x").decode()}}
    refused = await cluster.patch(path, nonsense, MERGE)
    assert refused.message.endswith(
        'status.certificate: Invalid value: "<certificate data>": must contain at least one '
        "CERTIFICATE PEM block"
    )
    answer = await cluster.patch(path, {"status": {"certificate": certificate()}}, MERGE)
    assert answer.status == 200, answer.message
    again = await cluster.patch(path, {"status": {"certificate": certificate()}}, MERGE)
    assert again.message.endswith("updates may not modify existing certificate content")


@pytest.mark.parametrize(("verb", "subresource"), [("approve", "approval"), ("sign", "status")])
async def test_signers_decide_who_decides(cluster: Cluster, verb: str, subresource: str) -> None:
    await _created(cluster)
    rules = [{"verbs": ["get", "update", "patch"], "apiGroups": ["certificates.k8s.io"],
              "resources": ["*/approval", "*/status"]}]  # fmt: skip
    role: Any = {"metadata": {"name": "r"}, "rules": rules}
    await cluster.post(f"{RBAC}/clusterroles", role)
    await _bind(cluster, "r")
    path = f"{PATH}/r/{subresource}"
    body = {"status": {"conditions": [decision("Failed" if verb == "sign" else "Approved")]}}
    refused = await cluster.patch(path, body, MERGE, user=BOB)
    assert (refused.status, refused.message) == (
        403,
        f'certificatesigningrequests.certificates.k8s.io "r" is forbidden: user not permitted to '
        f'{verb} requests with signerName "example.com/s"',
    )
    rules.append({"verbs": [verb], "apiGroups": ["certificates.k8s.io"], "resources": ["signers"],
                  "resourceNames": ["example.com/*"]})  # fmt: skip
    assert (await cluster.put(f"{RBAC}/clusterroles/r", role)).status == 200
    assert (await cluster.patch(path, body, MERGE, user=BOB)).status == 200


async def test_no_certificate_makes_a_superuser(cluster: Cluster) -> None:
    spec = {"signerName": CLIENT, "request": csr("system:masters")}
    refused = await cluster.post(PATH, request(**spec))
    assert (refused.status, refused.message) == (
        403,
        'certificatesigningrequests.certificates.k8s.io "r" is forbidden: use of '
        f"{CLIENT} signer with system:masters group is not allowed",
    )
    other = await cluster.post(PATH, request(signerName=CLIENT, request=csr("x")))
    assert other.status == 201, other.message
