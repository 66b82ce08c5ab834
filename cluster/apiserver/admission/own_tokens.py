"""NodeRestriction, tokens: a kubelet gets tokens for the pods that it runs, and nothing else.

Source: Kubernetes v1.36, plugin/pkg/admission/noderestriction/admission.go (admitServiceAccount).
The audience must be one that the pod asks for, in a volume of its own or by its CSI drivers; any
other needs the verb ``request-serviceaccounts-token-audience`` on the audience.
"""

from collections.abc import Callable, Iterator

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.helpers import podreferences
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.access import kubelets
from kubeherd.cluster.apiserver.access.authz.attributes import Attributes
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

_CLAIMS = kinds.resource("", "v1", "persistentvolumeclaims")
_VOLUMES = kinds.resource("", "v1", "persistentvolumes")
_DRIVERS = kinds.resource("storage.k8s.io", "v1", "csidrivers")


def check(request: AdmissionRequest, lookup: Lookup, may: Callable[[Attributes], bool]) -> None:
    """Refuse a TokenRequest (`request.new`, as it was sent) that is not for a pod of the kubelet
    that asks; no opinion about other users. `may` asks the authorizer."""
    kubelet = kubelets.acting(request.user)
    if kubelet is None:
        return
    spec = (request.new or {}).get("spec") or {}
    reference = spec.get("boundObjectRef") or {}
    if (reference.get("apiVersion"), reference.get("kind")) != ("v1", "Pod") or not reference.get(
        "name"
    ):
        raise request.forbidden("node requested token not bound to a pod")
    uid = reference.get("uid") or ""
    if not uid:
        raise request.forbidden("node requested token with a pod binding without a uid")
    pod = lookup.get(kinds.PODS, request.namespace, reference["name"])
    if pod is None:
        raise errors.not_found(kinds.PODS, reference["name"])
    if pod["metadata"]["uid"] != uid:
        raise request.forbidden(
            f"the UID in the bound object reference ({uid}) does not match the UID in record. The "
            "object might have been deleted and then recreated"
        )
    if not kubelet.owns((pod.get("spec") or {}).get("nodeName", "")):
        raise request.forbidden("node requested token bound to a pod scheduled on a different node")
    _check_audience(request, pod, spec.get("audiences") or [""], lookup, may)


def _check_audience(
    request: AdmissionRequest,
    pod: JsonObject,
    audiences: list[str],
    lookup: Lookup,
    may: Callable[[Attributes], bool],
) -> None:
    if len(audiences) > 1:
        raise request.forbidden("node may only request 0 or 1 audiences")
    audience, user = audiences[0], request.user
    if audience in _audiences(pod, lookup):
        return
    question = Attributes(
        user=user,
        verb="request-serviceaccounts-token-audience",
        version="v1",
        resource=audience,
        namespace=request.namespace,
        name=request.name,
    )
    if not may(question):
        raise request.forbidden(
            f"audience {quoted(audience)} not found in pod spec volume, {user.name} is not "
            "authorized to request tokens for this audience"
        )


def _audiences(pod: JsonObject, lookup: Lookup) -> Iterator[str]:
    """The audiences of the tokens that a pod needs; "" is the API server."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        for projection in podreferences.projections(volume):
            if (token := projection.get("serviceAccountToken")) is not None:
                yield token.get("audience") or ""
        driver = lookup.get(_DRIVERS, "", _driver(pod, volume, lookup))
        for token in ((driver or {}).get("spec") or {}).get("tokenRequests") or ():
            yield token.get("audience") or ""


def _driver(pod: JsonObject, volume: JsonObject, lookup: Lookup) -> str:
    """The CSI driver behind a volume, "" for none."""
    meta = pod["metadata"]
    claim = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
    if (volume.get("ephemeral") or {}).get("volumeClaimTemplate"):
        claim = f"{meta['name']}-{volume['name']}"
    if not claim:
        return str((volume.get("csi") or {}).get("driver", ""))
    stored = lookup.get(_CLAIMS, meta["namespace"], claim) or {}
    name = (stored.get("spec") or {}).get("volumeName", "")
    bound = lookup.get(_VOLUMES, "", name) or {}
    return str(((bound.get("spec") or {}).get("csi") or {}).get("driver", ""))
