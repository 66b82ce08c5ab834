"""Heartbeats of several clients wait for each other, and only those that can."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import uvloop
from patience import PATIENCE_S
from wireserver import Served, serving

from kubeherd.cluster.api.kinds import LEASES, NODES, PODS
from kubeherd.cluster.apiserver.edge.plain import gathering, resting
from kubeherd.cluster.apiserver.edge.plain.connection import PlainConnection
from kubeherd.cluster.apiserver.edge.plain.gathering import (
    Gathering,
    goes_together,
    is_heartbeat,
    patience_s,
)

LONG_S = 3600.0
NAMESPACE = "kube-node-lease"


@pytest.mark.parametrize(
    ("silent_s", "wait_s"), [(10.0, 0.1), (0.1, 0.05), (0.004, 0.002), (0.003, 0.0), (0.0, 0.0)]
)
def test_who_hurries_does_not_wait(silent_s: float, wait_s: float) -> None:
    assert patience_s(silent_s) == pytest.approx(wait_s)


@pytest.mark.parametrize(
    ("method", "path", "is_one"),
    [
        ("PUT", LEASES.path(NAMESPACE, "n1"), True),
        ("GET", LEASES.path(NAMESPACE, "n1"), False),
        ("POST", LEASES.path(NAMESPACE), False),
        ("PUT", LEASES.path("kube-system", "kube-scheduler"), False),
    ],
)
def test_only_renewals_of_node_leases_are_heartbeats(method: str, path: str, is_one: bool) -> None:
    assert is_heartbeat(method, path) is is_one


@pytest.mark.parametrize(
    ("method", "path", "is_one"),
    [
        ("PATCH", PODS.path("default", "p", "status"), True),
        ("PUT", PODS.path("default", "p", "status"), False),
        ("PATCH", PODS.path("default", "p"), False),
        ("PATCH", NODES.path(name="n", subresource="status"), False),
        ("DELETE", PODS.path("default", "p"), True),
        ("DELETE", PODS.path("default"), False),
        ("POST", PODS.path("default", "p", "binding"), True),
        ("POST", PODS.path("default"), True),
        ("GET", PODS.path("default"), False),
    ],
)
def test_writes_that_come_in_numbers_go_together(method: str, path: str, is_one: bool) -> None:
    assert goes_together(method, path) is is_one


class _Together(Gathering[int]):
    """Notes who went on with whom."""

    def __init__(self) -> None:
        super().__init__(self._note)
        self.turns: list[list[int]] = []

    async def _note(self, members: Sequence[int]) -> None:
        self.turns.append(list(members))


def test_who_hardly_waits_is_waited_for_on_uvloop_too() -> None:
    async def main() -> None:
        together = _Together()
        waits = (0.0001, 0.0002, 0.0001)
        await asyncio.gather(*(together.join(one, wait_s) for one, wait_s in enumerate(waits)))
        assert together.turns == [[0, 1, 2]]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def test_the_least_patient_decides() -> None:
    together = _Together()
    async with asyncio.timeout(PATIENCE_S):
        tasks = [together.join(one, wait_s) for one, wait_s in enumerate((LONG_S, 0.001, LONG_S))]
        await asyncio.gather(*tasks)
    assert together.turns == [[0, 1, 2]]


async def test_who_does_not_wait_takes_along_who_comes_in_the_same_step() -> None:
    together = _Together()
    async with asyncio.timeout(PATIENCE_S):
        tasks = [together.join(one, wait_s) for one, wait_s in enumerate((LONG_S, 0.0, LONG_S))]
        await asyncio.gather(*tasks)
        await together.join(3, 0.0)
    assert together.turns == [[0, 1, 2], [3]]


async def test_many_do_not_wait_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MAX_WAITING", 3)
    together = _Together()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(together.join(one, LONG_S) for one in range(6)))
    assert together.turns == [[0, 1, 2], [3, 4, 5]]


async def test_a_turn_that_is_given_up_takes_nobody_else_along() -> None:
    together = _Together()
    given_up = together.join(0, LONG_S)
    await asyncio.sleep(0)
    given_up.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait({given_up})
        await together.join(1, 0.0)
    assert together.turns == [[1]]


def _lease(name: str) -> dict[str, object]:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"holderIdentity": name, "renewTime": "2026-01-01T00:00:00.000000Z"},
    }


async def _registered(
    served: Served, name: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """A connection on which a Lease was made, and the request that renews it."""
    context = served.tls(*served.authority.identity("admin", "system:masters"))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=context)
    writer.write(_message("POST", LEASES.path(NAMESPACE), _lease(name)))
    made = json.loads(await _body(reader))
    made["spec"]["renewTime"] = "2026-01-01T00:00:10.000000Z"
    return reader, writer, _message("PUT", LEASES.path(NAMESPACE, name), made)


def _message(method: str, path: str, tree: dict[str, object]) -> bytes:
    body = json.dumps(tree).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _body(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return await reader.readexactly(int(length))


async def test_renewals_of_two_connections_are_answered_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "patience_s", lambda silent_s: LONG_S)
    monkeypatch.setattr(gathering, "MAX_WAITING", 2)
    async with asyncio.timeout(PATIENCE_S), serving(tmp_path) as served:
        first, second = [await _registered(served, name) for name in ("n1", "n2")]
        there = served.api.services.store.revision
        for _, writer, renewal in (first, second):
            assert served.api.services.store.revision == there
            writer.write(renewal)
        answers = [json.loads(await _body(reader)) for reader, _, _ in (first, second)]
        assert [one["spec"]["renewTime"] for one in answers] == ["2026-01-01T00:00:10.000000Z"] * 2
        for _, writer, _ in (first, second):
            writer.close()


async def test_a_patch_of_a_status_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "patience_s", lambda silent_s: LONG_S)
    async with asyncio.timeout(PATIENCE_S), serving(tmp_path) as served:
        reader, writer, _ = await _registered(served, "n1")
        pod: dict[str, object] = {
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c", "image": "i:1"}]},
        }
        writer.write(_message("POST", PODS.path("default"), pod))
        assert json.loads(await _body(reader))["kind"] == "Pod"
        path = PODS.path("default", "p", "status")
        for phase, answered in (("Running", "Pod"), (1, "Status")):
            patch = _message("PATCH", path, {"status": {"phase": phase}})
            head = b"Content-Type: application/merge-patch+json\r\nContent-Length"
            writer.write(patch.replace(b"Content-Length", head))
            assert json.loads(await _body(reader))["kind"] == answered
        writer.close()


async def test_who_comes_together_with_others_is_refused_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "patience_s", lambda silent_s: LONG_S)
    monkeypatch.setattr(gathering, "MAX_WAITING", 3)
    async with asyncio.timeout(PATIENCE_S), serving(tmp_path) as served:
        clients = [await _registered(served, name) for name in ("n1", "n2", "n3")]
        renewals = [renewal for _, _, renewal in clients]
        renewals[1] = renewals[0]  # whichever comes first: the other one rests on the past
        for (_, writer, _), renewal in zip(clients, renewals, strict=True):
            writer.write(renewal)
        kinds = [json.loads(await _body(reader))["kind"] for reader, _, _ in clients]
        assert sorted(kinds[:2]) == ["Lease", "Status"]
        assert kinds[2] == "Lease"
        for _, writer, _ in clients:
            writer.close()


async def test_a_bug_met_by_one_connection_leaves_the_others_their_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "patience_s", lambda silent_s: LONG_S)
    monkeypatch.setattr(gathering, "MAX_WAITING", 3)
    answered, met = PlainConnection.answered, list[PlainConnection]()

    def meeting(connection: PlainConnection, *, goes_on: bool) -> None:
        if not met:
            met.append(connection)
            raise RuntimeError("a bug")
        answered(connection, goes_on=goes_on)

    async with asyncio.timeout(PATIENCE_S), serving(tmp_path) as served:
        clients = [await _registered(served, name) for name in ("n1", "n2", "n3")]
        monkeypatch.setattr(PlainConnection, "answered", meeting)
        for _, writer, renewal in clients:
            writer.write(renewal)
        for reader, _, _ in clients[1:]:
            assert json.loads(await _body(reader))["kind"] == "Lease"
        await clients[0][0].read()  # it ends
        for _, writer, _ in clients:
            writer.close()


async def test_the_first_request_of_a_connection_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "patience_s", lambda silent_s: LONG_S if silent_s else 0.0)
    async with asyncio.timeout(PATIENCE_S), serving(tmp_path) as served:
        _, registered, renewal = await _registered(served, "n1")
        context = served.tls(*served.authority.identity("admin", "system:masters"))
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=context)
        writer.write(renewal)
        assert json.loads(await _body(reader))["kind"] == "Lease"
        registered.close()
        writer.close()


async def test_a_connection_that_rests_is_answered_whatever_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resting, "look_s_of", lambda silent_s, streak: 0.01 if streak else 0.0)
    monkeypatch.setattr(resting, "MIN_RESTING", 1)
    async with asyncio.timeout(PATIENCE_S), serving(tmp_path) as served:
        reader, writer, renewal = await _registered(served, "n1")
        writer.write(renewal)
        assert json.loads(await _body(reader))["kind"] == "Lease"
        for _ in range(2):
            writer.write(_message("GET", LEASES.path(NAMESPACE, "n1"), {}))
            assert json.loads(await _body(reader))["kind"] == "Lease"
        writer.close()
