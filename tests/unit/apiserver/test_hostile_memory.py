"""What strangers send is forgotten: no cache grows with the number or the length of their texts."""

import gc
import sys
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator

import pytest
from apicluster import BOB, NODE, Cluster, config_map

from kubeherd.cluster.api.managedfields import fieldtypes
from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.access.authz import Attributes
from kubeherd.cluster.apiserver.access.authz.authorizer import CACHE_BYTES
from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS

CMS = "/api/v1/namespaces/default/configmaps"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
PROTOBUF = "application/vnd.kubernetes.protobuf"
LONG = 60_000
LONG_ROUNDS = 20
SHORT_ROUNDS = 1200
ROUNDS = 4
MAX_LONG_GROWTH_BYTES = LONG_ROUNDS * LONG // 4
MAX_SHORT_GROWTH_BLOCKS = SHORT_ROUNDS // 4
"""What is kept of a text is a small object at least, and that is a block of Python's allocator:
counting those is for nothing, and tracing all memory takes most of a test's time."""

FOUR_BYTES = "\N{GRINNING FACE}"

Attack = Callable[[Cluster, str], Awaitable[object]]


@pytest.fixture
def tracing() -> Iterator[Callable[[], int]]:
    """Bytes that are in use."""

    def used() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    yield used
    tracemalloc.stop()


def blocks() -> int:
    """Small objects that are in use."""
    gc.collect()
    return sys.getallocatedblocks()


async def anonymous_path(cluster: Cluster, text: str) -> object:
    return await cluster.get(f"/{text}", user=ANONYMOUS)


async def anonymous_namespace(cluster: Cluster, text: str) -> object:
    return await cluster.get(f"/api/v1/namespaces/{text}/pods", user=ANONYMOUS)


async def users_path(cluster: Cluster, text: str) -> object:
    return await cluster.get(f"/{text}", user=BOB)


async def group(cluster: Cluster, text: str) -> object:
    return await cluster.get(f"/apis/{text}/v1")


async def version(cluster: Cluster, text: str) -> object:
    return await cluster.get(f"/api/{text}")


async def review(cluster: Cluster, text: str) -> object:
    asked = {"resourceAttributes": {"verb": "get", "resource": text, "namespace": text}}
    return await cluster.post(REVIEWS, {"spec": asked}, user=BOB)


async def impersonated(cluster: Cluster, text: str) -> object:
    lines = [("impersonate-user", text), ("impersonate-group", text)]
    return await cluster.get(CMS, user=BOB, lines=lines)


async def impersonated_by_the_admin(cluster: Cluster, text: str) -> object:
    return await cluster.get("/version", lines=[("impersonate-user", text)])


async def accept(cluster: Cluster, text: str) -> object:
    return await cluster.get(CMS, accept=f"application/json;a={text},{'b,' * (len(text) // 100)}")


async def discovery_accept(cluster: Cluster, text: str) -> object:
    return await cluster.get("/api", user=BOB, accept=f"application/json;a={text}")


async def user_agent(cluster: Cluster, text: str) -> object:
    return await cluster.get("/version", user=ANONYMOUS, user_agent=text)


async def method(cluster: Cluster, text: str) -> object:
    return await cluster.call(text, "/version", user=ANONYMOUS)


async def label_selector(cluster: Cluster, text: str) -> object:
    return await cluster.get(CMS, query={"labelSelector": f"a in ({text})"})


async def field_selector(cluster: Cluster, text: str) -> object:
    return await cluster.get(CMS, query={"fieldSelector": f"metadata.name={text}"}, user=NODE)


async def node_set(cluster: Cluster, text: str) -> object:
    query = {"watch": "1", "poll": "1", "nodes": f"{text},{'b,' * (len(text) // 100)}"}
    # From the past: it is answered at once.
    return await cluster.get("/api/v1/pods", query={**query, "resourceVersion": "999999"})


async def namespace(cluster: Cluster, text: str) -> object:
    return await cluster.get(f"/api/v1/namespaces/{text}/services")


async def name(cluster: Cluster, text: str) -> object:
    return await cluster.post(CMS, config_map(text), query={"dryRun": "All"})


async def quantity(cluster: Cluster, text: str) -> object:
    limits = {"limits": {"cpu": text, "memory": f"{len(text)}{hash(text) % 10**9}"}}
    body = {"metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": limits}]}}  # fmt: skip
    return await cluster.post("/api/v1/namespaces/default/pods?dryRun=All", body)


