"""What `kubeherd watch` shows of a herd, as lines of styled text. Pure.

From the top: how the herd is, its nodes, its rollouts and what holds them up, faults, and as much
of the news as there is room for. A few nodes have a line each, with their pods; many are a
character each. Names and messages come from the API, so nothing in them reaches the terminal but
what it can print.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum
from functools import lru_cache
from itertools import groupby
from typing import Final, NamedTuple, TypeAlias

from kubeherd.herd.herd import Herd
from kubeherd.herd.model import Cell, Health, Look, News, Rollout, Tile, natural

BAR: Final = 20
_FEW_NEWS: Final = 4
"""Lines that news get even if nodes and rollouts want them."""
_NAME: Final = 24
_WIDE: Final = 100


class Style(Enum):
    """How text is shown; the value is the SGR parameters of a terminal."""

    PLAIN = ""
    BOLD = "1"
    DIM = "2"
    GOOD = "32"
    BAD = "31"
    WARN = "33"
    COLD = "36"
    HURT = "35"


class Span(NamedTuple):
    """Text of one style."""

    text: str
    style: Style = Style.PLAIN
    colour: int = -1
    """The number of a revision, which has a colour of its own; negative: that of the style."""


Line: TypeAlias = Sequence[Span]

PALETTE: Final = (33, 208, 141, 37, 220, 205, 70, 174)
"""Colours of revisions (of 256) that the colour-blind can tell apart; the shape says the state."""

_HEALTH: Final = {
    Health.READY: Span("●", Style.GOOD),
    Health.NOT_READY: Span("✗", Style.BAD),
    Health.UNREACHABLE: Span("?", Style.WARN),
    Health.GONE: Span("·", Style.DIM),
}
_CORDONED: Final = {health: sign._replace(text="○") for health, sign in _HEALTH.items()}
_HURT: Final = Span("!", Style.HURT)
_LOOKS: Final = {
    Look.WAITING: "▁",
    Look.RUNNING: "▄",
    Look.READY: "█",
    Look.TERMINATING: "▒",
    Look.SUCCEEDED: "✓",
    Look.FAILED: "×",
}
_NEWS: Final = {
    "warning": Style.WARN,
    "violation": Style.BAD,
    "fault": Style.HURT,
    "leader": Style.COLD,
    "process": Style.COLD,
    "step": Style.BOLD,
}


def screen(herd: Herd, width: int, height: int, now: float, note: str = "") -> list[Line]:
    """The lines, at most `height`, each at most `width` wide; `note` is shown at the top."""
    colours = colours_of(herd)
    top = [_headline(herd, note), *_legend(width)]
    active = list(_rollouts(herd, colours, width))
    faults = [_fault(herd, one, now) for one in herd.faults]
    below = [*_section("ROLLOUTS", active), *_section("FAULTS", faults)]
    room = max(height - len(top) - len(below) - _FEW_NEWS - 1, 1)
    nodes = list(_nodes(herd, colours, width, room, now))
    lines = [*top, *nodes, *below]
    left = height - len(lines) - 1
    if left > 0:
        news = [_news(one) for one in list(herd.news)[-left:]]
        lines += _section("NEWS", news)
    return [clipped(line, width) for line in lines[:height]]


def colours_of(herd: Herd) -> dict[tuple[str, str], int]:
    """A number for each revision of a pod's owner, which stays as long as its rollout lists it."""
    found: dict[tuple[str, str], int] = {}
    for rollout in herd.rollouts.values():
        for number, revision in enumerate(rollout.revisions):
            colour = (revision.number or number) % len(PALETTE)
            found[rollout.key, revision.hash] = colour
            found[f"ReplicaSet {rollout.namespace}/{revision.object}", revision.hash] = colour
    return found


