"""The route of a node's Lease without a look at all others is the route that it has."""

import pytest

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.apiserver.edge.routing import (
    NODE_LEASES,
    Route,
    UnknownPath,
    node_lease_update,
    parse,
)


def _parsed(method: str, path: str) -> Route | None:
    try:
        return parse(method, path, {})
    except (ApiError, UnknownPath):
        return None


@pytest.mark.parametrize("name", ["n1", "n1.example.com", ".", "a:b", "n~1"])
def test_the_update_of_a_node_lease_has_its_route(name: str) -> None:
    path = f"{NODE_LEASES}{name}"
    assert node_lease_update("PUT", path) == _parsed("PUT", path) is not None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", NODE_LEASES),
        ("PUT", NODE_LEASES[:-1]),
        ("PUT", f"{NODE_LEASES}n1/"),
        ("PUT", f"{NODE_LEASES}n1/status"),
        ("GET", f"{NODE_LEASES}n1"),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/default/leases/n1"),
        ("PUT", "/api/v1/nodes/n1"),
    ],
)
def test_all_else_is_for_those_who_know_all_routes(method: str, path: str) -> None:
    assert node_lease_update(method, path) is None
