"""The indices of a cache, when several readers ask for the same one."""

from kubeherd.cluster.api.objects import Node, ObjectMeta
from kubeherd.cluster.client.cache import Cache


def test_the_same_index_is_made_once() -> None:
    asked: list[str] = []

    def by_name(node: Node) -> str:
        asked.append(node.metadata.name)
        return node.metadata.name

    cache: Cache[Node] = Cache()
    cache.put(("", "a"), Node(metadata=ObjectMeta(name="a")))
    cache.add_index("name", by_name)
    cache.add_index("name", by_name)
    assert asked == ["a"]
    assert len(cache.by_index("name", "a")) == 1


def test_another_function_replaces_the_index() -> None:
    cache: Cache[Node] = Cache()
    cache.put(("", "a"), Node(metadata=ObjectMeta(name="a", uid="u")))
    cache.add_index("x", lambda node: node.metadata.name)
    cache.add_index("x", lambda node: node.metadata.uid)
    assert cache.by_index("x", "a") == []
    assert len(cache.by_index("x", "u")) == 1
