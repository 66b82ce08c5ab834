"""Defaults of resource.k8s.io (pkg/apis/resource/v1/defaults.go)."""

from kubeherd.cluster.api.jsontypes import JsonObject


def resource_claim(tree: JsonObject) -> None:
    """ResourceClaim: exactly one device per request."""
    _claim(tree.setdefault("spec", {}))


def resource_claim_template(tree: JsonObject) -> None:
    """ResourceClaimTemplate."""
    _claim(tree.setdefault("spec", {}).setdefault("spec", {}))


def _claim(spec: JsonObject) -> None:
    for request in spec.setdefault("devices", {}).get("requests") or ():
        if request.get("exactly") is not None:
            _device_request(request["exactly"])
        for alternative in request.get("firstAvailable") or ():
            _device_request(alternative)


def _device_request(request: JsonObject) -> None:
    if not request.get("allocationMode"):
        request["allocationMode"] = "ExactCount"
    if request["allocationMode"] == "ExactCount" and not request.get("count"):
        request["count"] = 1
