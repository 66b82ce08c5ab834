"""When a Job is deleted after its end: TestTimeLeft of ttlafterfinished_controller_test.go."""

import pytest
from job_world import at, job, now

from kubeherd.cluster.api.objects import Condition
from kubeherd.controller.ttlafterfinished.plan import NoTimeOfEnd, needs_cleanup, time_left_s
from kubeherd.controller.workload.jobs import Job, JobStatus


def ended(
    ttl: int | None, *conditions: tuple[str, str, float | None], deleting: bool = False
) -> Job:
    found = [
        Condition(type=kind, status=status, last_transition_time=None if s is None else at(s))
        for kind, status, s in conditions
    ]
    status = JobStatus(conditions=found)
    return job(ttl_seconds_after_finished=ttl, status=status, deleting=deleting)


@pytest.mark.parametrize(
    ("of", "at_s", "expected"),
    [
        (ended(None, ("Complete", "True", 0)), 9, None),
        (ended(10), 9, None),
        (ended(10, ("Complete", "True", 100)), 105, 5),
        (ended(10, ("Failed", "True", 100)), 110, 0),
        (ended(10, ("Complete", "True", 100)), 115, -5),
        (ended(0, ("Complete", "True", 100)), 100, 0),
        (ended(10, ("Complete", "True", 100)), 90, 20),
        (ended(10, ("Failed", "False", 0), ("Complete", "True", 100)), 105, 5),
        (ended(10, ("SuccessCriteriaMet", "True", 100)), 105, None),
        (ended(10, ("Complete", "True", 100), deleting=True), 115, None),
    ],
)
def test_the_time_that_is_left(of: Job, at_s: float, expected: float | None) -> None:
    assert time_left_s(of, now(at_s).age_s) == expected
    assert needs_cleanup(of) is (expected is not None)


def test_an_end_without_a_time_is_an_error() -> None:
    of = ended(10, ("Complete", "True", None))
    with pytest.raises(NoTimeOfEnd, match="unable to find the time when the Job ns/job finished"):
        time_left_s(of, now(0).age_s)
