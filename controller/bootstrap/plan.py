"""What the ConfigMap `cluster-info` says of who has signed it. Pure.

Source: Kubernetes v1.36, pkg/controller/bootstrap/{bootstrapsigner,util}.go.
"""

from collections.abc import Iterable
from datetime import datetime

from kubeherd.cluster.api.helpers import bootstraptoken
from kubeherd.cluster.api.helpers.bootstraptoken import SIGNATURE_PREFIX
from kubeherd.cluster.api.jsontypes import JsonObject


def signed(info: JsonObject, secrets: Iterable[JsonObject], now: datetime) -> JsonObject | None:
    """`cluster-info` signed by the tokens in these Secrets and nobody else; None if it is."""
    data: dict[str, str] = info.get("data") or {}
    content = data.get(bootstraptoken.INFO_KUBECONFIG)
    if content is None:
        return None
    wanted = {key: text for key, text in data.items() if not key.startswith(SIGNATURE_PREFIX)}
    for secret in secrets:
        token = bootstraptoken.signer(secret, now)
        if token is not None:
            wanted[SIGNATURE_PREFIX + token.id] = bootstraptoken.signature(content, token)
    return None if wanted == data else {**info, "data": wanted}
