"""Ready, available, terminal (spec daemonset-controller 8.1)."""

from kubeherd.cluster.api.helpers import podutil
from kubeherd.cluster.api.objects import Condition, ObjectMeta, Pod, PodStatus

AGES = {"2026-01-01T00:00:00Z": 10.0}


def pod(status: str = "True", since: str | None = "2026-01-01T00:00:00Z") -> Pod:
    condition = Condition(type="Ready", status=status, last_transition_time=since)
    return Pod(status=PodStatus(phase="Running", conditions=[condition]))


def test_availability_is_readiness_for_long_enough() -> None:
    assert podutil.is_available(pod(), 0, AGES.__getitem__)
    assert podutil.is_available(pod(), 10, AGES.__getitem__)
    assert not podutil.is_available(pod(), 11, AGES.__getitem__)


def test_an_unready_pod_is_never_available() -> None:
    assert not podutil.is_available(pod("False"), 0, AGES.__getitem__)
    assert not podutil.is_available(Pod(), 0, AGES.__getitem__)


def test_ready_without_a_time_is_available_only_without_min_ready() -> None:
    assert podutil.is_available(pod(since=None), 0, AGES.__getitem__)
    assert not podutil.is_available(pod(since=None), 1, AGES.__getitem__)


def test_terminal_and_terminating() -> None:
    failed = Pod(status=PodStatus(phase="Failed"))
    deleted = Pod(metadata=ObjectMeta(deletion_timestamp="2026-01-01T00:00:00Z"))
    assert podutil.is_terminal(failed)
    assert not podutil.is_terminating(failed)
    assert podutil.is_terminating(deleted)
    assert not podutil.is_active(failed)
    assert not podutil.is_active(deleted)
    assert podutil.is_active(pod())
