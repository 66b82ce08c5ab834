"""What is known of stored objects is worked out once per version of them."""

from collections.abc import Iterable

import pytest
from apicluster import Cluster, config_map

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import resource
from kubeherd.cluster.apiserver.read import storedobjects
from kubeherd.cluster.apiserver.read.storedobjects import StoredObjects

CMS = "/api/v1/namespaces/default/configmaps"
CONFIGMAPS = resource("", "v1", "configmaps")
asked: list[str] = []


def value(tree: JsonObject) -> str:
    asked.append(tree["metadata"]["name"])
    return str(tree["data"]["k"])


def number(trees: Iterable[JsonObject]) -> int:
    asked.append("all")
    return len(list(trees))


async def test_a_fact_is_true_of_the_newest_version(cluster: Cluster) -> None:
    objects = StoredObjects(cluster.store)
    asked.clear()
    assert objects.fact(CONFIGMAPS, "default", "a", value) is None
    for wanted in ("1", "2"):
        await cluster.delete(f"{CMS}/a")
        await cluster.post(CMS, config_map("a", k=wanted))
        for _ in range(3):
            assert objects.fact(CONFIGMAPS, "default", "a", value) == wanted
    await cluster.patch(f"{CMS}/a", {"data": {"k": "3"}})
    assert objects.fact(CONFIGMAPS, "default", "a", value) == "3"
    assert asked == ["a"] * 3
    await cluster.delete(f"{CMS}/a")
    assert objects.fact(CONFIGMAPS, "default", "a", value) is None


async def test_a_fact_of_all_objects(cluster: Cluster) -> None:
    objects = StoredObjects(cluster.store)
    before = objects.fact_of_all(CONFIGMAPS, number)
    await cluster.post(CMS, config_map("a", k="1"))
    asked.clear()
    assert [objects.fact_of_all(CONFIGMAPS, number) for _ in range(3)] == [before + 1] * 3
    assert len(asked) == 1
    await cluster.delete(f"{CMS}/a")
    assert objects.fact_of_all(CONFIGMAPS, number) == before


async def test_old_facts_are_forgotten(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storedobjects, "MAX_FACTS", 5)
    objects = StoredObjects(cluster.store)
    names = [f"n{index}" for index in range(6)]
    for name in names:
        await cluster.post(CMS, config_map(name, k="1"))
        objects.fact(CONFIGMAPS, "default", name, value)
    asked.clear()
    objects.fact(CONFIGMAPS, "default", names[-1], value)
    assert asked == []
    objects.fact(CONFIGMAPS, "default", names[0], value)
    assert asked == [names[0]]
