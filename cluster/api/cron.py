"""Cron schedules as Kubernetes reads them: github.com/robfig/cron v3, five fields. Pure.

`parse` words what is wrong with a schedule exactly as that library does, and what it returns gives
the same moments, where clocks are put forward or back too: an hour that the zone leaves out runs
nothing, one that it has twice runs twice. No field is finer than a minute, no moment than a second.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo

import msgspec

from kubeherd.cluster.api import goduration

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class _Bounds(msgspec.Struct, frozen=True):
    """What a field may hold."""

    least: int
    most: int
    names: dict[str, int] = {}


_FIELDS = (
    _Bounds(0, 59),
    _Bounds(0, 23),
    _Bounds(1, 31),
    _Bounds(1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Bounds(0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
"""Minute, hour, day of the month, month and day of the week."""

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "
_SECOND = timedelta(seconds=1)
_NANO = 10**9
_HOUR_S, _DAY_S = 3600, 86400
_EPOCH = datetime.fromtimestamp(0, UTC)
_YEARS_AHEAD = 5
"""A schedule that matches nothing in so many years is taken to match nothing at all."""


class InvalidSchedule(ValueError):
    """What is wrong with a schedule or a time zone, in the library's words."""


class Every(msgspec.Struct, frozen=True):
    """``@every``: a constant delay, whole seconds."""

    delay_s: int

    def next_after(self, moment: datetime) -> datetime | None:
        """The whole second so long after the one in which the (aware) moment is."""
        return moment.replace(microsecond=0) + timedelta(seconds=self.delay_s)


