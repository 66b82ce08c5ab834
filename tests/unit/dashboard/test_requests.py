"""Who asks for what, from an audit log; and the ends of logs."""

import json
from pathlib import Path

from kubeherd.dashboard.requests import summary
from kubeherd.dashboard.tails import tail


def event(
    verb: str, code: int, took_ms: int, *, agent: str = "kopf/1.2 (x)", **rest: object
) -> str:
    return json.dumps(
        {
            "stage": "ResponseComplete",
            "verb": verb,
            "user": {"username": "jane"},
            "userAgent": agent,
            "objectRef": {"resource": "daemonsets", "apiGroup": "apps", "subresource": "status"},
            "responseStatus": {"code": code},
            "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z",
            "stageTimestamp": f"2026-01-01T00:00:00.{took_ms:03}000Z",
            **rest,
        }
    )


def test_requests_are_counted_by_client_verb_and_resource():
    lines = [event("get", 200, ms) for ms in range(100)]
    lines += [event("get", 404, 5), event("get", 503, 5), event("patch", 409, 1)]
    lines += [event("get", 200, 1, stage="RequestReceived"), "{torn", "[]"]
    found = summary(lines)
    assert found.source == "audit"
    first, second = found.rows
    assert (first.who, first.verb, first.resource) == (
        "jane kopf/1.2",
        "get",
        "daemonsets.apps/status",
    )
    assert (first.count, first.errors_4xx, first.errors_5xx) == (102, 1, 1)
    assert 45 <= first.p50_ms <= 50
    assert 95 <= first.p99_ms <= 99
    assert (second.verb, second.count, second.errors_4xx) == ("patch", 1, 1)


def test_a_watch_has_no_latency_and_no_object_is_a_path():
    (row,) = summary([event("watch", 200, 900, objectRef=None, requestURI="/x?y=1")]).rows
    assert (row.resource, row.p50_ms) == ("/x", 0.0)


def test_the_end_of_a_long_log(tmp_path: Path):
    path = tmp_path / "x.log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert tail(path, 2).lines == ["line 998", "line 999"]
    assert tail(path, 2).truncated
    assert not tail(path, 1000).truncated
    short = tail(path, 1000, max_bytes=25)
    assert (short.lines, short.truncated) == (["line 998", "line 999"], True)
    path.write_bytes(b"\xff\x1b[2J\n")
    assert tail(path, 5).lines == ["\ufffd\x1b[2J"]
