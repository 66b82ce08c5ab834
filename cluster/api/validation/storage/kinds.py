"""The kinds that this room has rules for."""

from collections.abc import Mapping

from kubeherd.cluster.api.validation.rules import Rules
from kubeherd.cluster.api.validation.storage import claims, persistentvolumes, storage

RULES: Mapping[str, Rules] = {
    **storage.RULES,
    "persistentvolumes": Rules(
        persistentvolumes.create_persistent_volume, persistentvolumes.update_persistent_volume
    ),
    "persistentvolumeclaims": Rules(
        claims.create_claim, claims.update_claim, {"status": claims.update_claim_status}
    ),
}
