"""What the public classes ask the API server for, without one: operations are driven by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kubeherd import operations
from kubeherd.cluster.client.transport import TransportError, TransportResponse
from kubeherd.errors import ConditionTimeout, KubeherdError, NotFound
from kubeherd.operations import Ask, Operation, Pause, resource_of
from kubeherd.waits import not_ready, ready, rolled_out

NODE = resource_of("nodes")


class Server:
    """Answers each step of an operation with the next of its answers; time is its own."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[Ask] = []
        self.now_s = 0.0

    def drive(self, operation: Operation[object]) -> object:
        try:
            step = next(operation)
            while True:
                if isinstance(step, Pause):
                    self.now_s += step.seconds
                    step = operation.send(None)
                    continue
                self.asked.append(step)
                answer = self.answers.pop(0)
                if isinstance(answer, float):  # a long-poll that took so long and had no news
                    self.now_s += answer
                    answer = {"resourceVersion": "1", "events": []}
                if isinstance(answer, Exception):
                    step = operation.throw(answer)
                else:
                    step = operation.send(response(answer))
        except StopIteration as end:
            return end.value

    def wait(self, wanted: operations.Wanted, timeout_s: float = 30) -> object:
        return self.drive(operations.wait(wanted, timeout_s, lambda: self.now_s))


def response(answer: object) -> TransportResponse:
    code = answer.get("code", 200) if isinstance(answer, dict) else 200
    return TransportResponse(code, json.dumps(answer).encode())


def listed(*objects: object, revision: str = "7") -> dict[str, object]:
    return {"items": list(objects), "metadata": {"resourceVersion": revision}}


def node(name: str, *, status: str) -> dict[str, object]:
    return {
        "metadata": {"name": name},
        "status": {"conditions": [{"type": "Ready", "status": status}]},
    }


def status(code: int, reason: str) -> dict[str, object]:
    return {"kind": "Status", "code": code, "reason": reason, "message": f"it is {reason}"}


@pytest.mark.parametrize(
    ("kind", "group_resource"),
    [("Pod", "pods"), ("pods", "pods"), ("DaemonSet", "daemonsets.apps"), ("Event", "events")],
)
def test_kinds_by_any_of_their_names(kind: str, group_resource: str):
    assert resource_of(kind).group_resource == group_resource


def test_an_unknown_kind():
    with pytest.raises(KubeherdError, match='no kind "Ghost"'):
        resource_of("Ghost")


def test_a_condition_that_holds_already_is_one_request():
    server = Server(listed(node("a", status="True")))
    assert server.wait(ready(["a"])) == [node("a", status="True")]
    assert [(ask.method, ask.path) for ask in server.asked] == [("GET", "/api/v1/nodes")]


def test_a_change_is_waited_for_from_what_was_seen():
    server = Server(
        listed(node("a", status="False"), revision="41"),
        {"resourceVersion": "42", "events": [{"type": "MODIFIED", "object": {}}]},
        listed(node("a", status="True")),
    )
    server.wait(ready(["a"]), timeout_s=5)
    poll = server.asked[1]
    assert (poll.query["poll"], poll.query["resourceVersion"]) == ("1", "41")
    assert poll.query["timeoutSeconds"] == "5"
    assert poll.timeout_s > 5


def test_time_is_up_and_the_text_says_what_was_there():
    server = Server(listed(node("a", status="False")), 2.0, listed(node("a", status="False")))
    with pytest.raises(ConditionTimeout, match=r"^a Ready: not within 2 s; a is NotReady$"):
        server.wait(ready(["a"]), timeout_s=2)


def test_less_than_a_second_is_waited_for_too():
    server = Server(*[listed() for _ in range(20)])
    with pytest.raises(ConditionTimeout, match="there are no nodes"):
        server.wait(ready(["a"]), timeout_s=0.2)
    assert 0.2 <= server.now_s < 0.3


@pytest.mark.parametrize(
    "trouble",
    [
        TransportError("refused"),
        status(503, "ServiceUnavailable"),
        status(429, "TooManyRequests"),
        status(410, "Expired"),
    ],
    ids=str,
)
def test_a_server_that_is_away_or_forgot_is_waited_for(trouble: object):
    server = Server(trouble, listed(node("a", status="True")))
    assert server.wait(ready(["a"])) == [node("a", status="True")]


def test_a_server_that_stays_away():
    server = Server(*[TransportError("GET /api/v1/nodes: refused")] * 30)
    with pytest.raises(ConditionTimeout, match="not within 1 s; GET /api/v1/nodes: refused"):
        server.wait(ready(["a"]), timeout_s=1)


