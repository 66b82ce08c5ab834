"""A picture as an SVG that stands alone: for documents, and to be made a PNG of. Pure.

It is the picture of the HTML page without what a pointer does there; every bar has its text as a
title. Colours are those of the page, light or dark.
"""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Final

from kubeherd.timeline.model import Bar, Kind, Look, Mark, Picture, Piece, Row

WIDTH: Final = 1400
_NAMES, _TOP, _RIGHT, _BEAT, _TITLE = 180, 46, 12, 4, 36
_DENSE_ROWS: Final = 60
_LEGEND: Final = 12
"""Revisions that have a line in the legend."""

REVISIONS: Final = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a5fb5", "#8c9a2b",
    "#b0413e", "#3b8686",
)  # fmt: skip
"""As in timeline.js: colours that the colour-blind can tell apart."""

_LIGHT: Final = {
    "ground": "#ffffff", "ink": "#1c2430", "faint": "#6b7685", "line": "#d9dee5",
    "band": "#f5f7f9", "good": "#2e8b57", "bad": "#c62828", "unknown": "#9aa4b1",
    "fault": "#c62828", "shade": "#5a6473",
}  # fmt: skip
_DARK: Final = {
    "ground": "#14181d", "ink": "#e6eaf0", "faint": "#93a0b0", "line": "#2b333d",
    "band": "#1a2027", "good": "#4cc38a", "bad": "#ff6b6b", "unknown": "#667281",
    "fault": "#ff6b6b", "shade": "#a0acbc",
}  # fmt: skip
_OPACITY: Final = {Look.WAITING: 0.28, Look.RUNNING: 0.55, Look.ENDED: 0.28, Look.TERMINATING: 0.4}


def svg(picture: Picture, *, width: int = WIDTH, dark: bool = False) -> str:
    """The picture, `width` pixels wide and as high as its rows need."""
    drawing = _Drawing(picture, width, _DARK if dark else _LIGHT)
    body = "\n".join(drawing.elements())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{drawing.height:g}" '
        f'viewBox="0 0 {width} {drawing.height:g}" font-family="DejaVu Sans, sans-serif">\n'
        f"{body}\n</svg>\n"
    )


