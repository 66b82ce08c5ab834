"""Routes that are found in a shorter way are those that a path has."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.edge.routing import (
    NODE_LEASES,
    Route,
    UnknownPath,
    node_lease_update,
    parse,
)

OTHERS: dict[tuple[str, str], dict[str, Resource]] = {("example.com", "v1"): {}}
"""With custom resources nothing is remembered."""


def _parsed(method: str, path: str, custom=None) -> Route | None:
    try:
        return parse(method, path, {}, custom or {})
    except (ApiError, UnknownPath):
        return None


@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]),
    st.lists(
        st.sampled_from([
            "namespaces", "watch", "pods", "nodes", "leases", "status", "binding", "proxy",
            "default", "a", "", "-",
        ]),
        max_size=6,
    ),
    st.sampled_from(["/api/v1/", "/apis/coordination.k8s.io/v1/", "/apis/", "/api/v2/"]),
)  # fmt: skip
@example("DELETE", ["namespaces", "default", "pods", "p"], "/api/v1/")
@example("PATCH", ["namespaces", "default", "pods", "p", "status"], "/api/v1/")
@example("GET", ["namespaces", "a", "pods", "p", "proxy", "x", "y"], "/api/v1/")
@example("PUT", ["namespaces", "a", "leases", "l"], "/apis/coordination.k8s.io/v1/")
@example("GET", ["watch", "namespaces", "a", "pods", "p"], "/api/v1/")
def test_no_route_depends_on_a_name(method: str, parts: list[str], root: str) -> None:
    path = root + "/".join(parts)
    assert _parsed(method, path) == _parsed(method, path, OTHERS)


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
