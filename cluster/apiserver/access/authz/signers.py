"""Who may approve requests for certificates, and who may sign them.

Source: Kubernetes v1.36, plugin/pkg/admission/certificates/{approval,signing},
pkg/certauthorization: the verb ``approve`` or ``sign`` on the signer, or on all of its domain.
"""

from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.access.authz.attributes import Attributes
from kubeherd.cluster.apiserver.access.authz.authorizer import Authorizer
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest, Operation

GROUP = "certificates.k8s.io"
_TARGET = "certificatesigningrequests.certificates.k8s.io"
_RESULTS = ("certificate", "conditions")


def check(request: AdmissionRequest, authorizer: Authorizer) -> None:
    """Forbidden if the user may not make this update of a CertificateSigningRequest. The signer is
    that of the stored object."""
    if request.operation is not Operation.UPDATE:
        return
    old = request.old or {}
    signer = (old.get("spec") or {}).get("signerName", "")
    if request.target == f"{_TARGET}/approval":
        verb = "approve"
    elif request.target == f"{_TARGET}/status" and _results(request.new or {}) != _results(old):
        verb = "sign"
    else:
        return
    if not any(
        _may(request, authorizer, verb, name) for name in (signer, f"{signer.partition('/')[0]}/*")
    ):
        raise request.forbidden(
            f"user not permitted to {verb} requests with signerName {quoted(signer)}"
        )


def _results(tree: JsonObject) -> list[object]:
    status = tree.get("status") or {}
    return [status.get(key) or None for key in _RESULTS]


def _may(request: AdmissionRequest, authorizer: Authorizer, verb: str, signer: str) -> bool:
    return authorizer.decide(
        Attributes(
            user=request.user, verb=verb, group=GROUP, version="*", resource="signers", name=signer
        )
    ).allowed
