"""A short hostile run against this API server, and that the checker of the run is not blind."""

import asyncio
import gc
import json
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hostile.bombs import BOMBS
from hostile.checker import MAX_GROWTH_BYTES, Problem, Report, Run, wrong_answer, wrong_object
from hostile.recorded import read
from hostile.requests import Hostile, Requests, Stream
from hostile.targets import Answer, InProcess, in_process

from kubeherd.cluster.api.serializer.protobuf import bodies
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.handlers import dispatch, writes
from kubeherd.cluster.store.watch import hub

CMS = "/api/v1/namespaces/default/configmaps"


class _Listed:
    """The given requests, over and over."""

    def __init__(self, requests: Sequence[Hostile]) -> None:
        self._requests = requests
        self._at: Iterator[int] = count()

    def next(self) -> Hostile:
        return self._requests[next(self._at) % len(self._requests)]


async def _run(stream: Requests, number: int) -> Report:
    async with in_process() as target:
        return await Run(target, stream).run(number, lambda _: None)


async def _confirmed(problems: Sequence[Problem]) -> list[Problem]:
    """Without stalls that the same request, sent again, does not cause: those are this machine's,
    whose caches and collector other tests share."""
    sure = []
    for problem in problems:
        request = problem.request if problem.is_stall else None
        if request is None or (await _run(_Listed([request]), 2)).problems:
            sure.append(problem)
    return sure


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_server_stays_well(seed: int) -> None:
    report = await _run(Stream(seed, bombs=False), 3000)
    assert await _confirmed(report.problems) == []
    codes = {code for _, code in report.answers}
    assert {200, 201, 400, 404, 409, 415, 422} <= codes  # it is reached, not only refused
    assert report.stored > 50


@pytest.fixture(autouse=True)
def small_heap() -> None:
    """A server's heap: the collector has nothing to do with what a thousand tests have left."""
    gc.collect()
    gc.freeze()


@pytest.mark.timeout(900)  # ten seconds of processor time, and what is slow is sent again
async def test_no_body_is_so_slow_that_others_wait() -> None:
    bombs = [
        Hostile(name, method, path, {"fieldManager": "f"}, {"content-type": content_type}, make())
        for name, method, path, content_type, make in BOMBS
    ]
    report = await _run(_Listed(bombs), len(bombs))
    assert await _confirmed(report.problems) == []
    assert {name for name, _ in report.answers} == {name for name, *_ in BOMBS}


def test_a_seed_sends_the_same_requests() -> None:
    one, other = Stream(7), Stream(7)
    assert [one.next() for _ in range(300)] == [other.next() for _ in range(300)]
    assert Stream(8).next() != Stream(7).next()


def test_a_request_is_shown_so_that_it_can_be_sent_again() -> None:
    stream = Stream(3)
    for request in (stream.next() for _ in range(200)):
        assert Hostile.from_json(request.shown()) == request


# --- mutants: servers that are not well ---

_GOOD = Hostile("configmaps", "POST", CMS, {}, {}, b'{"metadata":{"generateName":"a"}}')
_REFUSED = Hostile("configmaps", "POST", CMS, {}, {}, b'{"metadata":{"name":"A"}}')


def _replace_create(monkeypatch: pytest.MonkeyPatch, handler: Any) -> None:
    monkeypatch.setitem(dispatch._BY_VERB, "create", handler)


async def test_a_handler_that_raises_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def raises(call: Any) -> ApiResponse:
        raise AttributeError

    _replace_create(monkeypatch, raises)
    report = await _run(_Listed([_GOOD]), 2)
    assert "500" in report.problems[0].why
    assert report.problems[0].request == _GOOD


async def test_a_handler_that_keeps_the_loop_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def blocks(call: Any) -> ApiResponse:
        await asyncio.sleep(0.02)  # so that it is certainly measured
        end_s = process_time() + 0.4
        while process_time() < end_s:
            pass
        await asyncio.sleep(0.02)
        return ApiResponse(200, b"{}")

    _replace_create(monkeypatch, blocks)
    report = await _run(_Listed([_GOOD]), 2)
    assert "others waited" in report.problems[0].why
    assert report.longest_stall_s > 0.3


