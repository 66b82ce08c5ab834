"""The private batch: each of its requests is answered as if it had come alone."""

import tracemalloc

import msgspec
import orjson
import pytest
from apicluster import ADMIN, BOB, Cluster, config_map, pod

from kubeherd.cluster.api.private import batch, grouppoll
from kubeherd.cluster.api.private.batch import BatchedAnswer, BatchedRequest
from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS, User

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
JSON = "application/json"
MANY = {f"k{number}": "" for number in range(batch.MAX_PARAMETERS + 1)}


def write(method: str, path: str, tree: object = None, **query: str) -> BatchedRequest:
    body = b"" if tree is None else orjson.dumps(tree)
    return BatchedRequest(method, path, query, JSON if body else "", JSON, body)


async def send(cluster: Cluster, *requests: BatchedRequest, user: User = ADMIN):
    body = batch.encode(list(requests))
    answer = await cluster.call("POST", batch.PATH, body, user=user)
    assert answer.status == 200
    return batch.decode_answers(answer.raw)


def reasons(answers: list[BatchedAnswer]) -> list[object]:
    return [(a.status, orjson.loads(a.body).get("reason")) for a in answers]


async def test_answers_come_in_the_order_of_their_requests(cluster: Cluster) -> None:
    await cluster.post(CMS, config_map("there"))
    answers = await send(
        cluster,
        write("POST", CMS, config_map("new")),
        write("POST", CMS, config_map("there")),
        write("POST", CMS, {"metadata": {"name": "Not a name"}}),
        write("DELETE", f"{CMS}/there"),
        write("DELETE", f"{CMS}/missing"),
        write("POST", "/version", {}),
    )
    assert reasons(answers[:5]) == [
        (201, None),
        (409, "AlreadyExists"),
        (422, "Invalid"),
        (200, None),
        (404, "NotFound"),
    ]
    assert answers[5].status == 405
    assert (await cluster.get(f"{CMS}/new")).status == 200
    assert (await cluster.get(f"{CMS}/there")).status == 404


async def test_queries_and_field_managers_count(cluster: Cluster) -> None:
    dry = write("POST", CMS, config_map("dry"), dryRun="All")
    managed = write("POST", CMS, config_map("managed", key="x"), fieldManager="someone")
    assert [a.status for a in await send(cluster, dry, managed)] == [201, 201]
    assert (await cluster.get(f"{CMS}/dry")).status == 404
    entry = (await cluster.get(f"{CMS}/managed")).tree["metadata"]["managedFields"][0]
    assert entry["manager"] == "someone"


async def test_each_request_is_authorized(cluster: Cluster) -> None:
    refused = await send(cluster, write("POST", CMS, config_map("a")), user=BOB)
    assert reasons(refused) == [(403, "Forbidden")]
    answer = await cluster.call("POST", batch.PATH, batch.encode([]), user=ANONYMOUS)
    assert answer.status == 403


@pytest.mark.parametrize(
    "request_",
    [
        write("GET", CMS, watch="1"),
        write("GET", CMS),
        write("POST", batch.PATH, {}),
    ],
)
async def test_only_writes_are_batched(cluster: Cluster, request_: BatchedRequest) -> None:
    assert reasons(await send(cluster, request_)) == [(400, "BadRequest")]


@pytest.mark.parametrize("path", ["", "x", f"x{PODS}/there", PODS.removeprefix("/")])
async def test_what_is_no_path_is_not_found_and_nobody_else_suffers(
    cluster: Cluster, path: str
) -> None:
    await cluster.post(ACCOUNTS, {"metadata": {"name": "default"}})
    await cluster.post(PODS, pod("there"))
    wrong = write("DELETE", path)
    answers = await send(cluster, write("POST", CMS, config_map("a")), wrong)
    assert [a.status for a in answers] == [201, 404]
    assert (await cluster.get(f"{PODS}/there")).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"{}",
        b"\x91\x91\xa3GET",
        batch.encode([write("DELETE", f"{CMS}/x")] * (batch.MAX_REQUESTS + 1)),
        batch.encode([BatchedRequest("DELETE", CMS, MANY, "", "", b"")]),
    ],
)
async def test_what_is_no_batch_is_a_bad_request(cluster: Cluster, body: bytes) -> None:
    assert (await cluster.call("POST", batch.PATH, body)).status == 400


def _long(item: object) -> bytes:
    """A list that is larger than it looks: 3 MiB of these."""
    encoded = msgspec.msgpack.encode(item)
    length = 3 * 1024 * 1024 // len(encoded)
    return b"\xdd" + length.to_bytes(4, "big") + encoded * length


def test_of_what_is_too_large_nothing_is_made() -> None:
    tracemalloc.start()
    with pytest.raises(msgspec.ValidationError):
        batch.decode_requests(_long(["", "", {}, "", "", b""]))
    with pytest.raises(msgspec.ValidationError):
        grouppoll.decode_poll(b"\x92\x01" + _long(["", {}]))
    assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    tracemalloc.stop()


async def test_a_batch_is_posted(cluster: Cluster) -> None:
    assert (await cluster.get(batch.PATH)).status == 405
