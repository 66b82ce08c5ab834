"""What distinguishes kinds outside the core group when they are created, changed and decided on.

Answers are those of kube-apiserver v1.36.2 to the same requests.
"""

import base64
from typing import Any

import pytest
from apicluster import MERGE, Cluster
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

JOBS = "/apis/batch/v1/namespaces/default/jobs"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
PODS: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}]}


def signing_request() -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    pem = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return {
        "metadata": {"name": "r"},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": "example.com/s",
            "usages": ["client auth"],
        },
    }


async def test_a_job_selects_its_pods_by_its_uid(cluster: Cluster) -> None:
    spec = {"template": {"spec": {**PODS, "restartPolicy": "Never"}}}
    job = (await cluster.post(JOBS, {"metadata": {"name": "j"}, "spec": spec})).tree
    uid = job["metadata"]["uid"]
    labels = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "j",
        "controller-uid": uid,
        "job-name": "j",
    }
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert job["spec"]["template"]["metadata"]["labels"] == labels
    assert job["metadata"]["labels"] == labels
    assert job["spec"]["manualSelector"] is False
    sent = {"metadata": {"name": "j"}, "spec": spec}
    refused = await cluster.put(f"{JOBS}/j", sent)
    assert refused.status == 422
    assert "spec.selector: Invalid value: null: field is immutable" in refused.message


async def test_a_job_may_say_that_its_selector_is_its_own(cluster: Cluster) -> None:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {**PODS, "restartPolicy": "Never"},
    }
    selector = {"matchLabels": {"a": "b"}}
    spec = {"manualSelector": True, "selector": selector, "template": template}
    job = (await cluster.post(JOBS, {"metadata": {"name": "j"}, "spec": spec})).tree
    assert job["spec"]["selector"] == selector
    assert job["spec"]["template"]["metadata"]["labels"] == {"a": "b"}


async def test_generations_count_what_upstream_counts(cluster: Cluster) -> None:
    labels = {"app": "x"}
    template = {"metadata": {"labels": labels}, "spec": PODS}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    await cluster.post(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec})
    changes: tuple[tuple[dict[str, Any], int], ...] = (
        ({"labels": {"q": "1"}}, 1), ({"annotations": {"q": "1"}}, 2),
    )  # fmt: skip
    for change, generation in changes:
        answer = await cluster.patch(f"{DEPLOYMENTS}/d", {"metadata": change}, MERGE)
        assert answer.tree["metadata"]["generation"] == generation
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    sent = {"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": []}
    made = (await cluster.post(slices, sent)).tree
    assert (made["metadata"]["generation"], made["endpoints"], made["ports"]) == (1, None, None)
    relabelled = await cluster.patch(f"{slices}/s", {"metadata": {"labels": {"a": "b"}}}, MERGE)
    assert relabelled.tree["metadata"]["generation"] == 2
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    await cluster.post(classes, {"metadata": {"name": "p"}, "value": 1})
    described = await cluster.patch(f"{classes}/p", {"description": "x"}, MERGE)
    assert described.tree["metadata"]["generation"] == 1
    drivers = "/apis/storage.k8s.io/v1/csidrivers"
    driver = (await cluster.post(drivers, {"metadata": {"name": "d.example.com"}, "spec": {}})).tree
    assert "generation" not in driver["metadata"]
    changed = await cluster.patch(
        f"{drivers}/d.example.com", {"spec": {"podInfoOnMount": True}}, MERGE
    )
    assert changed.tree["metadata"]["generation"] == 1


async def test_an_approval_is_timed_and_never_taken_back(cluster: Cluster) -> None:
    created = (await cluster.post(REQUESTS, signing_request())).tree
    assert created["status"] == {}
    approved = {"type": "Approved", "status": "True", "reason": "R", "message": "m"}
    sent = {**signing_request(), "status": {"conditions": [approved]}}
    answer = (await cluster.put(f"{REQUESTS}/r/approval", sent)).tree
    (condition,) = answer["status"]["conditions"]
    assert condition == {
        **approved,
        "lastUpdateTime": condition["lastUpdateTime"],
        "lastTransitionTime": condition["lastUpdateTime"],
    }
    assert answer["spec"] == created["spec"]
    taken_back = await cluster.put(f"{REQUESTS}/r/approval", signing_request())
    assert taken_back.status == 422
    text = 'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'
    assert text in taken_back.message
    denied = {**sent, "status": {"conditions": [condition, {**approved, "type": "Denied"}]}}
    both = await cluster.put(f"{REQUESTS}/r/approval", denied)
    assert both.status == 422
    assert "Approved and Denied conditions are mutually exclusive" in both.message


