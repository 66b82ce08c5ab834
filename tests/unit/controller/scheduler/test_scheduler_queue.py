"""The queue of pods that wait for a node: order, back-off, and which events wake which pods."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeherd.controller.scheduler.queue import Part, SchedulingQueue, backoff_s

KEY = ("ns", "p")


def test_pods_come_out_by_priority_then_by_age() -> None:
    queue = SchedulingQueue()
    for name, priority, now_s in (("low", 0, 0.0), ("late", 5, 2.0), ("early", 5, 1.0)):
        queue.add(("ns", name), priority, now_s)
    assert [queue.pop(3.0) for _ in range(4)] == [
        ("ns", "early"),
        ("ns", "late"),
        ("ns", "low"),
        None,
    ]


@pytest.mark.parametrize(
    ("attempts", "delay_s"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (500, 10.0)]
)
def test_backoff_doubles_up_to_10_s(attempts: int, delay_s: float) -> None:
    assert backoff_s(attempts) == delay_s


def failed_once(nodes: frozenset[str] | None = None, plugin: str = "NodePorts") -> SchedulingQueue:
    queue = SchedulingQueue()
    queue.add(KEY, 0, 0.0)
    assert queue.pop(0.0) == KEY
    queue.failed(KEY, 0.0, {plugin}, nodes)
    return queue


def test_without_an_event_the_next_try_comes_after_5_minutes() -> None:
    queue = failed_once()
    assert queue.next_s() == 300.0
    assert queue.pop(299.9) is None
    assert queue.pop(300.0) == KEY


def test_an_event_during_back_off_waits_for_its_end() -> None:
    queue = failed_once()
    queue.wake_for_node("a", 0.5)
    assert queue.part(KEY) is Part.BACKOFF
    assert queue.pop(0.9) is None
    assert queue.pop(1.0) == KEY


def test_an_event_after_back_off_counts_at_once() -> None:
    queue = failed_once()
    queue.wake_for_node("a", 20.0)
    assert queue.pop(20.0) == KEY


def test_events_that_cannot_help_wake_nobody() -> None:
    queue = failed_once(frozenset({"mine"}))
    queue.wake_for_node("other", 20.0)
    assert queue.part(KEY) is Part.UNSCHEDULABLE
    queue.wake_for_node("mine", 20.0, frozenset({"NodeResourcesFit"}))
    assert queue.part(KEY) is Part.UNSCHEDULABLE
    queue.wake_for_node("mine", 20.0, frozenset({"NodePorts"}))
    assert queue.part(KEY) is Part.ACTIVE


def test_an_error_backs_off_by_itself_and_the_attempts_add_up() -> None:
    queue = SchedulingQueue()
    queue.add(KEY, 0, 0.0)
    queue.pop(0.0)
    queue.failed(KEY, 0.0, retry=True)
    assert queue.pop(1.0) == KEY
    queue.failed(KEY, 1.0, retry=True)
    assert queue.pop(2.9) is None
    assert queue.pop(3.0) == KEY


def test_a_discarded_pod_does_not_come_back() -> None:
    queue = failed_once()
    queue.discard(KEY)
    queue.wake_for_node("a", 20.0)
    assert len(queue) == 0
    assert queue.pop(1000.0) is None
    assert queue.next_s() is None


NODES = st.none() | st.frozensets(st.sampled_from("ab"))
PLUGINS = st.frozensets(st.sampled_from(("NodePorts", "TaintToleration")))
STEPS = st.one_of(
    st.tuples(st.just("fail"), st.sampled_from("pqrs"), NODES, PLUGINS),
    st.tuples(st.just("discard"), st.sampled_from("pqrs")),
    st.tuples(st.just("node"), st.sampled_from("ab"), st.none() | PLUGINS),
    st.tuples(st.just("wait"), st.sampled_from((0.5, 20.0, 400.0))),
)


@given(st.lists(STEPS))
def test_a_change_of_a_node_wakes_those_that_a_look_at_all_would(
    steps: list[tuple[Any, ...]],
) -> None:
    """Who waits is looked up by node; here everybody is asked in turn."""
    queue, now_s = SchedulingQueue(), 0.0
    waiting: dict[str, tuple[frozenset[str] | None, frozenset[str]]] = {}
    for step in steps:
        match step:
            case ("fail", name, nodes, plugins):
                queue.discard(("ns", name))
                queue.add(("ns", name), 1000, now_s)
                taken = None
                while taken != ("ns", name):  # others that are due go before
                    taken = queue.pop(now_s)
                    assert taken is not None
                queue.failed(taken, now_s, plugins, nodes)
                waiting[name] = (nodes, plugins)
            case ("discard", name):
                queue.discard(("ns", name))
            case ("node", node, plugins):
                queue.wake_for_node(node, now_s, plugins)
                for name, (nodes, by) in tuple(waiting.items()):
                    concerned = nodes is None or node in nodes
                    if concerned and (plugins is None or not by or by & plugins):
                        del waiting[name]
            case ("wait", seconds):
                now_s += seconds
                while queue.pop(now_s) is not None:
                    pass
        for name in tuple(waiting):  # gone, or tried for the time that it has waited
            if queue.part(("ns", name)) is None:
                del waiting[name]
        unschedulable = {name for name in "pqrs" if queue.part(("ns", name)) is Part.UNSCHEDULABLE}
        assert unschedulable == set(waiting)
