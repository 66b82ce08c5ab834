"""Memory that is given back after bursts."""

from kubeherd.cluster.runtime.heap import BURST_S, Bursts, trim


def test_the_calm_after_a_burst_is_noticed_once() -> None:
    bursts = Bursts()
    told = [bursts.over(used_s) for used_s in (0.1, 3.0, 9.0, 5.0, 0.2, 0.1, 0.2)]
    assert told == [False, False, False, False, True, False, False]


def test_who_never_works_hard_is_left_alone() -> None:
    bursts = Bursts()
    assert not any(bursts.over(used_s) for used_s in (0.9 * BURST_S, 0.0) * 5)


def test_steady_work_is_no_burst() -> None:
    bursts = Bursts()
    assert not any(bursts.over(used_s) for used_s in (4.0, 4.5, 3.8, 4.2) * 5)


def test_what_is_free_can_be_given_back() -> None:
    trim()
