"""Definitions come and go: of those that are gone the server keeps nothing."""

import gc

from apicluster import Cluster
from crdcluster import (
    DEFINITIONS,
    NAME,
    WIDGETS,
    condition,
    custom_cluster,
    definition,
    gone,
    widget,
)

from kubeherd.cluster.api.customresources.kind import CustomKind

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
ROUNDS = 6
KEPT = 3
"""Documents may still be those of the definitions as they were last."""


async def _use(cluster: Cluster) -> None:
    assert (await cluster.post(WIDGETS, widget())).status == 201
    for path in (WIDGETS, f"{WIDGETS}/w", "/apis", "/apis/example.com/v1"):
        assert (await cluster.get(path, accept=TABLE)).status in (200, 406)
        assert (await cluster.get(path)).status == 200
    for path in ("/openapi/v3/apis/example.com/v1", "/openapi/v2", "/apis/example.com"):
        assert (await cluster.get(path)).status == 200
    assert (await cluster.delete(f"{WIDGETS}/w")).status == 200


def _kinds() -> int:
    gc.collect()
    return sum(isinstance(one, CustomKind) for one in gc.get_objects())


async def test_definitions_that_are_gone_are_not_kept() -> None:
    async with custom_cluster() as cluster:
        before = _kinds()
        for _ in range(ROUNDS):
            await _use(cluster)
            assert (await cluster.delete(f"{DEFINITIONS}/{NAME}")).status == 200
            await gone(cluster, f"{DEFINITIONS}/{NAME}")
            assert (await cluster.post(DEFINITIONS, definition())).status == 201
            await condition(cluster, "Established")
        await _use(cluster)
        assert _kinds() - before <= KEPT
