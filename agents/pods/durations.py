"""Durations as Go prints them: the texts of events and messages quote them."""


def go_duration(seconds: float) -> str:
    """`0s`, `250ms`, `1.5s`, `1m20s`, `2h0m0s`."""
    if seconds <= 0:
        return "0s"
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    text = f"{round(rest, 3):g}s"
    if minutes < 1:
        return text
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}"
