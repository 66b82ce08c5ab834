"""The private group poll: each of its parts is answered as if it had been asked alone."""

import asyncio

import msgspec
import pytest
from apicluster import ADMIN, BOB, Answer, Cluster, config_map
from patience import PATIENCE_S

from kubeherd.cluster.api.private import grouppoll
from kubeherd.cluster.api.private.grouppoll import GroupAnswer, GroupPoll, Part
from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS, User
from kubeherd.cluster.apiserver.handlers.private import grouppoll as handler

CMS = "/api/v1/configmaps"
DEFAULT_CMS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/secrets"


async def ask(cluster: Cluster, *parts: Part, timeout_s: int = 0, user: User = ADMIN) -> Answer:
    body = grouppoll.encode(GroupPoll(timeout_s, list(parts)))
    return await cluster.call("POST", grouppoll.PATH, body, user=user)


async def poll(
    cluster: Cluster, *parts: Part, timeout_s: int = 0, user: User = ADMIN
) -> GroupAnswer:
    answer = await ask(cluster, *parts, timeout_s=timeout_s, user=user)
    assert (answer.status, answer.content_type) == (200, "application/msgpack")
    return grouppoll.decode_answer(answer.raw)


def since(path: str, revision: int, **query: str) -> Part:
    return Part(path, {"resourceVersion": str(revision), **query})


async def waiting(cluster: Cluster) -> None:
    """Return when a poll waits for events."""
    async with asyncio.timeout(PATIENCE_S):
        while not cluster.store.hub.watchers:  # noqa: ASYNC110 - the hub has no event for it
            await asyncio.sleep(0)


def trees(answer: GroupAnswer) -> dict[int, tuple[int, dict[str, object]]]:
    return {one.index: (one.status, msgspec.msgpack.decode(one.body)) for one in answer.answers}


async def test_the_parts_that_changed_are_answered_and_the_others_are_not(cluster: Cluster) -> None:
    began = cluster.store.revision
    await cluster.post(DEFAULT_CMS, config_map("new"))
    answer = await poll(cluster, since(SECRETS, began), since(CMS, began))
    assert answer.revision == cluster.store.revision
    ((index, (status, tree)),) = trees(answer).items()
    assert (index, status) == (1, 200)
    alone = await cluster.get(CMS, query={"watch": "1", "poll": "1", "resourceVersion": str(began)})
    assert tree == alone.tree


async def test_without_a_revision_a_part_is_a_page(cluster: Cluster) -> None:
    for name in ("a", "b"):
        await cluster.post(DEFAULT_CMS, config_map(name))
    parts = [Part(DEFAULT_CMS, {"limit": "1"}), since(SECRETS, cluster.store.revision)]
    ((index, (status, page)),) = trees(await poll(cluster, *parts, timeout_s=9)).items()
    assert (index, status, len(page["items"])) == (0, 200, 1)  # type: ignore[arg-type]
    assert page["metadata"]["continue"]  # type: ignore[index]


async def test_it_waits_for_the_first_change_of_any_part(cluster: Cluster) -> None:
    parts = [since(path, cluster.store.revision) for path in (SECRETS, CMS)]
    asked = asyncio.create_task(poll(cluster, *parts, timeout_s=30))
    await waiting(cluster)
    await cluster.post("/api/v1/namespaces", {"metadata": {"name": "of-no-interest"}})
    assert not asked.done()
    await cluster.post(DEFAULT_CMS, config_map("new"))
    assert set(trees(await asked)) == {1}
    assert cluster.store.hub.watchers == 0


async def test_when_the_time_is_over_all_parts_go_on_at_the_present(cluster: Cluster) -> None:
    began = cluster.store.revision
    await cluster.post("/api/v1/namespaces", {"metadata": {"name": "of-no-interest"}})
    answer = await poll(cluster, since(SECRETS, began))
    assert answer == GroupAnswer(cluster.store.revision, [])
    assert cluster.store.revision > began


async def test_each_part_has_the_rights_of_its_own(cluster: Cluster) -> None:
    """Who may not watch a resource does not learn when something happens to it either."""
    began = cluster.store.revision
    answer = await poll(cluster, since(SECRETS, began), Part(CMS, {}), timeout_s=9, user=BOB)
    assert [(i, s, t["reason"]) for i, (s, t) in trees(answer).items()] == [
        (0, 403, "Forbidden"),
        (1, 403, "Forbidden"),
    ]


async def test_what_is_wrong_with_one_part_is_the_answer_to_it_alone(cluster: Cluster) -> None:
    now = cluster.store.revision
    answer = await poll(
        cluster,
        since("/api/v1/nothings", now),
        since("/apis/no.group/v1/things", now),
        since(f"{DEFAULT_CMS}/one", now),
        since("/version", now),
        since(CMS, now + 1000),
        Part(CMS, {"resourceVersion": "x"}),
        since("", now),
        since(CMS, now),
        timeout_s=9,
    )
    statuses = {one.index: one.status for one in answer.answers}
    assert statuses == {0: 404, 1: 404, 2: 404, 3: 406, 4: 410, 5: 500, 6: 404}


async def test_an_answer_is_bounded_in_bytes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "ANSWER_BYTES", 1)
    answer = await poll(cluster, Part(CMS, {}), Part(SECRETS, {}))
    assert (answer.revision, set(trees(answer))) == (0, {0})


@pytest.mark.parametrize("body", [b"", b"\x00", msgspec.msgpack.encode([1, [["/x"]]])])
async def test_what_is_no_group_poll_is_refused(cluster: Cluster, body: bytes) -> None:
    assert (await cluster.call("POST", grouppoll.PATH, body)).status == 400


async def test_too_many_parts_no_name_and_other_methods_are_refused(cluster: Cluster) -> None:
    parts = [Part(CMS, {})] * (grouppoll.MAX_PARTS + 1)
    assert (await ask(cluster, *parts)).status == 400
    assert (await ask(cluster, user=ANONYMOUS)).status == 403
    assert (await cluster.get(grouppoll.PATH)).status == 405


async def test_a_server_that_stops_answers_at_once_and_takes_no_more(cluster: Cluster) -> None:
    asked = asyncio.create_task(poll(cluster, since(CMS, cluster.store.revision), timeout_s=30))
    await waiting(cluster)
    cluster.api.stop()
    assert (await asked).answers == []
    assert (await ask(cluster, since(CMS, cluster.store.revision))).status == 503