class Fields(msgspec.Struct, frozen=True):
    """A schedule of five fields, in a time zone."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    """Neither field of days has a star: it is enough that one of them matches."""
    zone: tzinfo

    def next_after(self, moment: datetime) -> datetime | None:
        """The first moment of the schedule after an aware moment, in UTC; None if there is none.

        From the month down to the minute, each unit that does not match is moved on until it does;
        where that carries into a greater unit, everything is looked at again from the month down.
        """
        if not (self.minutes and self.hours and self.months):
            return None
        at = _Cursor(self.zone, (moment - _EPOCH) // _SECOND + 1)
        last_year = at.wall().year + _YEARS_AHEAD
        while at.wall().year <= last_year:
            if self._month(at) and self._day(at) and self._hour(at) and self._minute(at):
                return datetime.fromtimestamp(at.seconds, UTC)
        return None

    # Each of these moves on to the next match of its unit; False if that carried.

    def _month(self, at: "_Cursor") -> bool:
        while (wall := at.wall()).month not in self.months:
            if at.begin():
                at.put(wall.replace(day=1, hour=0, minute=0, second=0))
                wall = at.wall()
            first = wall.replace(
                year=wall.year + wall.month // 12, month=wall.month % 12 + 1, day=1
            )
            at.put(first + timedelta(days=wall.day - 1))
            if at.wall().month == 1:
                return False
        return True

    def _day(self, at: "_Cursor") -> bool:
        while not self._matches_day(wall := at.wall()):
            if at.begin():
                at.put(wall.replace(hour=0, minute=0, second=0))
                wall = at.wall()
            at.next_day(wall)
            if at.wall().day == 1:
                return False
        return True

    def _matches_day(self, wall: datetime) -> bool:
        of_month, of_week = wall.day in self.days, wall.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either_day else of_month and of_week

    def _hour(self, at: "_Cursor") -> bool:
        while (wall := at.wall()).hour not in self.hours:
            if at.begin():
                at.put(wall.replace(minute=0, second=0))
            at.seconds += _HOUR_S
            if at.wall().hour == 0:
                return False
        return True

    def _minute(self, at: "_Cursor") -> bool:
        while at.wall().minute not in self.minutes:
            if at.begin():
                at.seconds -= at.seconds % 60
            at.seconds += 60
            if at.wall().minute == 0:
                return False
        second = at.wall().second
        if second:
            at.begin()
            at.seconds += 60 - second
        return not second


Schedule = Every | Fields


class _Cursor:
    """A moment (seconds since 1970) that is moved on, and whether its smaller units are reset."""

    def __init__(self, zone: tzinfo, seconds: int) -> None:
        self.seconds = seconds
        self._zone = zone
        self._begun = False

    def begin(self) -> bool:
        """Whether this is the first move: the smaller units are then to be put to their start."""
        first, self._begun = not self._begun, True
        return first

    def wall(self) -> datetime:
        """What the clocks of the zone show, as a naive time."""
        return datetime.fromtimestamp(self.seconds, self._zone).replace(tzinfo=None, fold=0)

    def put(self, wall: datetime) -> None:
        """Go to where the zone's clocks show this. As Go's time.Date: of two such moments, or if
        there is none, one by the offset that holds about then."""
        seconds = (wall.replace(tzinfo=UTC) - _EPOCH) // _SECOND
        self.seconds = seconds - self._offset_s(seconds - self._offset_s(seconds))

    def next_day(self, wall: datetime) -> None:
        """Go to the start of the next day, also where its midnight is left out."""
        before = self.seconds
        self.put(wall + timedelta(days=1))
        hour = self.wall().hour
        if hour:
            self.seconds += (24 - hour if hour > 12 else -hour) * _HOUR_S
        if self.seconds <= before:  # a zone that left out a whole day: there the library hangs
            self.seconds = before + _DAY_S

    def _offset_s(self, seconds: int) -> int:
        offset = datetime.fromtimestamp(seconds, self._zone).utcoffset() or timedelta()
        return offset // _SECOND


def zone(name: str) -> tzinfo:
    """A time zone by its name, as Go's time.LoadLocation; InvalidSchedule if it is not known.

    That of the machine (``Local``) is UTC here, as in the images of Kubernetes.
    """
    if name in ("", "UTC", "Local"):
        return UTC
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - for a field that few CronJobs have

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidSchedule(f"unknown time zone {name}") from None


def parse(schedule: str) -> Schedule:
    """A schedule as text, also with ``TZ=`` before it; InvalidSchedule if it is none."""
    if not schedule:
        raise InvalidSchedule("empty spec string")
    text, location = schedule, zone("")
    if text.startswith(("TZ=", "CRON_TZ=")):
        head, space, text = text.partition(" ")
        if not space:  # the library runs out of its string
            problem = "slice bounds out of range [:-1]"
            raise InvalidSchedule(f"invalid schedule format: runtime error: {problem}")
        location, text = _named_zone(head.partition("=")[2]), text.strip()
    if text.startswith("@"):
        text = _described(text)
        if text.startswith(_EVERY):
            return _every(text)
    return _of_fields(text.split(), location)


def problem(schedule: str) -> str:
    """What is wrong with a schedule, or ""."""
    try:
        parse(schedule)
    except InvalidSchedule as error:
        return str(error)
    return ""


def _named_zone(name: str) -> tzinfo:
    try:
        return zone(name)
    except InvalidSchedule as error:
        raise InvalidSchedule(f"provided bad location {name}: {error}") from None


def _described(text: str) -> str:
    """The fields that a descriptor stands for; ``@every ...`` stays as it is."""
    if text.startswith(_EVERY):
        return text
    if text not in _DESCRIPTORS:
        raise InvalidSchedule(f"unrecognized descriptor: {text}")
    return _DESCRIPTORS[text]


def _every(text: str) -> Every:
    try:
        nanos = goduration.nanoseconds(text.removeprefix(_EVERY))
    except ValueError as error:
        raise InvalidSchedule(f"failed to parse duration {text}: {error}") from None
    return Every(max(1, nanos // _NANO))


def _of_fields(fields: list[str], location: tzinfo) -> Fields:
    if len(fields) != len(_FIELDS):
        found = f"found {len(fields)}: [{' '.join(fields)}]"
        raise InvalidSchedule(f"expected exactly {len(_FIELDS)} fields, {found}")
    read = [_field(field, bounds) for field, bounds in zip(fields, _FIELDS, strict=True)]
    (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = read
    either_day = not (any_day or any_weekday)
    return Fields(minutes, hours, days, months, weekdays, either_day, location)


def _field(field: str, bounds: _Bounds) -> tuple[frozenset[int], bool]:
    """What a field holds, and whether a star is in it."""
    ranges = [_range(part, bounds) for part in field.split(",") if part]
    values = frozenset(value for found, _ in ranges for value in found)
    return values, any(star for _, star in ranges)


def _range(part: str, bounds: _Bounds) -> tuple[range, bool]:
    """What one range of a field holds, and whether it is a star (of steps of one)."""
    pieces = part.split("/")
    ends = pieces[0].split("-")
    star = ends[0] in ("*", "?")
    if star:
        start, end = bounds.least, bounds.most
    else:
        start = _number(ends[0], bounds.names)
        if len(ends) > 2:
            raise InvalidSchedule(f"too many hyphens: {part}")
        end = _number(ends[-1], bounds.names)
    if len(pieces) > 2:
        raise InvalidSchedule(f"too many slashes: {part}")
    step = 1
    if len(pieces) == 2:
        step = _number(pieces[1], {})
        if len(ends) == 1:
            end = bounds.most
    _check(part, (start, end, step), bounds)
    return range(start, end + 1, step), star and step == 1


def _check(part: str, given: tuple[int, int, int], bounds: _Bounds) -> None:
    start, end, step = given
    if start < bounds.least:
        what = f"beginning of range ({start}) below minimum ({bounds.least})"
    elif end > bounds.most:
        what = f"end of range ({end}) above maximum ({bounds.most})"
    elif start > end:
        what = f"beginning of range ({start}) beyond end of range ({end})"
    elif step == 0:
        what = "step of range should be a positive number"
    else:
        return
    raise InvalidSchedule(f"{what}: {part}")


def _number(text: str, names: dict[str, int]) -> int:
    named = names.get(text.lower())
    if named is not None:
        return named
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise InvalidSchedule(
            f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'
        )
    if int(text) < 0:
        raise InvalidSchedule(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)