def _headline(herd: Herd, note: str) -> Line:
    count = dict.fromkeys(Health, 0)
    for tile in herd.nodes.values():
        count[tile.health] += 1
    pods = list(herd.pods())
    ready = sum(pod.look is Look.READY for pod in pods)
    sick = count[Health.NOT_READY] + count[Health.UNREACHABLE]
    spans = [
        Span(f"{len(herd.nodes) - count[Health.GONE]} nodes", Style.BOLD),
        Span(f"  {count[Health.READY]} ready", Style.GOOD),
        Span(f"  {sick} not", Style.BAD if sick else Style.DIM),
        Span(f"   {len(pods)} pods", Style.BOLD),
        Span(f"  {ready} ready", Style.GOOD),
    ]
    waiting = len(herd.unbound)
    if waiting:
        spans.append(Span(f"  {waiting} without a node", Style.WARN))
    if herd.faults:
        faults = len(herd.faults)
        spans.append(Span(f"   {faults} fault{'s' * (faults != 1)}", Style.HURT))
    spans.append(Span(f"   revision {herd.revision}", Style.DIM))
    if note:
        spans.append(Span(f"   {note}", Style.WARN))
    return spans


def _legend(width: int) -> Iterator[Line]:
    if width >= _WIDE:
        signs = "  ".join(f"{sign.text} {health}" for health, sign in _HEALTH.items())
        pods = "  ".join(f"{sign} {look}" for look, sign in _LOOKS.items())
        yield [Span(f"{signs}    pods: {pods}", Style.DIM)]


# --- nodes ---


def _nodes(
    herd: Herd, colours: dict[tuple[str, str], int], width: int, room: int, now: float
) -> Iterator[Line]:
    order = _order(tuple((tile.zone, tile.name) for tile in herd.nodes.values()))
    tiles = [herd.nodes[name] for name in order]
    if len(tiles) <= room:
        yield from (_node_line(tile, colours, now, herd.began.speed or 1.0) for tile in tiles)
        return
    zones: dict[str, list[Tile]] = {}
    for tile in tiles:
        zones.setdefault(tile.zone, []).append(tile)
    shown = [line for zone, members in zones.items() for line in _zone(zone, members, width)]
    yield from shown[:room]
    if len(shown) > room:
        yield [Span(f"… {len(shown) - room} more lines", Style.DIM)]


@lru_cache(maxsize=1)
def _order(places: tuple[tuple[str, str], ...]) -> Sequence[str]:
    """Names of nodes by zone and as people count; they are the same from one look to the next."""
    return [name for _, name in sorted(places, key=lambda place: (place[0], natural(place[1])))]


def _node_line(tile: Tile, colours: dict[tuple[str, str], int], now: float, speed: float) -> Line:
    sign = _HEALTH[tile.health]
    beat = f"{max(now - tile.beat, 0.0):3.0f}s" if tile.beat else "   -"
    spans = [sign._replace(text=f"{sign.text} "), Span(f"{tile.name:{_NAME}.{_NAME}} ")]
    spans.append(Span(f"{tile.health:11} ", sign.style))
    spans.append(
        Span(f"♥{beat} ", Style.WARN if tile.beat and late(tile, now, speed) else Style.DIM)
    )
    spans += [_cell(pod, colours) for pod in tile.pods.values()]
    if tile.cordoned:
        spans.append(Span(" cordoned", Style.WARN))
    if tile.process:
        spans.append(Span(f" {tile.process}", Style.BAD))
    if tile.faults:
        spans.append(Span(f" {', '.join(tile.faults)}", Style.HURT))
    if tile.zone:
        spans.append(Span(f"  {tile.zone}", Style.DIM))
    return spans


def late(tile: Tile, now: float, speed: float) -> bool:
    """Whether no heartbeat came for longer than the 40 nominal seconds of a node's grace period
    allow (half of it)."""
    return (now - tile.beat) * speed > 20


def _cell(pod: Cell, colours: dict[tuple[str, str], int]) -> Span:
    colour = colours.get((pod.owner, pod.revision), -1)
    if pod.look is Look.FAILED:
        return Span(_LOOKS[pod.look], Style.BAD)
    return Span(_LOOKS[pod.look], Style.PLAIN, colour)


