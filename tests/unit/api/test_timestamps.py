"""Times as Kubernetes writes them."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import example, given
from hypothesis import strategies as st

from kubeherd.cluster.api.timestamps import format_time

EAST = timezone(timedelta(hours=2))


@given(st.datetimes(timezones=st.sampled_from([UTC, EAST]), min_value=datetime(2, 1, 1)))
@example(datetime(1, 1, 1, 12, tzinfo=UTC))
@example(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
def test_a_time_has_whole_seconds_in_utc(moment: datetime) -> None:
    in_utc = moment.astimezone(UTC).replace(microsecond=0)
    assert format_time(moment) == f"{in_utc.isoformat().removesuffix('+00:00')}Z"