async def test_a_handler_that_leaks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []

    async def leaks(call: Any) -> ApiResponse:
        kept.append(b"x" * (MAX_GROWTH_BYTES // 40))
        return ApiResponse(200, b"{}")

    _replace_create(monkeypatch, leaks)
    report = await _run(_Listed([_GOOD]), 100)
    assert [problem.why.split(" by ")[0] for problem in report.problems] == ["memory grew"]


async def test_a_handler_that_stores_what_it_refuses_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def stores(call: Any) -> ApiResponse:
        good = b'{"metadata":{"generateName":"a"}}'
        call.request.body = good
        await writes.create(call)
        return ApiResponse(422, b"{}")

    _replace_create(monkeypatch, stores)
    report = await _run(_Listed([_REFUSED]), 2)
    assert "refused with 422, but the revision is" in report.problems[0].why


async def test_a_half_stored_object_is_found() -> None:
    async with in_process() as target:
        store = target._store
        meta = b'{"name":"A","namespace":"default","resourceVersion":"2"}'
        bad = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":%s}' % meta
        await store.committed(store.put("configmaps", "default", "A", lambda _: bad))
        report = await Run(target, _Listed([_GOOD])).run(1, lambda _: None)
    assert "ConfigMap default/A is invalid: metadata" in report.problems[0].why


async def test_a_watch_that_does_not_tell_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "deliver", lambda event, wanted: None)
    report = await _run(_Listed([_GOOD]), 2)
    whys = [problem.why for problem in report.problems]
    assert any(why.startswith("configmaps ['default/a") for why in whys)
    assert all(why.endswith("are told otherwise than listed") for why in whys)


async def test_an_encoding_that_loses_something_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bodies.message

    def without_data(api_version: str, kind: str, tree: dict[str, Any]) -> bytes:
        return whole(api_version, kind, {key: tree[key] for key in tree.keys() - {"data"}})

    monkeypatch.setattr(bodies, "message", without_data)
    request = Hostile(
        "configmaps", "POST", CMS, {}, {}, b'{"metadata":{"name":"a"},"data":{"k":"v"}}'
    )
    report = await _run(_Listed([request]), 2)
    (why,) = {problem.why for problem in report.problems}
    assert why.startswith(
        f"{CMS}/a is another object as application/vnd.kubernetes.protobuf: .data"
    )


async def test_recorded_requests_are_sent_mutated_in_all_encodings(tmp_path: Path) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{run}-a"}, "data": {}}
    steps = [
        {"method": "POST", "path": "/api/v1/namespaces/{ns}/configmaps", "body": body},
        {"method": "GET", "path": "/api/v1/namespaces/{ns}/configmaps?watch=1"},
        {"method": "DELETE", "path": "/api/v1/namespaces/{ns}/configmaps/{run}-a?dryRun=All"},
    ]
    file = tmp_path / "recorded.json"
    file.write_text(json.dumps({"sequences": [{"steps": steps}]}))
    found = read(file)
    assert [(one.method, one.path, one.query) for one in found] == [
        ("POST", CMS, {}),
        ("DELETE", f"{CMS}/run-a", {"dryRun": "All"}),
    ]
    stream = Stream(1, bombs=False, recorded=found)
    sent = [one for one in (stream.next() for _ in range(600)) if one.route == "recorded"]
    assert {one.headers["content-type"] for one in sent if one.method == "POST"} == {
        "application/json",
        "application/yaml",
        "application/msgpack",
        "application/vnd.kubernetes.protobuf",
    }
    assert len({one.body for one in sent}) > 50


@pytest.mark.parametrize(
    ("answer", "well"),
    [
        (Answer(200), True),
        (Answer(422), True),
        (Answer(504, b'{"message":"Timeout: Too large resource version: 9, current: 1"}'), True),
        (Answer(504, b"{}"), False),
        (Answer(503), False),
        (Answer(500), False),
        (Answer(500, b'{"reason":"InternalError","code":500}'), False),
        (Answer(0, b"ConnectionReset"), False),
    ],
)
def test_which_answers_are_well(answer: Answer, well: bool) -> None:
    assert (wrong_answer(answer) == "") is well


def test_what_is_no_object_is_found() -> None:
    meta = {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "1"}
    good = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
    assert wrong_object(good) == ""
    assert wrong_object({**good, "unknown": 1}) == 'has unknown field "unknown"'
    assert wrong_object({**good, "kind": "X"}) == "of a kind that is not served"


async def test_a_stream_of_events_is_closed_by_the_target() -> None:
    async with in_process() as target:
        assert isinstance(target, InProcess)
        watch = Hostile("configmaps", "GET", CMS, {"watch": "1"})
        assert (await target.send(watch)).status == 200
