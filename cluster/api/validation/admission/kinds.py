"""The kinds that this room has rules for."""

from collections.abc import Mapping

from kubeherd.cluster.api.validation.admission import admissionpolicies, webhooks
from kubeherd.cluster.api.validation.rules import Rules

RULES: Mapping[str, Rules] = {
    **admissionpolicies.RULES,
    **webhooks.RULES,
}
