"""The kinds that this room has rules for."""

from collections.abc import Mapping

from kubeherd.cluster.api.validation.networking import (
    discovery,
    endpoints,
    ingress,
    networking,
    service,
)
from kubeherd.cluster.api.validation.rules import Rules

RULES: Mapping[str, Rules] = {
    **discovery.RULES,
    **ingress.RULES,
    **networking.RULES,
    "services": Rules(
        service.create_service, service.update_service, {"status": service.update_service_status}
    ),
    "endpoints": Rules(endpoints.create_endpoints, endpoints.update_endpoints),
}
