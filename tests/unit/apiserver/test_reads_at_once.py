"""GETs that are answered in the step in which they come: as by `handle`, where they are at all."""

import pytest
from apicluster import ADMIN, BOB, Cluster, config_map, request_counts

from kubeherd.cluster.apiserver.edge.messages import ApiRequest, User

CMS = "/api/v1/namespaces/default/configmaps"
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def asked(path: str, accept: str = "", *, method: str = "GET", user: User = ADMIN) -> ApiRequest:
    return ApiRequest(method, path, {}, {"accept": accept} if accept else {}, b"", user)


@pytest.mark.parametrize("accept", ["", "application/yaml", "application/msgpack", PARTIAL, TABLE])
@pytest.mark.parametrize("user", [ADMIN, BOB])
async def test_the_answer_is_that_of_handle(cluster: Cluster, accept: str, user: User) -> None:
    await cluster.post(CMS, config_map("a", k="v"))
    for path in (f"{CMS}/a", "/api/v1/namespaces/default", "/api/v1/nodes/none"):
        read = cluster.api.read(asked(path, accept, user=user))
        if read is not None:
            assert read == await cluster.api.handle(asked(path, accept, user=user))
    assert cluster.api.read(asked(f"{CMS}/a", accept, user=user)) is not None


@pytest.mark.parametrize(
    "path", [CMS, f"{CMS}/none", "/version", "/api/v1/nowhere", f"{CMS}/large"]
)
async def test_all_else_is_left_to_handle(cluster: Cluster, path: str) -> None:
    await cluster.post(CMS, config_map("large", k="v" * 100_000))
    assert cluster.api.read(asked(path)) is None


async def test_it_is_counted_as_any_other(cluster: Cluster) -> None:
    await cluster.post(CMS, config_map("a", k="v"))
    await cluster.api.handle(asked(f"{CMS}/a"))
    before = await _gets(cluster)
    assert cluster.api.read(asked(f"{CMS}/a")) is not None
    assert await _gets(cluster) == before + 1


async def _gets(cluster: Cluster) -> float:
    """How often a ConfigMap was asked for."""
    lines = await request_counts(cluster)
    counted = [one for one in lines if 'resource="configmaps"' in one and 'verb="GET"' in one]
    return sum(float(one.rsplit(" ", 1)[1]) for one in counted)