async def test_status_and_spec_of_a_signing_request_are_not_for_everybody(cluster: Cluster) -> None:
    await cluster.post(REQUESTS, signing_request())
    other = {**signing_request(), "status": {"conditions": [{"type": "Denied", "status": "True"}]}}
    updated = (await cluster.put(f"{REQUESTS}/r", other)).tree
    assert updated["status"] == {}
    through_status = await cluster.put(f"{REQUESTS}/r/status", other)
    assert through_status.status == 422
    text = 'status.conditions: Forbidden: updates may not add a condition of type "Denied"'
    assert text in through_status.message
    garbage = {"certificate": base64.b64encode(b"no").decode()}
    issued = await cluster.patch(f"{REQUESTS}/r/status", {"status": garbage}, MERGE)
    assert issued.message.endswith(
        'status.certificate: Invalid value: "<certificate data>": must contain at least one '
        "CERTIFICATE PEM block"
    )


async def test_a_lease_forgets_fields_of_an_election_that_is_off(cluster: Cluster) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    spec = {"holderIdentity": "me", "strategy": "OldestEmulationVersion", "preferredHolder": "you"}
    lease = (await cluster.post(path, {"metadata": {"name": "l"}, "spec": spec})).tree
    assert lease["spec"] == {"holderIdentity": "me"}


async def test_which_kinds_are_created_by_an_update(cluster: Cluster) -> None:
    runtime = {"metadata": {"name": "r"}, "handler": "h"}
    assert (await cluster.put("/apis/node.k8s.io/v1/runtimeclasses/r", runtime)).status == 201
    priority = {"metadata": {"name": "p"}, "value": 1}
    path = "/apis/scheduling.k8s.io/v1/priorityclasses/p"
    assert (await cluster.put(path, priority)).status == 404


async def test_the_status_of_an_attachment_says_nothing_of_its_metadata(cluster: Cluster) -> None:
    path = "/apis/storage.k8s.io/v1/volumeattachments"
    spec = {"attacher": "a.b", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    sent = {"metadata": {"name": "a", "labels": {"l": "1"}}, "spec": spec}
    assert (await cluster.post(path, sent)).tree["status"] == {"attached": False}
    change = {"metadata": {"labels": {"st": "1"}}, "status": {"attached": True}}
    changed = (await cluster.patch(f"{path}/a/status", change, MERGE)).tree
    assert (changed["metadata"]["labels"], changed["status"]) == ({"l": "1"}, {"attached": True})
    (entry,) = [e for e in changed["metadata"]["managedFields"] if e.get("subresource")]
    assert entry["fieldsV1"] == {"f:status": {"f:attached": {}}}


async def test_tokens_outside_secrets_are_warned_of(cluster: Cluster) -> None:
    path = "/apis/storage.k8s.io/v1/csidrivers"
    spec = {"tokenRequests": [{"audience": "a"}]}
    answer = await cluster.post(path, {"metadata": {"name": "d.example.com"}, "spec": spec})
    text = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to"
    assert text in answer.headers["Warning"]
    described = {"metadata": {"labels": {"a": "b"}}}
    again = await cluster.patch(f"{path}/d.example.com", described, MERGE)
    assert "Warning" not in again.headers


async def test_the_data_of_a_revision_keeps_its_text(cluster: Cluster) -> None:
    path = "/apis/apps/v1/namespaces/default/controllerrevisions"

    def body(data: str, revision: int = 1) -> bytes:
        return f'{{"metadata":{{"name":"r"}},"revision":{revision},"data":{data}}}'.encode()

    assert (await cluster.post(path, body('{"a": 1}'))).status == 201
    assert (await cluster.get(f"{path}/r")).tree["data"] == {"a": 1}
    for patch in ({"revision": 2}, {}, {"metadata": {"labels": {"a": "b"}}}):
        refused = await cluster.patch(f"{path}/r", patch, MERGE)
        text = 'data: Invalid value: {"a":1}: field is immutable'
        assert (refused.status, text in refused.message) == (422, True)
    assert (await cluster.put(f"{path}/r", body('{"a":1}', 2))).status == 422
    assert (await cluster.put(f"{path}/r", body('{"a": 1}', 2))).tree["revision"] == 2
    assert (await cluster.put(f"{path}/r", body('{"a": 1}', 3))).tree["revision"] == 3
    await cluster.delete(f"{path}/r")
    assert (await cluster.post(path, body('{"a":1}'))).status == 201
    assert (await cluster.patch(f"{path}/r", {"revision": 2}, MERGE)).tree["revision"] == 2


@pytest.mark.parametrize("query", ["", "?dryRun=All"])
async def test_a_revision_whose_text_is_kept_is_answered_in_every_form(
    cluster: Cluster, query: str
) -> None:
    path = f"/apis/apps/v1/namespaces/default/controllerrevisions{query}"
    partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    forms = ("application/msgpack", "application/yaml", table, partial, "application/json")
    for number, accept in enumerate(forms):
        body = f'{{"metadata":{{"name":"r{number}"}},"revision":1,"data":{{"a": 1}}}}'.encode()
        assert (await cluster.post(path, body, accept=accept)).status == 201
