"""Events as client-go records them: counted, combined, limited, never in anybody's way."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from kubeherd.cluster.client import events
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.events import EventApi, EventRecorder, ObjectReference
from kubeherd.cluster.client.transport import TransportError, TransportResponse
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.simulation import virtualtime
from kubeherd.simulation.transport import Request, StubTransport
from kubeherd.simulation.virtualtime import VirtualClock

POD = ObjectReference(api_version="v1", kind="Pod", namespace="ns", name="p", uid="u")
Tree = dict[str, Any]


class Sink(StubTransport):
    """A server for events: keeps what is created, applies patches, fails on request."""

    def __init__(self) -> None:
        self.events: dict[str, Tree] = {}
        self.requests: list[tuple[str, str]] = []
        self.outages = 0

    async def answer(self, request: Request) -> TransportResponse:
        self.requests.append((request.method, request.path))
        await asyncio.sleep(0.01)
        if request.method == "POST":
            name = request.tree["metadata"]["name"]
            if name in self.events:
                return _refusal(409, "AlreadyExists")
            self.events[name] = request.tree
        else:
            name = request.path.rpartition("/")[2]
            if name not in self.events:
                return _refusal(404, "NotFound")
            self.events[name] |= request.tree
        if self.outages:
            self.outages -= 1
            raise TransportError("the answer was lost")
        return TransportResponse(200, b"{}")


def _refusal(code: int, reason: str) -> TransportResponse:
    status = {"kind": "Status", "code": code, "reason": reason, "message": reason}
    return TransportResponse(code, msgspec.json.encode(status))


def record(
    main: Callable[[EventRecorder], Awaitable[None]],
    api: EventApi = EventApi.CORE_V1,
    sink: Sink | None = None,
) -> Sink:
    """What a server got of the events that `main` recorded, 100 s later."""
    sink = sink or Sink()

    async def run() -> None:
        clock = VirtualClock(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
        client = ApiClient(sink, clock)
        recorder = EventRecorder(client, "kubelet", "node-1", clock, Rng(1), api=api)
        task = asyncio.ensure_future(recorder.run())
        await main(recorder)
        await asyncio.sleep(100)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtualtime.run(run())
    return sink


def test_an_event_has_the_fields_that_kubernetes_writes() -> None:
    async def main(recorder: EventRecorder) -> None:
        recorder.event(POD, "Warning", "Failed", "no image")

    sink = record(main)
    assert sink.requests == [("POST", "/api/v1/namespaces/ns/events")]
    (event,) = sink.events.values()
    name = event["metadata"].pop("name")
    assert int(name.removeprefix("p."), 16) // 1000 == 1767323045 * 10**6
    assert len(name) == len("p.") + 16
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "ns"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": "ns",
            "name": "p",
            "uid": "u",
        },
        "type": "Warning",
        "reason": "Failed",
        "message": "no image",
        "source": {"component": "kubelet", "host": "node-1"},
        "firstTimestamp": "2026-01-02T03:04:05Z",
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "eventTime": None,
        "count": 1,
        "reportingComponent": "kubelet",
        "reportingInstance": "node-1",
    }


def test_events_of_cluster_scoped_objects_go_to_the_namespace_default() -> None:
    async def main(recorder: EventRecorder) -> None:
        recorder.event(ObjectReference(kind="Node", name="n"), "Normal", "Starting", "hello")

    assert record(main).requests == [("POST", "/api/v1/namespaces/default/events")]


def test_the_same_again_counts_up_whatever_the_objects_revision() -> None:
    async def main(recorder: EventRecorder) -> None:
        for revision in range(3):
            regarding = msgspec.structs.replace(POD, resource_version=str(revision))
            recorder.event(regarding, "Normal", "Pulled", "image")
            await asyncio.sleep(60)

    sink = record(main)
    (event,) = sink.events.values()
    assert (event["count"], event["firstTimestamp"], event["lastTimestamp"]) == (
        3,
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:06:05Z",
    )
    assert [method for method, _ in sink.requests] == ["POST", "PATCH", "PATCH"]


def test_many_similar_ones_are_combined() -> None:
    async def main(recorder: EventRecorder) -> None:
        for index in range(15):
            recorder.event(POD, "Normal", "Pulled", f"image {index}")

    messages = sorted(event["message"] for event in record(main).events.values())
    assert messages[0] == "(combined from similar events): image 14"
    assert len(messages) == 10


def test_one_object_gets_a_burst_of_25_writes_and_then_one_per_300_s() -> None:
    async def main(recorder: EventRecorder) -> None:
        for _ in range(50):
            recorder.event(POD, "Normal", "Pulled", "image")
        recorder.event(msgspec.structs.replace(POD, name="other", uid="o"), "Normal", "A", "b")
        await asyncio.sleep(310)
        recorder.event(POD, "Normal", "Pulled", "image")
        recorder.event(POD, "Normal", "Pulled", "image")

    sink = record(main)
    counts = {event["involvedObject"]["name"]: event["count"] for event in sink.events.values()}
    assert len(sink.requests) == 25 + 1 + 1
    assert counts == {"p": 51, "other": 1}


def test_an_event_that_was_cleaned_up_is_written_anew() -> None:
    sink = Sink()

    async def main(recorder: EventRecorder) -> None:
        recorder.event(POD, "Normal", "Pulled", "image")
        await asyncio.sleep(1)
        sink.events.clear()
        recorder.event(POD, "Normal", "Pulled", "image")

    record(main, sink=sink)
    assert [method for method, _ in sink.requests] == ["POST", "PATCH", "POST"]
    assert len(sink.events) == 1


def test_a_lost_answer_makes_no_second_event() -> None:
    sink = Sink()
    sink.outages = 2

    async def main(recorder: EventRecorder) -> None:
        recorder.event(POD, "Normal", "Pulled", "image")

    record(main, sink=sink)
    assert [method for method, _ in sink.requests] == ["POST", "POST"]
    assert [event["count"] for event in sink.events.values()] == [1]


def test_the_queue_is_bounded_forgets_the_oldest_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "QUEUE_LIMIT", 100)

    async def main(recorder: EventRecorder) -> None:
        for index in range(110):
            recorder.event(ObjectReference(kind="Pod", name=f"p{index}"), "Normal", "A", "b")

    sink = record(main)
    assert len(sink.events) == 100
    assert not any(name.startswith("p9.") for name in sink.events)
    told = [line for line in capsys.readouterr().out.splitlines() if "events_dropped" in line]
    assert len(told) == 1
    assert "count=10" in told[0]


def test_the_burst_of_5000_nodes_loses_nothing() -> None:
    async def main(recorder: EventRecorder) -> None:
        for index in range(5000):
            pod = ObjectReference(kind="Pod", namespace="ns", name=f"p{index}", uid=str(index))
            recorder.event(pod, "Normal", "Scheduled", "assigned", action="Binding")

    assert len(record(main, EventApi.EVENTS_V1).events) == 5000


def test_the_last_count_of_a_series_is_written_when_it_is_over() -> None:
    async def main(recorder: EventRecorder) -> None:
        for _ in range(5):
            recorder.event(POD, "Warning", "FailedScheduling", "no node", action="Scheduling")
            await asyncio.sleep(100)
        await asyncio.sleep(1000)
        recorder.event(POD, "Warning", "FailedScheduling", "again", action="Scheduling")

    sink = record(main, EventApi.EVENTS_V1)
    assert [method for method, _ in sink.requests] == ["POST", "PATCH", "PATCH", "POST"]
    first, second = sink.events.values()
    assert first["series"]["count"] == 5
    assert first["series"]["lastObservedTime"] == "2026-01-02T03:10:45.000000Z"
    assert "series" not in second


def test_a_series_that_goes_on_is_refreshed_every_half_hour() -> None:
    async def main(recorder: EventRecorder) -> None:
        for _ in range(40):
            recorder.event(POD, "Warning", "FailedScheduling", "no node", action="Scheduling")
            await asyncio.sleep(60)

    sink = record(main, EventApi.EVENTS_V1)
    assert [method for method, _ in sink.requests] == ["POST", "PATCH", "PATCH"]
    (event,) = sink.events.values()
    assert 30 <= event["series"]["count"] <= 33


def test_the_new_api_makes_a_series_of_repetitions() -> None:
    async def main(recorder: EventRecorder) -> None:
        for _ in range(4):
            recorder.event(POD, "Warning", "FailedScheduling", "no node", action="Scheduling")
            await asyncio.sleep(1)

    sink = record(main, EventApi.EVENTS_V1)
    assert [method for method, _ in sink.requests] == ["POST", "PATCH"]
    (event,) = sink.events.values()
    assert event["eventTime"] == "2026-01-02T03:04:05.000000Z"
    assert event["regarding"]["name"] == "p"
    assert (event["note"], event["action"]) == ("no node", "Scheduling")
    assert event["reportingController"] == "kubelet"
    assert event["series"]["count"] == 2
    assert "count" not in event


def test_two_components_that_tell_of_one_object_at_once_take_different_names() -> None:
    sink = Sink()

    async def main() -> None:
        clock = VirtualClock(virtualtime.EPOCH)
        client = ApiClient(sink, clock)
        tasks = []
        for component, seed in (("kubelet", 1), ("node-controller", 2)):
            recorder = EventRecorder(client, component, "node-1", clock, Rng(seed))
            recorder.event(POD, "Normal", "Seen", "at once")
            tasks.append(asyncio.ensure_future(recorder.run()))
        await asyncio.sleep(10)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    virtualtime.run(main())
    assert len(sink.events) == 2
