"""Secrets of type kubernetes.io/service-account-token: what they should hold. Pure.

Source: Kubernetes v1.36, pkg/controller/serviceaccount/tokens_controller.go,
pkg/serviceaccount/legacy.go.
"""

import base64
from collections.abc import Callable

from kubeherd.cluster.api.jsontypes import JsonObject

TYPE = "kubernetes.io/service-account-token"
NAME = "kubernetes.io/service-account.name"
_UID = "kubernetes.io/service-account.uid"
_CLAIM = "kubernetes.io/serviceaccount"


def account_name(metadata: dict[str, str]) -> str:
    """The account that the annotations of a secret name, "" for none."""
    return metadata.get(NAME, "")


def belongs(secret: JsonObject, account: JsonObject | None) -> bool:
    """Whether the account that a secret names is still the one that it was made for."""
    if account is None:
        return False
    uid = (secret["metadata"].get("annotations") or {}).get(_UID)
    return not uid or uid == account["metadata"]["uid"]


def filled(
    secret: JsonObject, account: JsonObject, ca_pem: str, sign: Callable[[JsonObject], str]
) -> JsonObject | None:
    """The secret with all that belongs into it, None if it is there. `sign` makes a token of
    claims; it is called if there is none."""
    meta, own = secret["metadata"], account["metadata"]
    data = dict(secret.get("data") or {})
    before = dict(data)
    if ca_pem:
        data["ca.crt"] = _encoded(ca_pem)
    data["namespace"] = data.get("namespace") or _encoded(meta["namespace"])
    if not data.get("token"):
        data["token"] = _encoded(sign(claims(secret, account)))
    if data == before:
        return None
    annotations = {**(meta.get("annotations") or {}), NAME: own["name"], _UID: own["uid"]}
    return {**secret, "metadata": {**meta, "annotations": annotations}, "data": data}


def claims(secret: JsonObject, account: JsonObject) -> JsonObject:
    """What a token in a secret claims: it has no end but the secret's."""
    own = account["metadata"]
    return {
        "iss": "kubernetes/serviceaccount",
        f"{_CLAIM}/namespace": own["namespace"],
        f"{_CLAIM}/secret.name": secret["metadata"]["name"],
        f"{_CLAIM}/service-account.name": own["name"],
        f"{_CLAIM}/service-account.uid": own["uid"],
        "sub": f"system:serviceaccount:{own['namespace']}:{own['name']}",
    }


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
