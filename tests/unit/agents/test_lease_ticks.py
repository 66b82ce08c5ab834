"""Leases of a fleet are renewed at common moments, never sooner than asked."""

from hypothesis import given
from hypothesis import strategies as st

from kubeherd.agents.node.lease import on_tick

seconds = st.floats(0, 1e6, allow_nan=False)


@given(seconds, st.floats(0, 100, allow_nan=False))
def test_a_wait_ends_on_a_tick_and_is_less_than_one_longer(now_s: float, wait_s: float) -> None:
    longer_s = on_tick(now_s, wait_s, 0.5)
    assert wait_s <= longer_s < wait_s + 0.5 + 1e-6
    ticks = (now_s + longer_s) / 0.5
    assert abs(ticks - round(ticks)) < 1e-6


def test_without_ticks_a_wait_stays_as_it_is() -> None:
    assert on_tick(3.3, 9.7, 0.0) == 9.7
