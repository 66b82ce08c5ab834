"""The story of a violation: what concerns its objects, and what was done to the cluster."""

from typing import Any

import pytest
from msgspec.structs import replace

from kubeherd.chaos.story import Story
from kubeherd.chaos.telling import words
from kubeherd.faults import Component, Fault
from kubeherd.faults.effects import Crash
from kubeherd.history import (
    Actor,
    Began,
    FaultBegan,
    Record,
    Request,
    Step,
    Told,
    Verb,
    Violation,
    Write,
)


def write(resource: str, name: str, namespace: str = "", **tree: Any) -> Write:
    return Write(
        at=3.0, revision=7, verb=Verb.UPDATE, resource=resource, namespace=namespace, name=name,
        object={"metadata": {"name": name}, **tree}, actor=Actor(user="me"),
    )  # fmt: skip


FAULT = Fault(id="f", target=Component("apiserver"), effect=Crash())
TAINTS = [{"key": "k", "effect": "NoExecute"}]
RECORDS: list[Record] = [
    Began(at=1.0),
    FaultBegan(at=2.0, fault=FAULT),
    write("nodes", "n", spec={"taints": TAINTS}),
    write("nodes", "other"),
    write("pods", "p", "x", status={"phase": "Running"}, spec={"nodeName": "n"}),
    Request(at=4.0, until=4.1, client="c", verb="get", resource="nodes", name="n", status=200),
    Request(at=4.0, until=4.1, client="c", verb="list", resource="pods", status=200),
    Told(at=4.5, observer="o", watch=1, resource="pods", type="ADDED", name="q"),
    Step(at=5.0, name="heal", text="everything is healed"),
]


def story(*objects: str, text: str = "t") -> list[str]:
    one = Story()
    for record in RECORDS:
        one.see(record)
    one.end(Violation(at=5.0, promise="p", text=text, objects=objects))
    return [line.split(" s  ", 1)[1] for line in one.lines]


def test_it_tells_of_the_objects_of_the_violation_and_of_all_that_was_done():
    assert story("nodes n") == [
        "fault  crash apiserver",
        "update nodes n (not ready, taint k:NoExecute) by me",
        "asked  get nodes n: 200",
        "step   heal everything is healed",
    ]
    assert story("pods x/p")[1] == "update pods x/p (Running, on n) by me"


def test_without_objects_it_tells_everything_but_requests_of_other_resources():
    others = {line for line in story() if line.startswith(("asked", "told"))}
    assert not others
    assert story(text="c lists pods at 3 after 5")[-3:-1] == [
        "asked  list pods: 200",
        "told   ADDED pods q (o)",
    ]


@pytest.mark.parametrize("tree", [{}, {"spec": None}, {"spec": [], "status": "x"}])
def test_objects_of_strange_shapes_are_told_too(tree: dict[str, Any]):
    for resource in ("pods", "nodes", "leases.coordination.k8s.io", "events", "configmaps"):
        assert words(replace(write(resource, "a"), object=tree))
