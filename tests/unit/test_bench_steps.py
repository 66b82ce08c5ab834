"""The stopwatches of `kubeherd bench --costs`."""

from itertools import pairwise

import pytest

from kubeherd.bench.steps import FUNCTIONS, Meter, Step, metered
from kubeherd.cluster.store.store import Store


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def test_a_step_within_a_step_stops_the_outer_stopwatch():
    clock = Clock()
    meter = Meter(clock)

    def work(amount_ns: int) -> None:
        clock.now_ns += amount_ns

    inner = meter.around(Step.ENCODE, lambda: work(2))

    def stage() -> None:
        work(10)
        inner()
        work(5)
        inner()

    meter.around(Step.STAGE, stage)()
    work(1000)  # of no step
    meter.around(Step.ADMIT, lambda: work(7))()
    spent = {step: round(value * 1e9) for step, value in meter.spent_s().items() if value}
    assert spent == {Step.STAGE: 15, Step.ENCODE: 4, Step.ADMIT: 7}
    meter.reset()
    assert not any(meter.spent_s().values())


def test_a_step_that_fails_is_counted_and_over():
    clock = Clock()
    meter = Meter(clock)

    def fails() -> None:
        clock.now_ns += 3
        raise LookupError

    with pytest.raises(LookupError):
        meter.around(Step.VALIDATE, fails)()
    clock.now_ns += 100
    assert meter.spent_s() == {Step.VALIDATE: 3e-9}


def test_every_function_of_a_step_is_there_and_is_put_back():
    before = Store.put
    with metered(Meter()):
        assert Store.put is not before
    assert Store.put is before


def test_steps_are_in_the_order_of_a_request():
    order = list(Step)
    listed = [order.index(step) for step, _, _ in FUNCTIONS]
    assert all(first <= second for first, second in pairwise(listed))
    assert {step for step, _, _ in FUNCTIONS} == set(Step)
