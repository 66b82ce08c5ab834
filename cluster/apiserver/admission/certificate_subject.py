"""CertificateSubjectRestriction: no client certificate makes a superuser.

Source: Kubernetes v1.36, plugin/pkg/admission/certificates/subjectrestriction/admission.go.
"""

from kubeherd.cluster.api.helpers import signingrequest
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

_SUPERUSERS = "system:masters"


def check(request: AdmissionRequest, lookup: Lookup) -> None:
    """Refuse requests to the signer of clients for a certificate in the group of superusers."""
    spec = (request.new or {}).get("spec") or {}
    if spec.get("signerName") != signingrequest.CLIENT:
        return
    try:
        subject = signingrequest.subject(spec.get("request") or "")
    except ValueError as error:
        raise request.forbidden(f"failed to parse CSR: {error}") from None
    if _SUPERUSERS in subject.organizations:
        raise request.forbidden(
            f"use of {signingrequest.CLIENT} signer with {_SUPERUSERS} group is not allowed"
        )