class _Drawing:
    def __init__(self, picture: Picture, width: int, colours: Mapping[str, str]) -> None:
        self._picture = picture
        self._width = width
        self._colours = colours
        dense = len(picture.rows) > _DENSE_ROWS
        self._lane, self._pad = (6, 2) if dense else (14, 4)
        self._rows = sum(self._tall(row) + 1 for row in picture.rows)
        self._explained = picture.revisions[:_LEGEND]
        self.height = _TITLE + _TOP + self._rows + 18 * (len(self._explained) + 1) + 16

    def _tall(self, row: Row) -> float:
        return self._pad * 2 + _BEAT + max(1, row.lanes) * self._lane

    def _x(self, at: float) -> float:
        room = self._width - _NAMES - _RIGHT
        return round(_NAMES + at / self._picture.duration * room, 2)

    def elements(self) -> Iterator[str]:
        yield self._box(0, 0, self._width, self.height, self._colours["ground"])
        yield self._text(12, 24, self._picture.title, size=16, bold=True)
        yield from self._ticks()
        y = float(_TITLE + _TOP)
        for number, row in enumerate(self._picture.rows):
            tall = self._tall(row)
            if number % 2:
                yield self._box(0, y, self._width, tall, self._colours["band"])
            yield from self._row(row, y, tall)
            y += tall + 1
        yield from self._marks()
        yield from self._legend(y + 8)

    def _legend(self, y: float) -> Iterator[str]:
        """What the shades and colours mean."""
        x = 12.0
        for fill, opacity, said in (
            (REVISIONS[0], _OPACITY[Look.WAITING], "pod waits, or has ended"),
            (REVISIONS[0], _OPACITY[Look.RUNNING], "runs, not Ready"),
            (REVISIONS[0], 1.0, "Ready"),
            (REVISIONS[0], _OPACITY[Look.TERMINATING], "is being deleted"),
            (self._colours["fault"], 0.18, "a fault"),
            (self._colours["shade"], 0.16, "node not Ready or Unknown, process down"),
        ):
            yield self._box(x, y, 12, 12, fill, opacity)
            yield self._text(x + 18, y + 10, said, size=11, ink="faint")
            x += 34 + 6.6 * len(said)
        for number, name in enumerate(self._explained, 1):
            yield self._box(12, y + number * 18, 12, 12, REVISIONS[(number - 1) % len(REVISIONS)])
            yield self._text(32, y + 10 + number * 18, name, size=11)

    def _row(self, row: Row, y: float, tall: float) -> Iterator[str]:
        yield self._text(12, y + min(tall / 2 + 4, 18), row.name[:26], size=min(tall - 1, 12))
        for piece in row.background:
            said = f"{row.name}: {piece.look} {self._span(piece)}"
            if piece.look is not Look.GOOD:
                yield self._piece(piece, y, tall, self._colours["shade"], 0.16)
            yield self._piece(piece, y + self._pad - 2, 2, self._colours[piece.look], title=said)
        for beat in row.beats:
            yield self._box(self._x(beat), y + self._pad + 1, 1, _BEAT - 1, self._colours["faint"])
        for bar in row.bars:
            top = y + self._pad + _BEAT + bar.lane * self._lane + 1
            yield from self._bar(row, bar, top)
        for shade in row.faults:
            piece = Piece(shade.begin, max(shade.end, shade.begin), Look.BAD)
            said = f"{shade.label} {self._span(piece)}"
            yield self._piece(piece, y, tall, self._colours["fault"], 0.18, said)
            yield self._box(self._x(shade.begin), y, 2, tall, self._colours["fault"])
            said = shade.label.removesuffix(f" {row.name}")
            if self._x(shade.end) - self._x(shade.begin) > 6 * len(said) + 8 and tall > 12:
                yield self._text(self._x(shade.begin) + 5, y + tall - 3, said, size=9, ink="fault")

    def _bar(self, row: Row, bar: Bar, y: float) -> Iterator[str]:
        leads = row.kind is Kind.LEADER
        tint = self._colours["good"] if leads else REVISIONS[bar.colour % len(REVISIONS)]
        revision = "" if leads else self._picture.revisions[bar.colour]
        for piece in bar.pieces:
            said = "\n".join(filter(None, [bar.about or bar.label, revision, str(piece.look)]))
            title = f"{said} {self._span(piece)}"
            yield self._piece(piece, y, self._lane - 2, tint, _OPACITY.get(piece.look, 1), title)
        if leads and self._x(bar.end) - self._x(bar.begin) > 60:
            room = int((self._x(bar.end) - self._x(bar.begin)) / 7)
            yield self._text(
                self._x(bar.begin) + 4, y + self._lane - 4, bar.label[:room], size=10, ink="ground"
            )

    def _ticks(self) -> Iterator[str]:
        picture = self._picture
        for at in ticks(picture.duration, picture.speed or 1.0):
            x = self._x(at)
            yield self._box(x, _TITLE + 16, 1, _TOP - 16 + self._rows, self._colours["line"])
            label = f"{at * (picture.speed or 1.0):g} s"
            yield self._text(x + 3, _TITLE + 12, label, size=11, ink="faint")

    def _marks(self) -> Iterator[str]:
        free = 0.0
        for mark in self._picture.marks:
            x, bad = self._x(mark.at), mark.what == "violation"
            tint = self._colours["bad" if bad else "faint"]
            if mark.what == "did":
                yield self._box(x, _TITLE + 36, 2, 6, tint, title=mark.text)
                continue
            tall = _TOP - 24 + self._rows
            yield self._box(x, _TITLE + 24, 2 if bad else 1, tall, tint, 1 if bad else 0.55)
            yield (
                f'<circle cx="{x}" cy="{_TITLE + 25}" r="{6 if bad else 4}" fill="{tint}">'
                f"<title>{_shown(mark.text)}</title></circle>"
            )
            name = _name(mark)
            if x >= free and x + 8 + 7 * len(name) < self._width:
                yield self._text(x + 8, _TITLE + 29, name, size=11, ink="bad" if bad else "faint")
                free = x + 14 + 7 * len(name)

    def _span(self, piece: Piece) -> str:
        speed = self._picture.speed or 1.0
        return f"{piece.begin * speed:.1f} – {piece.end * speed:.1f} s"

    def _piece(
        self, piece: Piece, y: float, tall: float, fill: str, opacity: float = 1, title: str = ""
    ) -> str:
        left = self._x(piece.begin)
        return self._box(left, y, max(self._x(piece.end) - left, 1), tall, fill, opacity, title)

    def _box(
        self, x: float, y: float, wide: float, tall: float, fill: str, opacity: float = 1,
        title: str = "",
    ) -> str:  # fmt: skip
        faint = f' fill-opacity="{opacity:g}"' if opacity != 1 else ""
        rect = f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{tall:g}" fill="{fill}"{faint}'
        return f"{rect}><title>{_shown(title)}</title></rect>" if title else f"{rect}/>"

    def _text(
        self, x: float, y: float, text: str, *, size: float, ink: str = "ink", bold: bool = False
    ) -> str:
        weight = ' font-weight="600"' if bold else ""
        shown = escape("".join(one if one.isprintable() else "\ufffd" for one in text))
        fill = self._colours[ink]
        return (
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{fill}"{weight}>{shown}</text>'
        )


def ticks(duration: float, speed: float) -> Iterator[float]:
    """Moments of a scale, in seconds: about eight, at round nominal seconds."""
    wanted, step = duration * speed / 8, 1e-3
    while step < wanted:
        for factor in (2, 2.5, 2):
            if step < wanted:
                step *= factor
    number = 0
    while number * step <= duration * speed:
        yield number * step / speed
        number += 1


def _shown(text: str) -> str:
    """Text of others in XML, which has no control characters."""
    return escape("".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in text))


def _name(mark: Mark) -> str:
    return "violated" if mark.what == "violation" else mark.text.split(":")[0]
