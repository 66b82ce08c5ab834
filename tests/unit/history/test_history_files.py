"""Histories in files: what is written comes back; what a killed writer left, as far as it goes."""

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from kubeherd.faults import Fault, Nodes, effects
from kubeherd.history import (
    Actor,
    Began,
    Ended,
    FaultBegan,
    FaultEnded,
    Leads,
    Process,
    Record,
    Step,
    Verb,
    Write,
)
from kubeherd.history.files import HistoryError, Tail, encode, merged, read, whole, write

FAULT = Fault(id="f-1", target=Nodes(("node-1",)), effect=effects.Crash(), at=2.0)
POD = {"metadata": {"name": "a", "uid": "u1", "resourceVersion": "7"}}
RECORDS: list[Record] = [
    Began(at=1.0, source="cluster", seed=7, nodes=("node-1",)),
    FaultBegan(at=2.0, fault=FAULT),
    Write(
        at=2.5, revision=7, verb=Verb.CREATE, resource="pods", namespace="default", name="a",
        uid="u1", object=POD, actor=Actor("system:node:node-1", "kubelet/1"),
    ),
    FaultEnded(at=3.0, id="f-1"),
    Ended(at=4.0, revision=7),
]  # fmt: skip


@pytest.mark.parametrize("name", ["history.jsonl", "history.jsonl.gz"])
def test_a_history_comes_back_from_its_file(tmp_path: Path, name: str):
    write(tmp_path / name, RECORDS)
    assert list(read(tmp_path / name)) == RECORDS


def test_a_torn_last_line_is_no_record(tmp_path: Path):
    file = tmp_path / "history.jsonl"
    file.write_bytes(encode(RECORDS[0]) + encode(RECORDS[1])[:-5])
    assert list(read(file)) == RECORDS[:1]


def test_a_line_that_is_no_record_is_named(tmp_path: Path):
    file = tmp_path / "history.jsonl"
    file.write_bytes(encode(RECORDS[0]) + b'{"is": "something else", "at": 1}\n')
    with pytest.raises(HistoryError, match=r"history\.jsonl:2: "):
        list(read(file))


def test_a_later_version_of_the_format_is_refused(tmp_path: Path):
    file = tmp_path / "history.jsonl"
    write(file, [Began(at=1.0, version=99)])
    with pytest.raises(HistoryError, match="version 99"):
        list(read(file))


def test_several_writers_become_one_history_and_each_keeps_its_order():
    late = [Step(at=5.0, name="a"), Step(at=3.0, name="b"), Step(at=6.0, name="c")]
    other = [Process(at=4.0, name="node-1", running=True), Process(at=5.5, name="x", running=True)]
    assert list(merged(late, other)) == [other[0], late[0], late[1], other[1], late[2]]


def test_a_cluster_s_history_has_what_its_supervisor_wrote(tmp_path: Path):
    own, other = tmp_path / "history.jsonl", tmp_path / "run.jsonl"
    told: list[Record] = [
        Began(at=2.0, source="cluster"),
        Step(at=4.0, name="b"),
        Step(at=3.0, name="c"),
    ]
    for path in (own, other):
        write(path, told)
    assert list(whole(own)) == told
    beside: list[Record] = [
        Began(at=1.0, source="supervisor"),
        Step(at=3.5, name="a"),
        Step(at=9.0, name="d"),
    ]
    write(tmp_path / "history-supervisor.jsonl", beside)
    assert list(whole(own)) == [beside[0], told[0], beside[1], *told[1:], beside[2]]
    assert list(whole(other)) == told


def test_a_change_of_leaders_that_one_tells_late_is_told_once_and_in_order():
    first = Leads(at=1.0, lease="ns/l", holder="a", transitions=1, revision=5)
    second = Leads(at=3.0, lease="ns/l", holder="b", transitions=2, revision=9)
    behind = [replace(first, at=3.5), replace(second, at=4.0)]
    both = [one for one in merged([second], behind) if isinstance(one, Leads)]
    assert [one.holder for one in both] == ["a", "b"]
    assert list(merged([first, second], behind)) == [first, second]


def test_a_record_names_itself():
    assert msgspec.json.decode(encode(RECORDS[1]))["is"] == "fault"


def test_a_tail_reads_what_is_new_and_what_was_begun_anew(tmp_path: Path):
    file = tmp_path / "history.jsonl"
    tail = Tail(file)
    assert list(tail.read()) == []
    torn = encode(RECORDS[2])
    file.write_bytes(encode(RECORDS[0]) + encode(RECORDS[1]) + torn[:20])
    assert list(tail.read()) == RECORDS[:2]
    with file.open("ab") as more:
        more.write(torn[20:])
    assert list(tail.read()) == RECORDS[2:3]
    file.rename(tmp_path / "history.jsonl.1")
    file.write_bytes(encode(RECORDS[3]))
    assert list(tail.read()) == RECORDS[3:4]
    assert list(tail.read()) == []


SECRET = {
    "metadata": {
        "name": "s",
        "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": '{"stringData":{"p":"hunter2"}}',
            "mine": "stays",
        },
    },
    "data": {"password": "aHVudGVyMg=="},
    "stringData": {"password": "hunter2"},
    "type": "Opaque",
}


@pytest.mark.parametrize("raw", [False, True], ids=["tree", "bytes of the store"])
@pytest.mark.parametrize("name", ["history.jsonl", "history.jsonl.gz"])
def test_values_of_secrets_are_in_no_file(tmp_path: Path, name: str, raw: bool):
    made: Any = msgspec.Raw(msgspec.json.encode(SECRET)) if raw else SECRET
    write(
        tmp_path / name,
        [Write(at=1.0, revision=7, verb=Verb.CREATE, resource="secrets", name="s", object=made)],
    )
    opener = gzip.open if name.endswith(".gz") else open
    with opener(tmp_path / name, "rb") as file:
        text = file.read()
    assert b"hunter2" not in text
    assert b"aHVudGVyMg" not in text
    (record,) = read(tmp_path / name)
    assert isinstance(record, Write)
    assert record.object["data"] == {"password": "REDACTED"}
    assert record.object["metadata"]["annotations"]["mine"] == "stays"
    assert record.object["type"] == "Opaque"


@pytest.mark.parametrize("name", ["history.jsonl", "history.jsonl.gz"])
def test_a_history_is_for_its_owner(tmp_path: Path, name: str):
    write(tmp_path / name, RECORDS)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
