"""Cron schedules as Kubernetes reads them: github.com/robfig/cron v3, five fields.

`problem` words what is wrong with a schedule exactly as that library does.
"""

import re

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_BOUNDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
"""Least, most and names of minute, hour, day of the month, month and day of the week."""

_DESCRIPTORS = frozenset(
    ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
)
_PIECE = r"(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)"
_DURATION = re.compile(rf"[+-]?({_PIECE})+")


class _Bad(ValueError):
    """The text of the problem."""


def problem(schedule: str) -> str:
    """What is wrong with a schedule, or ""."""
    text = schedule
    if text.startswith(("TZ=", "CRON_TZ=")):
        text = text.partition(" ")[2].strip()
    if text.startswith("@"):
        return _descriptor_problem(text)
    fields = text.split()
    if len(fields) != len(_BOUNDS):
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    try:
        for field, bounds in zip(fields, _BOUNDS, strict=True):
            for part in filter(None, field.split(",")):
                _check(part, *bounds)
    except _Bad as error:
        return str(error)
    return ""


def _descriptor_problem(text: str) -> str:
    if text in _DESCRIPTORS:
        return ""
    every, _, duration = text.partition(" ")
    if every == "@every" and " " in text:
        if _DURATION.fullmatch(duration):
            return ""
        return f'failed to parse duration {text}: time: invalid duration "{duration}"'
    return f"unrecognized descriptor: {text}"


def _check(part: str, least: int, most: int, names: dict[str, int]) -> None:
    pieces = part.split("/")
    ends = pieces[0].split("-")
    if ends[0] in ("*", "?"):
        start, end = least, most
    else:
        start = _number(ends[0], names)
        if len(ends) > 2:
            raise _Bad(f"too many hyphens: {part}")
        end = _number(ends[-1], names)
    if len(pieces) > 2:
        raise _Bad(f"too many slashes: {part}")
    step = 1
    if len(pieces) == 2:
        step = _number(pieces[1], {})
        if len(ends) == 1:
            end = most
    if start < least:
        raise _Bad(f"beginning of range ({start}) below minimum ({least}): {part}")
    if end > most:
        raise _Bad(f"end of range ({end}) above maximum ({most}): {part}")
    if start > end:
        raise _Bad(f"beginning of range ({start}) beyond end of range ({end}): {part}")
    if step == 0:
        raise _Bad(f"step of range should be a positive number: {part}")


def _number(text: str, names: dict[str, int]) -> int:
    named = names.get(text.lower())
    if named is not None:
        return named
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise _Bad(
            f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'
        )
    if int(text) < 0:
        raise _Bad(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)