def test_a_refusal_ends_the_wait_at_once():
    with pytest.raises(KubeherdError, match="it is Forbidden"):
        Server(status(403, "Forbidden")).wait(ready(["a"]))


@pytest.mark.parametrize(
    ("nodes", "holds"),
    [
        ([node("a", status="Unknown"), node("b", status="True")], True),
        ([node("a", status="True")], False),
        ([node("b", status="True")], False),  # a Node that is not there is not NotReady
    ],
)
def test_not_ready(nodes: list[dict[str, object]], holds: bool):
    assert not_ready(["a"]).holds(nodes) is holds


def daemonset(generation: int, **status_: int) -> dict[str, object]:
    return {"metadata": {"name": "web", "generation": generation}, "status": status_}


@pytest.mark.parametrize(
    ("found", "holds", "said"),
    [
        (daemonset(1, observedGeneration=1, desiredNumberScheduled=0), True, "0 of 0 updated"),
        (daemonset(2, observedGeneration=1), False, "has not seen the newest spec"),
        (
            daemonset(1, observedGeneration=1, desiredNumberScheduled=3, updatedNumberScheduled=2),
            False,
            "2 of 3 updated, 0 of 3 available",
        ),
        (
            daemonset(
                1,
                observedGeneration=1,
                desiredNumberScheduled=3,
                updatedNumberScheduled=3,
                numberAvailable=3,
            ),
            True,
            "3 of 3 available",
        ),
    ],
)
def test_rolled_out(found: dict[str, object], holds: bool, said: str):
    wanted = rolled_out("web", "default")
    assert wanted.holds([found]) is holds
    assert said in wanted.describe([found])
    assert not wanted.holds([])


def test_apply_names_what_a_manifest_lacks():
    with pytest.raises(KubeherdError, match="'kind' is missing"):
        Server().drive(operations.apply([{"apiVersion": "v1"}], "default"))
    ghost = {"apiVersion": "v9", "kind": "Ghost", "metadata": {"name": "g"}}
    with pytest.raises(KubeherdError, match='no kind "Ghost" of v9'):
        Server().drive(operations.apply([ghost], "default"))


def test_apply_waits_for_the_definition_of_a_custom_kind():
    absent = {"kind": "Status", "code": 404, "reason": "NotFound", "message": "no"}
    entry = {"name": "widgets", "kind": "Widget", "namespaced": True, "verbs": ["get"]}
    server = Server(absent, {"resources": [entry]}, {"kind": "Widget"})
    manifest = {"apiVersion": "x.io/v1", "kind": "Widget", "metadata": {"name": "w"}}
    server.drive(operations.apply([manifest], "mine"))
    paths = [ask.path for ask in server.asked]
    assert paths == [
        "/apis/x.io/v1",
        "/apis/x.io/v1",
        "/apis/x.io/v1/namespaces/mine/widgets/w",
    ]


@pytest.mark.parametrize(
    ("namespace", "path"), [({}, "mine"), ({"namespace": "its-own"}, "its-own")]
)
def test_apply_goes_to_the_namespace_that_is_named(namespace: dict[str, str], path: str):
    server = Server({"kind": "ConfigMap"})
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", **namespace}}
    server.drive(operations.apply([manifest], "mine"))
    assert server.asked[0].path == f"/api/v1/namespaces/{path}/configmaps/c"
    assert server.asked[0].query["force"] == "true"


def test_manifests_as_text_and_file(tmp_path: Path):
    text = "kind: A\n---\n---\nkind: B\n"
    file = tmp_path / "m.yaml"
    file.write_text(text)
    expected = [{"kind": "A"}, {"kind": "B"}]
    assert operations.manifests_of(text) == operations.manifests_of(file) == expected


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _path: "just words", "is not a mapping"),
        (lambda _path: "", "is not a mapping"),
        (lambda _path: "a: [", "is not YAML"),
        (lambda path: path / "missing.yaml", "cannot read"),
    ],
)
def test_what_is_no_manifest(make: Callable[[Path], str | Path], said: str, tmp_path: Path):
    with pytest.raises(KubeherdError, match=said):
        operations.manifests_of(make(tmp_path))


def test_delete_if_there():
    server = Server(status(404, "NotFound"))
    assert server.drive(operations.delete_if_there(NODE, "a", "")) is None
    with pytest.raises(NotFound):
        Server(status(404, "NotFound")).drive(operations.delete(NODE, "a", ""))
