"""The API server's cluster, for snapshots of it."""

from collections.abc import AsyncIterator

import pytest
from apicluster import Cluster, api_cluster


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with api_cluster() as running_cluster:
        yield running_cluster
