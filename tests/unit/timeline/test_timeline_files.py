"""A picture as SVG, PNG and as a trace; the command that writes them."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from kubeherd.faults import Fault, Nodes, effects
from kubeherd.history import Began, FaultBegan, FaultEnded, Heartbeat, Record, Verb, Write, files
from kubeherd.history.records import Step, Violation
from kubeherd.timeline.command import timeline
from kubeherd.timeline.model import Picture, paint
from kubeherd.timeline.svg import svg, ticks
from kubeherd.timeline.trace import trace

HOSTILE = "</text><script>alert(1)</script>\x1b[2J&"


def pod(at: float, ready: bool, verb: Verb = Verb.UPDATE, name: str = "p") -> Write:
    tree = {
        "metadata": {"name": name, "labels": {"controller-revision-hash": "one"}},
        "spec": {"nodeName": "node-1", "containers": [{"image": "app:1"}]},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}], "phase": "Running"},
    }
    return Write(
        at=at, revision=1, verb=verb, resource="pods", namespace="x", name=name, uid=f"u-{name}",
        object=tree,
    )  # fmt: skip


def history(name: str = "p") -> list[Record]:
    fault = Fault(id="f", target=Nodes(("node-1",)), effect=effects.Freeze(), at=103.0)
    return [
        Began(at=100.0, nodes=("node-1",), speed=2.0, source="cluster"),
        pod(101.0, ready=False, name=name),
        Heartbeat(at=101.5, node="node-1"),
        pod(102.0, ready=True, name=name),
        FaultBegan(at=103.0, fault=fault),
        Step(at=104.0, name="heal"),
        FaultEnded(at=105.0, id="f"),
        Violation(at=106.0, promise="one-pod", text="two of them"),
        pod(110.0, ready=True, verb=Verb.DELETE, name=name),
    ]


def picture() -> Picture:
    return paint(history(), "a run")


def texts(document: str) -> list[str]:
    return ["".join(one.itertext()) for one in ElementTree.fromstring(document).iter()]


@pytest.mark.parametrize("dark", [False, True])
def test_an_svg_has_a_row_per_node_and_a_title_per_bar(dark: bool):
    found = texts(svg(picture(), dark=dark))
    assert {"a run", "node-1", "heal", "violated"} <= set(found)
    assert "x/p\nno owner: one (app:1)\nready 4.0 – 20.0 s" in found
    assert "freeze node-1 6.0 – 10.0 s" in found


def test_bars_are_where_their_times_are():
    root = ElementTree.fromstring(svg(picture(), width=1192))  # 100 pixels a second
    ready = next(one for one in root.iter() if (one.findtext("{*}title") or "").endswith("20.0 s"))
    assert (float(ready.attrib["x"]), float(ready.attrib["width"])) == (380.0, 800.0)


def test_what_the_api_says_is_text():
    found = svg(paint(history(HOSTILE), HOSTILE))
    ElementTree.fromstring(found)
    assert "<script" not in found
    assert "\x1b" not in found


def test_a_scale_has_round_steps():
    assert list(ticks(10.0, 2.0)) == [0.0, 2.5, 5.0, 7.5, 10.0]
    assert list(ticks(0.001, 1.0))


def test_a_trace_has_bars_states_faults_and_moments():
    events = json.loads(trace(picture()))["traceEvents"]
    names = {one["args"]["name"] for one in events if one["name"] == "process_name"}
    assert names == {"a run", "node-1"}
    bars = [(one["ts"], one["dur"], one["cat"]) for one in events if one["name"] == "p"]
    assert bars == [(2e6, 2e6, "running"), (4e6, 16e6, "ready")]
    assert [one["ts"] for one in events if one["name"] == "heartbeat"] == [3e6]
    fault = next(one for one in events if one["name"] == "freeze node-1")
    assert (fault["ph"], fault["ts"], fault["dur"]) == ("X", 6e6, 4e6)
    assert {one["cat"] for one in events if one["ph"] == "i" and "cat" in one} == {
        "step",
        "violation",
    }


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    files.write(path, history())
    return path


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("a.html", b"<!doctype html>"), ("a.svg", b"<svg"), ("a.json", b'{"traceEvents"')],
)
def test_the_ending_says_what_is_written(recorded: Path, name: str, beginning: bytes):
    target = recorded.with_name(name)
    done = CliRunner().invoke(timeline, [str(recorded), "-o", str(target)])
    assert done.exit_code == 0, done.output
    assert target.read_bytes().startswith(beginning)


def test_a_png_where_the_extra_is_installed(recorded: Path):
    pytest.importorskip("resvg_py", reason="the extra png is not installed")
    target = recorded.with_suffix(".png")
    done = CliRunner().invoke(timeline, [str(recorded), "-o", str(target), "--dark"])
    assert done.exit_code == 0, done.output
    assert target.read_bytes().startswith(b"\x89PNG")


def test_without_an_output_it_is_the_histories_name(recorded: Path):
    assert CliRunner().invoke(timeline, [str(recorded)]).exit_code == 0
    assert recorded.with_suffix(".html").exists()


@pytest.mark.parametrize(
    ("content", "output", "code", "said"),
    [
        (b"{}\n", "a.html", 1, "cannot read"),
        (b"", "a.html", 1, "nothing is recorded"),
        (b"", "a.pdf", 2, "known are .html, .svg, .png, .json"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    tmp_path: Path, content: bytes, output: str, code: int, said: str
):
    path = tmp_path / "run.jsonl"
    path.write_bytes(content)
    done = CliRunner().invoke(timeline, [str(path), "-o", str(tmp_path / output)])
    assert (done.exit_code, said in done.output) == (code, True), done.output
    assert not (tmp_path / output).exists()