def _zone(zone: str, tiles: Sequence[Tile], width: int) -> Iterator[Line]:
    """Nodes of one zone, a sign each."""
    ready = sum(tile.health is Health.READY for tile in tiles)
    title = f"{zone or 'no zone'}: {ready}/{len(tiles)} ready"
    yield [Span(title, Style.DIM)]
    for start in range(0, len(tiles), width):
        signs = groupby(map(_sign, tiles[start : start + width]))
        yield [sign._replace(text=sign.text * len(list(same))) for sign, same in signs]


def _sign(tile: Tile) -> Span:
    if tile.process or tile.faults:
        return _HURT
    return _CORDONED[tile.health] if tile.cordoned else _HEALTH[tile.health]


# --- the rest ---


def _section(title: str, lines: Sequence[Line]) -> list[Line]:
    return [[Span(title, Style.DIM)], *lines] if lines else []


def _rollouts(herd: Herd, colours: dict[tuple[str, str], int], width: int) -> Iterator[Line]:
    owned = {of for one in herd.rollouts.values() for of in one.owners - {one.key}}
    shown = [one for one in herd.rollouts.values() if one.key not in owned]
    name = min(max((len(one.key) for one in shown), default=0), width // 3)
    for rollout in sorted(shown, key=lambda one: (one.done, one.key)):
        yield [Span(f"{rollout.key:{name}.{name}} "), *_progress(rollout, colours, width)]
        for reason in herd.holds_up(rollout):
            yield [Span(f"    {reason}", Style.WARN)]


def _progress(rollout: Rollout, colours: dict[tuple[str, str], int], width: int) -> Iterator[Span]:
    style = Style.GOOD if rollout.done else Style.WARN
    share = min(rollout.updated / rollout.desired, 1.0) if rollout.desired else 1.0
    length = BAR if width >= _WIDE else BAR // 4
    full = round(share * length)
    newest = rollout.revisions[-1] if rollout.revisions else None
    colour = colours.get((rollout.key, newest.hash), -1) if newest else -1
    yield Span("█" * full, Style.PLAIN, colour)
    yield Span("░" * (length - full), Style.DIM)
    yield Span(
        f" {rollout.updated}/{rollout.desired} updated, {rollout.available} available", style
    )
    if rollout.budget or rollout.surge:
        spent = f"{rollout.unavailable}/{rollout.budget} down"
        surge = f", +{rollout.surge}" if rollout.surge else ""
        yield Span(f", budget {spent}{surge}", Style.DIM)
    if newest is not None:
        yield Span(f"  r{newest.number} {' '.join(newest.images)}", Style.DIM)


def _fault(herd: Herd, fault_id: str, now: float) -> Line:
    fault = herd.faults[fault_id]
    since = f"{max(now - fault.at, 0):.0f}s" if fault.at else ""
    return [
        Span(f"{fault.id:12} ", Style.HURT),
        Span(f"{fault} "),
        Span(f"{since}  undo: kubeherd fault undo {fault.id}", Style.DIM),
    ]


def _news(news: News) -> Line:
    return [
        Span(f"{clock(news.at)} ", Style.DIM),
        Span(f"{news.about + ': ' if news.about else ''}"),
        Span(news.text, _NEWS.get(news.what, Style.PLAIN)),
    ]


def clock(at: float) -> str:
    """A moment as people of this machine read it."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def clipped(line: Line, width: int) -> Line:
    """At most so many characters of a line, none of which does anything to a terminal."""
    found: list[Span] = []
    for span in line:
        text = printable(span.text)[:width]
        width -= len(text)
        if text:
            found.append(span._replace(text=text))
    return found


def printable(text: str) -> str:
    """Text without what a terminal would obey instead of showing it."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else "�" for one in text)


def sgr(line: Line, *, colour: bool = True) -> str:
    """A line as a terminal takes it."""
    if not colour:
        return "".join(span.text for span in line)
    parts = []
    for span in line:
        code = f"38;5;{PALETTE[span.colour]}" if span.colour >= 0 else span.style.value
        parts.append(f"\x1b[{code}m{span.text}\x1b[0m" if code else span.text)
    return "".join(parts)