async def protobuf_kind(cluster: Cluster, text: str) -> object:
    kind = text.encode()
    meta = b"\x0a\x02v1\x12" + varint(len(kind)) + kind
    unknown = b"k8s\x00\x0a" + varint(len(meta)) + meta + b"\x12\x00"
    return await cluster.post(REVIEWS, unknown, user=BOB, content_type=PROTOBUF)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


ATTACKS = [
    anonymous_path, anonymous_namespace, users_path, group, version, review, impersonated,
    impersonated_by_the_admin, accept, discovery_accept, user_agent, method, label_selector,
    field_selector, node_set, namespace, name, quantity, protobuf_kind,
]  # fmt: skip


KEPT_BY_THE_AUTHORIZER = (users_path, impersonated, impersonated_by_the_admin)
"""Short questions of authenticated users, up to the bound that has a test of its own."""


@pytest.mark.parametrize("attack", ATTACKS)
async def test_long_texts_are_forgotten(
    cluster: Cluster, attack: Attack, tracing: Callable[[], int]
) -> None:
    text = "x" * LONG
    await attack(cluster, f"first-{text}")
    before = tracing()
    for number in range(LONG_ROUNDS):
        await attack(cluster, f"{number}-{text}")
    assert tracing() - before < MAX_LONG_GROWTH_BYTES


@pytest.mark.parametrize("attack", [one for one in ATTACKS if one not in KEPT_BY_THE_AUTHORIZER])
async def test_many_texts_are_forgotten(cluster: Cluster, attack: Attack) -> None:
    """After the first round no cache grows any more, for what is kept in entries is full."""
    assert await grown_each_round(cluster, attack) < MAX_SHORT_GROWTH_BLOCKS


async def test_what_keeps_some_texts_is_found(cluster: Cluster) -> None:
    kept: dict[str, bool] = {}

    async def keeps(cluster: Cluster, text: str) -> object:
        if text.endswith(("0", "3", "6")):
            kept[text] = True
        return await version(cluster, text)

    assert await grown_each_round(cluster, keeps) > MAX_SHORT_GROWTH_BLOCKS


async def grown_each_round(cluster: Cluster, attack: Attack) -> int:
    """By how many blocks memory grows in the best of some rounds after the first: what is kept
    grows in each of them, and what other tests have left to do happens once."""

    async def attacked(round_: int) -> int:
        for number in range(SHORT_ROUNDS):
            await attack(cluster, f"round{round_}-{number}")
        return blocks()

    before, least = await attacked(0), sys.maxsize
    for round_ in range(1, ROUNDS):
        after = await attacked(round_)
        least, before = min(least, after - before), after
        if least < MAX_SHORT_GROWTH_BLOCKS:
            break
    return least


async def test_the_authorizer_keeps_a_few_megabytes(
    cluster: Cluster, tracing: Callable[[], int]
) -> None:
    """Many users, many namespaces, texts in which a character takes four bytes."""
    authorizer = cluster.api.services.registry.authorizer
    before = tracing()
    tracemalloc.reset_peak()
    for number in range(10_000):
        user = authenticated(f"user-{number}", [f"group-{number}" + FOUR_BYTES * 40])
        authorizer.authorize(Attributes(user, "get", resource="pods", namespace=f"n{number}"))
    assert CACHE_BYTES / 4 < tracemalloc.get_traced_memory()[1] - before < CACHE_BYTES * 1.2


async def test_one_look_up_answers_for_all_names(cluster: Cluster) -> None:
    """Names are most of what differs; they count only where a rule names some."""
    authorizer = cluster.api.services.registry.authorizer
    assert not authorizer.authorize(asked("a")).allowed
    rbac = "rbac.authorization.k8s.io"
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}]
    path = f"/apis/{rbac}/v1"
    await cluster.post(f"{path}/clusterroles", {"metadata": {"name": "r"}, "rules": rules})
    binding = {
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "User", "name": "bob", "apiGroup": rbac}],
    }
    assert (await cluster.post(f"{path}/clusterrolebindings", binding)).status == 201
    assert [authorizer.authorize(asked(name)).allowed for name in ("b", "a", "b", "")] == [
        False, True, False, False,
    ]  # fmt: skip


def asked(name: str) -> Attributes:
    return Attributes(BOB, "get", resource="pods", namespace="default", name=name)


def test_fields_that_a_kind_does_not_have_are_forgotten() -> None:
    """managedFields name fields, and clients write managedFields."""
    walker = fieldtypes.struct("io.k8s.api.core.v1.ConfigMap")
    walker.member("data")
    before = blocks()
    for number in range(SHORT_ROUNDS):
        assert not walker.knows(walker.member(f"unknown-{number}").key.removeprefix("f:"))
    assert blocks() - before < MAX_SHORT_GROWTH_BLOCKS
