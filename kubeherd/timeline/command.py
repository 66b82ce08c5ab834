"""The command `kubeherd timeline`."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Final

import click

from kubeherd.cluster.cli.eventloop import run
from kubeherd.cluster.cli.options import OutputFile, directory_option, kubeconfig_option, seconds
from kubeherd.cluster.cli.output import say
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.runtime import logging
from kubeherd.history import Record, files
from kubeherd.timeline.model import Painter, Picture

DEFAULT_S: Final = 30.0
_PNG_EXTRA: Final = "a PNG needs a package more: pip install 'kubeherd[png]' (or take .svg)"


class Form(StrEnum):
    """What a timeline can be written as, by the ending of the file."""

    HTML = ".html"
    SVG = ".svg"
    PNG = ".png"
    TRACE = ".json"


@click.command(
    epilog="""\b
Examples:
  kubeherd timeline run.jsonl                    a recorded run into run.html
  kubeherd timeline run.jsonl -o run.svg         .html, .svg, .png, or .json for ui.perfetto.dev
  kubeherd timeline --for 60s -o now.html        the next minute of the cluster in ./.kubeherd
  kubeherd timeline -o since-up.html             of a cluster of `up --record`: all since it began
"""
)
@click.argument(
    "history", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option(
    "--output",
    "-o",
    type=OutputFile(),
    help="What to write.  [default: the history's name with .html, or timeline.html]",
)
@kubeconfig_option
@directory_option
@click.option(
    "--for",
    "for_s",
    callback=seconds,
    help=f"How long to look at a cluster (60s, 5m).  [default: {DEFAULT_S:g}s, unless it records]",
)
@click.option("--dark", is_flag=True, help="Dark colours, of an SVG or PNG.")
def timeline(
    history: Path | None,
    output: Path | None,
    kubeconfig: Path | None,
    rundir: RunDir,
    for_s: float | None,
    dark: bool,
) -> None:
    """Draw a run: nodes by time, pods coloured by revision, faults, leaders, violations.

    Of a recorded history, or of a cluster that runs: what it has recorded (`up --record`), or what
    happens while it is looked at. Ctrl-C ends looking, and what was seen is drawn.
    """
    of = history or Path("timeline")
    target = output or of.with_name(of.name.split(".")[0] + ".html")
    form = _form(target)
    if form is Form.PNG:
        _check_png()
    if history is not None:
        picture = drawn(files.whole(history), str(history))
    elif (
        kubeconfig is None
        and for_s is None
        and (recorded := rundir.histories(rundir.load_settings()))
    ):
        picture = drawn(files.merged(*map(files.read, recorded)), str(rundir.root))
    else:
        picture = _watched(kubeconfig, rundir, DEFAULT_S if for_s is None else for_s)
    target.write_bytes(_WRITERS[form](picture, dark))
    say(f"drawn: {target}")


def drawn(records: Iterable[Record], history: str) -> Picture:
    """The picture of a history; click.ClickException if it is none, or nothing is in it."""
    painter = Painter()
    try:
        for record in records:
            painter.see(record)
    except (files.HistoryError, OSError) as error:
        raise click.ClickException(f"cannot read {history}: {error}") from None
    picture = painter.picture(Path(history).name)
    if not picture.rows:
        raise click.ClickException(f"nothing is recorded in {history}")
    return picture


def _watched(kubeconfig: Path | None, rundir: RunDir, for_s: float) -> Picture:
    from kubeherd.following.live import followed, source  # noqa: PLC0415 - not for a file
    from kubeherd.herd.herd import NEEDS  # noqa: PLC0415

    logging.configure("timeline", level="error")
    of, painter = source(kubeconfig, rundir), Painter()

    async def look() -> None:
        async with followed(of, NEEDS, painter.see):
            say(f"looking for {for_s:g} s; Ctrl-C draws what was seen")
            await asyncio.sleep(for_s)

    with contextlib.suppress(KeyboardInterrupt):
        run(look)
    return painter.picture(f"{rundir.root if kubeconfig is None else kubeconfig}")


def _form(target: Path) -> Form:
    try:
        return Form(target.suffix)
    except ValueError:
        known = ", ".join(Form)
        raise click.UsageError(f"cannot write {target.name}: known are {known}") from None


def _check_png() -> None:
    try:
        import resvg_py  # noqa: F401, PLC0415
    except ImportError:
        raise click.ClickException(_PNG_EXTRA) from None


def _html(picture: Picture, _dark: bool) -> bytes:
    from kubeherd.timeline.page import page  # noqa: PLC0415

    return page(picture).encode()


def _svg(picture: Picture, dark: bool) -> bytes:
    from kubeherd.timeline.svg import svg  # noqa: PLC0415

    return svg(picture, dark=dark).encode()


def _png(picture: Picture, dark: bool) -> bytes:
    import resvg_py  # noqa: PLC0415 - an extra

    return bytes(resvg_py.svg_to_bytes(svg_string=_svg(picture, dark).decode()))


def _trace(picture: Picture, _dark: bool) -> bytes:
    from kubeherd.timeline.trace import trace  # noqa: PLC0415

    return trace(picture)


_WRITERS: Final[dict[Form, Callable[[Picture, bool], bytes]]] = {
    Form.HTML: _html,
    Form.SVG: _svg,
    Form.PNG: _png,
    Form.TRACE: _trace,
}
