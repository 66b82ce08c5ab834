"""A picture as an HTML page that is one file: data, script and style are in it."""

from collections.abc import Sequence
from html import escape
from importlib import resources

import msgspec

from kubeherd.checks.checker import Checked
from kubeherd.timeline.model import Picture

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style></head>
<body>
<header><h1>{title}</h1><p class="verdict {mood}">{verdict}</p>{promises}</header>
<main><canvas id="axis"></canvas>
<canvas id="picture" tabindex="0" aria-label="Timeline of nodes, pods and faults"></canvas>
<div id="about" role="status"></div></main>
<footer><span id="legend"></span><span class="keys">Ctrl + wheel, or + and −: zoom ·
drag or ← →: move · 0: everything · hover: what it is</span></footer>
<script id="data" type="application/json">{data}</script>
<script>{script}</script>
</body></html>
"""


def page(
    picture: Picture,
    checked: Sequence[Checked] = (),
    verdict: str = "",
    *,
    held: bool | None = None,
) -> str:
    """The whole page. `verdict` is one line, `held` whether it is a good one (None: as the picture
    says); `checked` says how each promise fared."""
    violated = any(mark.what == "violation" for mark in picture.marks) if held is None else not held
    data = msgspec.json.encode(picture).decode().replace("<", "\\u003c")
    return _PAGE.format(
        title=escape(picture.title),
        verdict=escape(
            verdict or ("a promise did not hold" if violated else "no violation was recorded")
        ),
        mood="bad" if violated else "good",
        promises=_promises(checked),
        style=_file("timeline.css"),
        script=_file("timeline.js"),
        data=data,
    )


def _promises(checked: Sequence[Checked]) -> str:
    if not checked:
        return ""
    lines = "".join(
        f'<li class="{_mood(one)}"><b>{escape(one.name)}</b> {one.looked_at} events'
        f"<br><small>{escape(_said(one))}</small></li>"
        for one in checked
        if one.looked_at or one.violations
    )
    return f"<details><summary>promises that were checked</summary><ul>{lines}</ul></details>"


def _mood(one: Checked) -> str:
    return "bad" if one.violations else "good"


def _said(one: Checked) -> str:
    return one.violations[0].text if one.violations else one.promise


def _file(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")
